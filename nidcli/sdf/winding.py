"""The winding number field of a cloud, 1 inside and 0 outside: that whose gradient falls as its normals say,

    laplace w = - div sum_i a_i n_i delta(x - p_i)         a_i the surface that a point stands for

on a periodic grid, by Fourier transforms (Kazhdan 2005).

Letters: N points, G grid points a side, X, Y, Z the same along the axes.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from nidcli.sdf.splatting import splatted


def winding(place_N3: np.ndarray, weighted_N3: np.ndarray, size: int, blur: float = 0.0) -> np.ndarray:
    """(G, G, G) less a constant, G = size. place_N3 : points in grid steps; weighted_N3 : normals times areas in steps
    squared; blur : standard deviation in steps of what the field is averaged with."""
    vectors_3XYZ = splatted(place_N3, weighted_N3, (size,) * 3)[1:].numpy()
    wave, half = 2 * np.pi * fft.fftfreq(size), 2 * np.pi * fft.rfftfreq(size)
    kx, ky, kz = np.meshgrid(wave, wave, half, indexing="ij", sparse=True)
    square = kx**2 + ky**2 + kz**2
    square[0, 0, 0] = 1
    spectrum = fft.rfftn(vectors_3XYZ, axes=(1, 2, 3), workers=-1)
    field = 1j * (kx * spectrum[0] + ky * spectrum[1] + kz * spectrum[2]) / square
    field *= np.exp(-square * blur**2 / 2)
    field[0, 0, 0] = 0
    found: np.ndarray = fft.irfftn(field, (size,) * 3, workers=-1)
    return found
