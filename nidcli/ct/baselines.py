"""Classical results beside ours: filtered back-projection and SART by scikit-image, and total variation alone.

scikit-image has parallel beams with the axis on a bin of its own choice, and one angle a column: sinograms are moved
there first. All three answer in attenuation per pixel of the slice.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from skimage.transform import iradon, iradon_sart
from torch import Tensor

from nidcli.ct.geometry import Geometry
from nidcli.ct.residual import Penalties, TotalVariation
from nidcli.ct.scanner import Scanner
from nidcli.errors import UsageError

Baseline = Literal["fbp", "sart", "tv"]
SWEEPS = 3  # of SART over all views
CONVERGED = TotalVariation(steps=2000, tolerance=1e-6)


def classical(kind: Baseline, scanner: Scanner, sinogram_VB: Tensor, penalty: float, non_negative: bool) -> Tensor:
    """(size, size) of one slice. penalty : lambda of total variation. Raises UsageError for fan beams."""
    geometry = scanner.geometry
    if kind == "tv":
        sinogram_M1 = sinogram_VB.reshape(-1, 1)
        start_N1 = sinogram_M1.new_zeros(geometry.size**2, 1)
        penalties = Penalties(start_N1.new_tensor([penalty]), non_negative=non_negative)
        return CONVERGED.solve(scanner, sinogram_M1, penalties, start_N1).view(geometry.size, geometry.size)
    if geometry.fan is not None:
        raise UsageError(f"--baseline {kind} is scikit-image's and has parallel beams only; give --baseline tv.")
    rows_BV, theta = _aligned(geometry, sinogram_VB)
    if kind == "fbp":
        found = iradon(rows_BV, theta, output_size=geometry.size, circle=_circle(geometry))
    else:
        found = None
        for _ in range(SWEEPS):
            found = iradon_sart(rows_BV, theta, image=found)
        found = _middle(np.asarray(found), geometry.size)
    return torch.from_numpy(np.ascontiguousarray(found, np.float32))


def _circle(geometry: Geometry) -> bool:
    return geometry.convention == "nid" or geometry.circle


def _aligned(geometry: Geometry, sinogram_VB: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(bins, views) float64 with scikit-image's own bins and angles, one bin a pixel."""
    p = sinogram_VB.double().cpu().numpy()
    theta = np.array(geometry.angles_V)
    if geometry.convention == "skimage":
        return p.T, theta
    # scikit-image turns about pixel size // 2, half a pixel from the middle of slices with even sides
    shift = 0.5 if geometry.size % 2 == 0 else 0.0
    angle = np.deg2rad(theta)[:, None]
    bins = np.arange(geometry.size) - geometry.size // 2
    s = bins[None] + shift * (np.cos(angle) - np.sin(angle))
    place = s / geometry.bin_pitch + geometry.axis
    known = np.arange(geometry.bins)
    moved = np.stack([np.interp(row, known, view, 0, 0) for row, view in zip(place, p, strict=True)])
    return moved.T, theta


def _middle(picture: np.ndarray, size: int) -> np.ndarray:
    """The middle of a larger square picture."""
    low = len(picture) // 2 - size // 2
    return picture[low : low + size, low : low + size]
