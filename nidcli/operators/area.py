"""Pixels as areas: (A f)_i = mean of f over the square of pixel i, from points x points samples in each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from nidcli.grid import image_coords
from nidcli.operators.base import Operator


@dataclass(frozen=True, eq=False)
class Area(Operator):
    """Averages over the pixels of a band of rows of an image; 2-D.

    width, height : pixels of the whole image; points : samples along a side of a pixel (the midpoint rule);
    pixels : those asked for, in reading order: the first, and the one behind the last; None is all.
    """

    width: int
    height: int
    points: int
    pixels: tuple[int, int] | None = None

    @property
    def _span(self) -> tuple[int, int]:
        return self.pixels or (0, self.width * self.height)

    @cached_property
    def coords_ND(self) -> Tensor:  # type: ignore[override]
        """(N, 2): the samples pixel after pixel, so that a run of pixels is a run of samples."""
        p, (low, high) = self.points, self._span
        grid = image_coords(self.width * p, self.height * p).view(self.height, p, self.width, p, 2)
        return grid.permute(0, 2, 1, 3, 4).reshape(-1, p * p, 2)[low:high].reshape(-1, 2)

    @property
    def shape(self) -> tuple[int, ...]:
        low, high = self._span
        return (high - low,)

    def forward(self, samples: Tensor) -> Tensor:
        return samples.view(-1, self.points**2, *samples.shape[1:]).mean(1)

    def adjoint(self, measured: Tensor) -> Tensor:
        return measured.repeat_interleave(self.points**2, 0) / self.points**2

    def __getitem__(self, rows: slice) -> Area:
        low, high = self._span
        start, stop, _ = rows.indices(high - low)
        return Area(self.width, self.height, self.points, (low + start, low + max(start, stop)))
