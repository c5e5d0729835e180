"""Pieces of solids: the distance fields of cells that the surface runs through, in units of a half cell.

In these units a piece looks alike at every size, and its slope is one.

Letters: P pieces, N samples of a cell.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from nidcli.model import LevelSpec
from nidcli.sdf.solids import Solid
from nidcli.sdf.spec import cell_samples

POSES = 4  # of a whole solid, each time that it is looked at
SHIFT, SCALE = 0.06, 0.05  # their deviations: in units of the domain, and of the logarithm of the scale


def draw_pieces(solid: Solid, level: LevelSpec, count: int, reach: float, rng: np.random.Generator) -> Tensor:
    """(P, N) float32: distances at the samples of cells around points of the surface, anywhere up to `reach` off."""
    half = 1 / level.cells
    points_P3, _ = solid.sample(count, rng)
    middle_P3 = points_P3 + rng.uniform(-reach, reach, (count, 3)) * half
    samples_PN3 = middle_P3[:, None] + cell_samples(level).double().numpy() * half
    distance_X = solid.distance(samples_PN3.reshape(-1, 3))
    return torch.from_numpy(distance_X.reshape(count, -1) * np.float32(level.cells))


def whole_pieces(solid: Solid, level: LevelSpec, rng: np.random.Generator) -> Tensor:
    """(P, N) float32: distances at the samples of the domain, of the solid a little off its place and size, and of its
    mirror images along x; turned, they are all that there are."""
    samples_N3, cubes = cell_samples(level).double().numpy(), []
    for _ in range(POSES):
        shift_3, scale = rng.normal(0, SHIFT, 3), np.float32(math.exp(rng.normal(0, SCALE)))
        distance_N = solid.distance((samples_N3 - shift_3) / scale) * scale
        cube = torch.from_numpy(distance_N).view((level.pixels,) * 3)
        cubes += [cube, cube.flip(0)]
    return torch.stack(cubes).flatten(1)


def turned(pieces_PN: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """The same pieces, each in one of the 48 orientations of a cube."""
    cubes = pieces_PN.view(-1, side, side, side)
    orders, flips = rng.permuted(np.tile(np.arange(3), (len(cubes), 1)), axis=1), rng.random((len(cubes), 3)) < 0.5
    out = torch.empty_like(cubes)
    for i, cube in enumerate(cubes):
        out[i] = cube.permute(*orders[i].tolist()).flip([d for d in range(3) if flips[i, d]])
    return out.view(len(cubes), -1)
