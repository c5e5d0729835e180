"""From points with normals to a field: the density decides the cells, and these are solved from coarse to fine.

Letters: N points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from nidcli.model import Level, Model
from nidcli.sdf import whole
from nidcli.sdf.beyond import amended
from nidcli.sdf.field import Data, Share, solve_share
from nidcli.sdf.slits import slit_points
from nidcli.sdf.support import SPARSE, facing_within, spacing
from nidcli.sdf.symmetry import Mirror, doubled

MOST_DOUBLED = 5_000  # points: more say by themselves what their images would, which blur it unless they are weighed
MOST_WEIGHED = 15_000  # and more than these what weighed images would
SIGHT = (4.0, 3.5)  # points across what a finest cell sees; fewer where they are sparse
ROUGH = 13.0  # and standard deviations of the noise, at least: finer cells would draw it
COARSEST, FINEST = 2, 64  # cells a side
DENSE = 40  # of these, beyond which a corrector is not asked: what is missed then is what lies between points
COARSE = 4.0  # lattice steps along the domain times the spacing, below which the lattice shows less than points tell
LEADING = 160  # experts of a level, of 256, that such a lattice can show
LEVELS = 3
BLUR = 0.01  # of a half cell: what its experts cannot draw
STEPS = 8  # of the lattice, a cell of the finest
MOST_STEPS, MOST_NARROW = 256, 512  # along the domain, and where sheets would fall into one step of so few
NARROW = 0.03  # of the points, beyond which such sheets are more than an edge or two
LEAST = 4  # points that a cell of a finer level must see
MOST, MOST_COARSE = 128, 96  # points that a cell of the finest level looks at, and of those that it corrects
VALUE_NOISE = (0.001, 0.002)  # of clean data: of values, in units of the domain, dense and sparse
EXACT = 0.033  # and at most, in spacings of the points
SLOPE_NOISE = (0.14, 0.1)  # and of slopes
GUESSED_SLOPE = 0.25  # of estimated normals


@dataclass(frozen=True)
class Oriented:
    """Points in the domain and their normals. gap : between neighbours; noise : standard deviation of the points;
    given : whether the normals are those of the file."""

    points_N3: np.ndarray
    normals_N3: np.ndarray
    gap: float
    noise: float
    given: bool


@dataclass(frozen=True)
class Field:
    """A solid's field as shares of levels, and what it was made of. points_N3, normals_N3, gap : with mirror images
    along `mirrors`; slit_N : which of them line slits, that the shares know nothing of; steps : of the lattice it is to
    be drawn on, a cell of the finest."""

    shares: Sequence[Share]
    steps: int
    points_N3: np.ndarray
    normals_N3: np.ndarray
    slit_N: np.ndarray
    gap: float
    noise: float
    mirrors: Sequence[Mirror]

    @property
    def solid(self) -> tuple[np.ndarray, np.ndarray]:
        """Points and normals of what the shares were solved for."""
        return self.points_N3[~self.slit_N], self.normals_N3[~self.slit_N]

    @property
    def side(self) -> int:
        """Steps of the lattice along the domain."""
        return self.shares[-1].cells * self.steps

    @property
    def step(self) -> float:
        """In units of the domain."""
        return 2 / self.side


def understood(model: Model, cloud: Oriented, resolution: int, *, symmetric: bool) -> Field:
    """The field of a cloud. resolution : lattice steps along the domain, at least, 0 by density; symmetric : mirror
    images of points are used where they lie on what is seen."""
    points_N3, normals_N3, gap, noise = cloud.points_N3, cloud.normals_N3, cloud.gap, cloud.noise
    if whole.spans(model):
        share, steps = whole.whole_share(model, points_N3, normals_N3), min(resolution or whole.STEPS, whole.MOST_STEPS)
        return Field([share], steps, points_N3, normals_N3, np.zeros(len(points_N3), bool), gap, noise, [])
    coarse = 0 < resolution < COARSE / gap
    exactly = noise == 0 and cloud.given and not coarse
    plenty, fine = len(points_N3) > MOST_DOUBLED, exactly and _cells(gap, noise) > DENSE
    mirrors, doubt_N = list[Mirror](), np.zeros(len(points_N3))
    most = MOST_WEIGHED if fine else MOST_DOUBLED
    if symmetric and len(points_N3) <= most:
        both = doubled(points_N3, normals_N3, gap, noise, most, weighed=plenty)
        points_N3, normals_N3, doubt_N, mirrors = both.points_N3, both.normals_N3, both.doubt_N, both.mirrors
        gap = spacing(points_N3) if len(points_N3) > len(cloud.points_N3) else gap
    finest = _cells(gap, noise)
    exact, slope = (float(np.interp(gap, SPARSE, ends)) for ends in (VALUE_NOISE, SLOPE_NOISE))
    exact, slope = min(exact, EXACT * gap), slope if cloud.given else GUESSED_SLOPE
    told = exactly and finest > DENSE  # sparse points say too little about slits, and of what lies beyond them
    slit_N = slit_points(points_N3, normals_N3, gap) if told else np.zeros(len(points_N3), bool)
    value_N, slope_N = np.hypot(math.hypot(noise, exact), doubt_N), np.hypot(slope, doubt_N / cloud.gap)
    data = _data(model, *(part[~slit_N] for part in (points_N3, normals_N3, value_N, slope_N)))
    shares = solve(model, data, finest, gap if told else None, LEADING if coarse else None)
    dense = not resolution and noise == 0 and STEPS * finest > MOST_STEPS
    narrow = dense and facing_within(2 / MOST_STEPS, points_N3, normals_N3, gap) > NARROW
    steps = max(2, -(-(resolution or default_resolution(finest, narrow)) // finest))
    return Field(shares, steps, points_N3, normals_N3, slit_N, gap, noise, mirrors)


def _cells(gap: float, noise: float) -> int:
    """A side, of the finest level: what these points and their noise can fill."""
    return max(4, min(FINEST, 4 * round(1 / max(float(np.interp(gap, SPARSE, SIGHT)) * gap, ROUGH * noise))))


def solve(model: Model, data: Data, finest: int, gap: float | None = None, experts: int | None = None) -> list[Share]:
    """Coarse to fine: each level explains what those below it left. gap : spacing of the points; with it, the finest
    cells are checked where no point lies as well; experts : of a level that are used, all of them without."""
    shares, left = list[Share](), data
    for cells in chain(finest):
        blurred_N = torch.hypot(left.value_noise_N, torch.full_like(left.value_noise_N, BLUR / cells))
        left, level = replace(left, value_noise_N=blurred_N), nearest_level(model, cells)
        level = level.leading(experts) if experts else level
        least, most = LEAST if shares else 1, MOST if cells == finest else MOST_COARSE
        share = solve_share(level, cells, left, least, most, first=not shares)
        shares.append(share)
        if cells != finest:
            left = left.minus(share.jets(left.points_N3))
        elif gap is not None:
            shares[-1] = amended(level, shares, data, left, gap, least, most)
    return shares


def chain(finest: int) -> Sequence[int]:
    """Cells a side of the levels, each half of the next."""
    return [finest >> i for i in reversed(range(LEVELS)) if finest >> i >= COARSEST]


def nearest_level(model: Model, cells: int) -> Level:
    """The level learned at the size nearest to that of `cells` a side."""
    return min(
        (model.level(i) for i in range(len(model.levels))), key=lambda one: abs(math.log(cells / one.spec.cells))
    )


def default_resolution(finest: int, narrow: bool = False) -> int:
    """Lattice steps: a few a cell, more than a sparse cloud can fill are not needed. narrow : there are sheets between
    which the usual lattice has no point."""
    return min(MOST_NARROW if narrow else MOST_STEPS, STEPS * finest)


def _data(
    model: Model, points_N3: np.ndarray, normals_N3: np.ndarray, value_noise_N: np.ndarray, slope_noise_N: np.ndarray
) -> Data:
    device = model.level(0).prior_mean_BK.device
    parts = (points_N3, normals_N3, value_noise_N, slope_noise_N)
    points, normals, value_noise, slope_noise = (torch.from_numpy(part).float().to(device) for part in parts)
    return Data(points, torch.zeros_like(points[:, 0]), normals, value_noise, slope_noise)
