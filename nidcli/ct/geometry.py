"""Where the rays of a sinogram run: parallel or fan beam, by the project's convention or by scikit-image's.

Lengths are in pixels of the slice. Columns x count from 0 at the left, rows y from 0 at the top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

HELD = 4  # every so many directions one is held out
JOSEPH = 256  # slices with longer sides are crossed pixel line by pixel line

Convention = Literal["nid", "skimage"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Rays of a slice of `size` x `size` pixels.

    angles_V : degrees, counter-clockwise; bins : of the detector; convention : "nid" has its axis of rotation in the
    middle of the slice, "skimage" is scikit-image's, on pixel size // 2; circle : for skimage, as its radon's;
    cor : the bin, fractions allowed, on which the axis falls, None for the middle one; pitch : distance of two bins
    at the axis, None where the detector is as wide as the slice; fan : distance of the source from the axis, None for
    parallel beams; wide : rays a bin, spread over its width (1: one through its centre).
    """

    size: int
    angles_V: tuple[float, ...]
    bins: int
    convention: Convention = "nid"
    circle: bool = True
    cor: float | None = None
    pitch: float | None = None
    fan: float | None = None
    wide: int = 1

    def __post_init__(self) -> None:
        if self.fan is not None and self.fan <= self.size / math.sqrt(2):
            raise ValueError(f"a source {self.fan:g} pixels from the axis lies inside the slice")
        if self.wide < 1 or self.size < 2 or self.bins < 2 or not self.angles_V:
            raise ValueError("a geometry needs two pixels, two bins, a view and a ray a bin at least")

    @property
    def views(self) -> int:
        """V."""
        return len(self.angles_V)

    @property
    def axis(self) -> float:
        """The bin on which the axis of rotation falls."""
        middle = (self.bins - 1) / 2 if self.convention == "nid" else self.bins // 2
        return middle if self.cor is None else self.cor

    @property
    def bin_pitch(self) -> float:
        """Pixels from one bin to the next, at the axis."""
        if self.pitch is not None:
            return self.pitch
        return self.size / self.bins if self.convention == "nid" else 1.0

    def points(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """Points of the rays of a view and their lengths, (bins, T) float64 each; see `nidcli.operators.radon.Rays`."""
        offsets = (torch.arange(self.wide, dtype=torch.float64) + 0.5) / self.wide - 0.5
        bin_BW = torch.arange(self.bins, dtype=torch.float64)[:, None] + offsets
        s = ((bin_BW - self.axis) * self.bin_pitch)[:, :, None]
        angle = math.radians(self.angles_V[view])
        step = self._step(angle)
        reach = self.size if self.convention == "nid" or self.circle else padded(self.size)
        if step == 1.0:
            centre: float = (reach - 1) / 2 if self.convention == "nid" else reach // 2
            t = torch.arange(reach, dtype=torch.float64) - centre
        else:
            half = math.ceil(self.size / 2) + 1  # a point on every line
            t = (torch.arange(2 * half + 1, dtype=torch.float64) - half) * step
        x, y, length = self._cartesian(s, t.view(1, 1, -1), angle, step)
        return tuple(part.reshape(self.bins, -1) for part in (x, y, length / self.wide))  # type: ignore[return-value]

    def over(self, size: int) -> Geometry:
        """The same rays over a slice of fewer pixels; lengths are then in its pixels."""
        share = size / self.size
        fan = None if self.fan is None else self.fan * share
        return replace(self, size=size, convention="nid", cor=self.axis, pitch=self.bin_pitch * share, fan=fan)

    def held_out(self) -> Tensor:
        """(V,) bool: every fourth direction, to see whether the others foretell it; none where there are fewer.

        Parallel beams from opposite sides are of one direction.
        """
        turn = 180.0 if self.fan is None else 360.0
        direction_V = [round(angle % turn, 3) % turn for angle in self.angles_V]
        rank = {direction: number for number, direction in enumerate(sorted(set(direction_V)))}
        enough = len(rank) >= HELD
        return torch.tensor([enough and rank[direction] % HELD == HELD // 2 for direction in direction_V])

    def covered(self) -> Tensor:
        """(size, size) bool: pixels whose centres every view sees (the field of view)."""
        index = torch.arange(self.size, dtype=torch.float64)
        if self.convention == "skimage":
            off = index - self.size // 2
            radius = self.size // 2 if self.circle else math.inf
            return off[:, None].square() + off.square() <= radius**2
        off = index - (self.size - 1) / 2
        x_YX, y_YX = off.expand(self.size, -1), -off[:, None].expand(-1, self.size)
        seen_YX = x_YX.square() + y_YX.square() <= (self.size / 2) ** 2  # as far as rays reach
        for angle in map(math.radians, self.angles_V):
            s_YX = x_YX * math.cos(angle) + y_YX * math.sin(angle)
            if self.fan is not None:
                s_YX = s_YX / (1 + (y_YX * math.cos(angle) - x_YX * math.sin(angle)) / self.fan)
            bin_YX = s_YX / self.bin_pitch + self.axis
            seen_YX &= (bin_YX >= -0.5) & (bin_YX <= self.bins - 0.5)
        return seen_YX

    def _step(self, angle: float) -> float:
        """Distance of two points of a ray: a pixel, or where it crosses the next line of pixels (Joseph 1982)."""
        if self.convention == "skimage" or self.fan is not None or self.size <= JOSEPH:
            return 1.0
        return 1 / max(abs(math.cos(angle)), abs(math.sin(angle)))

    def _cartesian(self, s: Tensor, t: Tensor, angle: float, step: float) -> tuple[Tensor, Tensor, Tensor]:
        cos, sin = math.cos(angle), math.sin(angle)
        length = torch.full_like(s + t, step)
        if self.convention == "skimage":
            # t is the row of the turned picture, counted downwards; a padded picture has its middle elsewhere
            pivot = self.size // 2
            return cos * s + sin * t + pivot, cos * t - sin * s + pivot, length
        middle = (self.size - 1) / 2
        if self.fan is not None:
            length = length * (1 + (s / self.fan).square()).sqrt()
            s = s * (1 + t / self.fan)
        elif step != 1.0 or self.size > JOSEPH:
            # start where the ray meets the middle line of pixels, so that every point lies on a line
            along = abs(sin) if abs(sin) >= abs(cos) else abs(cos)
            shift = s * cos / sin if abs(sin) >= abs(cos) else -s * sin / cos
            half = 0.5 if self.size % 2 == 0 else 0.0
            t = t + shift + half / along
        return middle + s * cos - t * sin, middle - (s * sin + t * cos), length


def padded(size: int) -> int:
    """Bins of scikit-image's radon with circle=False: the diagonal."""
    return size + math.ceil(math.sqrt(2) * size - size)


def unpadded(bins: int) -> int:
    """The size of the picture whose radon with circle=False has that many bins; raises ValueError if there is none."""
    guess = int(bins / math.sqrt(2))
    for size in (guess, guess - 1, guess + 1):
        if size > 1 and padded(size) == bins:
            return size
    raise ValueError(f"no picture has {bins} bins along its diagonal")
