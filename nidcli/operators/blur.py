"""A blurred photo: (A f)_i = sum_j g(x_i - x_j) f(x_j), g Gaussian, its weights sum to one; mirrored at the border."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nidcli.grid import image_coords
from nidcli.operators.base import Operator

REACH = 4.0  # standard deviations, at most, that a pixel looks


@dataclass(frozen=True, eq=False)
class Blur(Operator):
    """Gaussian blur on the pixels of an image; 2-D, one small matrix an axis.

    width, height : pixels; sigma : standard deviation in pixels, 0 for none; pixels : those asked for, in reading
    order: the first, and the one behind the last; None is all.
    """

    width: int
    height: int
    sigma: float
    pixels: tuple[int, int] | None = None

    @cached_property
    def coords_ND(self) -> Tensor:  # type: ignore[override]
        """(N, 2): every pixel, whichever are asked for."""
        return image_coords(self.width, self.height)

    @property
    def _span(self) -> tuple[int, int]:
        return self.pixels or (0, self.width * self.height)

    @property
    def shape(self) -> tuple[int, ...]:
        low, high = self._span
        return (high - low,)

    def forward(self, samples: Tensor) -> Tensor:
        low, high = self._span
        image = samples.reshape(self.height, self.width, -1)
        image = torch.einsum("yh,hwx->ywx", self._axis(self.height, image), image)
        image = torch.einsum("xw,ywc->yxc", self._axis(self.width, image), image)
        return image.reshape(samples.shape)[low:high]

    def adjoint(self, measured: Tensor) -> Tensor:
        low, high = self._span
        whole = measured.new_zeros(self.width * self.height, *measured.shape[1:])
        whole[low:high] = measured
        image = whole.view(self.height, self.width, -1)
        image = torch.einsum("yh,ywx->hwx", self._axis(self.height, image), image)
        image = torch.einsum("xw,yxc->ywc", self._axis(self.width, image), image)
        return image.reshape(whole.shape)

    def __getitem__(self, rows: slice) -> Blur:
        low, high = self._span
        start, stop, _ = rows.indices(high - low)
        return Blur(self.width, self.height, self.sigma, (low + start, low + max(start, stop)))

    def _axis(self, n: int, like: Tensor) -> Tensor:
        """(n, n) weights along an axis; what would look beyond the border looks back."""
        reach = int(REACH * self.sigma + 0.5)
        step = torch.arange(-reach, reach + 1)
        weight = torch.exp(-0.5 * (step / max(self.sigma, 1e-9)).square().double())
        place = (torch.arange(n)[:, None] + step) % (2 * n)
        place = torch.minimum(place, 2 * n - 1 - place)
        matrix = torch.zeros(n, n, dtype=torch.float64)
        matrix.scatter_add_(1, place, (weight / weight.sum()).expand(n, -1))
        return matrix.to(like)
