"""A geometry with its matrix, and the ramp filter that makes its equations well conditioned.

Sinograms are (M, S): M = views x bins measurements, views first, of S slices; pictures (N, S) with N = size^2 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nidcli.ct.geometry import Geometry
from nidcli.grid import image_coords
from nidcli.operators import PixelRadon

POWER_STEPS = 20
MARGIN = 1.02  # a power iteration comes from below


@dataclass(frozen=True, eq=False)
class Scanner:
    """Rays over the pixels of a slice."""

    geometry: Geometry
    operator: PixelRadon

    @staticmethod
    def of(geometry: Geometry, device: torch.device | str = "cpu") -> Scanner:
        """The scanner of a geometry, on a device."""
        return Scanner(geometry, PixelRadon.of(geometry, image_coords(geometry.size, geometry.size).to(device)))

    def some(self, chosen_V: Tensor) -> Scanner:
        """The same with those views alone that are marked."""
        geometry = self.geometry
        angles_V = tuple(angle for angle, is_chosen in zip(geometry.angles_V, chosen_V, strict=True) if is_chosen)
        rows = chosen_V.repeat_interleave(geometry.bins).nonzero()[:, 0].numpy()
        return Scanner(replace(geometry, angles_V=angles_V), self.operator.rows(rows))

    def forward(self, picture_NS: Tensor) -> Tensor:
        """(N, S) -> (M, S)."""
        return self.operator.forward(picture_NS)

    def adjoint(self, sinogram_MS: Tensor) -> Tensor:
        """(M, S) -> (N, S)."""
        return self.operator.adjoint(sinogram_MS)

    @cached_property
    def ramp_F(self) -> Tensor:
        """Band-limited ramp filter by frequency (Ramachandran and Lakshminarayanan 1971), for back-projection."""
        length = self.padded
        k = np.fft.fftfreq(length, 1 / length)
        kernel = np.zeros(length)
        odd = k.astype(int) % 2 == 1
        kernel[odd] = -1 / (np.pi * k[odd]) ** 2
        kernel[0] = 0.25
        scale = math.pi / (self.geometry.views * self.geometry.bin_pitch)
        filter_F = torch.from_numpy(np.fft.rfft(kernel).real * scale).float()
        return filter_F.to(self.operator.coords_ND.device)

    @cached_property
    def metric_F(self) -> Tensor:
        """Nearly the inverse of A A' along a view: the ramp filter, bent where rays of other views no longer overlap.

        A ray shares low frequencies with all views, hence the ramp, and high ones with itself alone, its length.
        """
        return self.ramp_F / (1 + self.geometry.size * self.ramp_F)

    @property
    def padded(self) -> int:
        """Length of a row of the sinogram that does not wrap around in a Fourier transform."""
        return 1 << (2 * self.geometry.bins - 1).bit_length()

    def filtered(self, sinogram_MS: Tensor, gain_F: Tensor) -> Tensor:
        """Every row of a sinogram filtered along its bins. gain_F : per frequency, or (F, S) for each slice."""
        rows_VBS = sinogram_MS.view(self.geometry.views, self.geometry.bins, -1)
        gain = gain_F[:, None] if gain_F.ndim == 1 else gain_F
        spectrum = torch.fft.rfft(rows_VBS, self.padded, dim=1) * gain
        kept = torch.fft.irfft(spectrum, self.padded, dim=1)[:, : self.geometry.bins]
        return kept.reshape(sinogram_MS.shape)

    def back_projected(self, sinogram_MS: Tensor) -> Tensor:
        """Filtered back-projection of parallel beams, views spread evenly over half a turn or a whole one."""
        return self.adjoint(self.filtered(sinogram_MS, self.ramp_F))

    @cached_property
    def norm(self) -> float:
        """Largest eigenvalue of A' F A, F the metric filter."""
        chance = torch.Generator().manual_seed(0)
        picture_N1 = torch.rand(self.geometry.size**2, 1, generator=chance).to(self.operator.coords_ND)
        size = picture_N1.new_ones(())
        for _ in range(POWER_STEPS):
            picture_N1 = self.adjoint(self.filtered(self.forward(picture_N1 / size), self.metric_F))
            size = picture_N1.norm()
        return MARGIN * float(size)
