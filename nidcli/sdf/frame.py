"""The one frame that dictionaries of solids are learned in: the box around a shape centred, its longest side 1.8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 1.8  # of the domain's 2: a shape does not touch the border


@dataclass(frozen=True)
class Frame:
    """x = (p - centre) * scale takes a file's own coordinates and units into [-1, 1]."""

    centre_3: np.ndarray
    scale: float

    @staticmethod
    def of(points_N3: np.ndarray) -> Frame:
        """The frame of points in double precision; of points that all coincide, scale 1."""
        low_3, high_3 = points_N3.min(0), points_N3.max(0)
        side = float((high_3 - low_3).max())
        return Frame((low_3 + high_3) / 2, SIDE / side if side > 0 else 1.0)

    def inwards(self, points_N3: np.ndarray) -> np.ndarray:
        """(N, 3) of the file -> of the domain."""
        return (points_N3 - self.centre_3) * self.scale

    def outwards(self, points_N3: np.ndarray) -> np.ndarray:
        """(N, 3) of the domain -> of the file."""
        return points_N3 / self.scale + self.centre_3
