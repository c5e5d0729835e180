"""What cells say where no point lies: checked against the cloud as a whole, and solved again where that contradicts.

A cell that sees points on one side only draws spurs behind a crease and bubbles inside of solids. A little beyond the
spacing of the points their winding number tells inside from outside (as for Barill et al. 2018), and the nearest point
how far away the surface is. Cells that have a sign wrong there are told both, the term |f - d| off the surface of
equation 17, and nothing changes elsewhere.

Letters: N points, J neighbours, Q places that are checked, S cells, C cells that are solved again, K experts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from torch import Tensor

from nidcli.model import Level
from nidcli.sdf.field import FAINT, Data, Share, solve_share
from nidcli.sdf.lattice import bands, joined
from nidcli.sdf.winding import winding

NEAR, FAR = 0.9, 2.0  # spacings from the nearest point, between which the field is checked
SURE = 0.3  # difference of a winding number from a half
DEVIATION = 0.25  # spacings: of the distance to the nearest point from that to the surface
STEPS = 2  # places along a cell of the finest level
AROUND, ALIKE = 12, 0.2  # neighbours that say how much surface a point stands for, and cosine of those of its sheet
PADDED = 1.25  # lattices: what is beyond the domain, so that it does not see itself around the corner


@torch.no_grad()
def amended(level: Level, shares: Sequence[Share], data: Data, left: Data, gap: float, least: int, most: int) -> Share:
    """The finest share, its cells solved again that have a sign wrong. data : of the cloud; left : of it, what coarser
    levels leave, as the finest was solved from; least, most : of `solve_share`."""
    finest = shares[-1]
    place_Q3, value_Q, inside_Q, away_Q = _places(shares, data, gap)
    wrong_Q = inside_Q == (value_Q > 0)
    cell, _, weight = finest.partition.locate(place_Q3[wrong_Q])
    cell_C = torch.unique(cell[weight > FAINT])
    if not len(cell_C):
        return finest
    seen_Q = _sees(finest, cell_C, place_Q3)
    place_Q3 = place_Q3[seen_Q]
    target_Q = torch.where(inside_Q, -away_Q, away_Q)[seen_Q]
    for share in shares[:-1]:
        target_Q = target_Q - share.jets(place_Q3)[:, 0]
    near_N = _sees(finest, cell_C, left.points_N3)
    told = replace(
        left,
        points_N3=torch.cat([left.points_N3[near_N], place_Q3]),
        value_N=torch.cat([left.value_N[near_N], target_Q]),
        slope_N3=torch.nn.functional.pad(left.slope_N3[near_N], (0, 0, 0, len(place_Q3))),
        value_noise_N=torch.cat([left.value_noise_N[near_N], torch.full_like(target_Q, DEVIATION * gap)]),
        slope_noise_N=torch.cat([left.slope_noise_N[near_N], torch.full_like(target_Q, math.inf)]),
    )
    again = solve_share(level, finest.cells, told, least, most + len(place_Q3), first=False)
    return _replaced(finest, again, cell_C)


def _places(shares: Sequence[Share], data: Data, gap: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(Q, 3) lattice points that cells reach, beyond the points' spacing, of which it is sure which side of the surface
    they lie on; the field there, whether they are inside, and how far points are."""
    value_XYZ, known_XYZ = joined(bands(shares, STEPS))
    side = len(value_XYZ) - 1
    inside_XYZ = _inside(data, side)
    asked_XYZ = known_XYZ & ((inside_XYZ - 0.5).abs() > SURE)
    place_Q3 = asked_XYZ.nonzero() * (2 / side) - 1
    tree = cKDTree(data.points_N3.cpu().numpy())
    away_Q, _ = tree.query(place_Q3.numpy(), distance_upper_bound=FAR * gap, workers=-1)
    off_Q = torch.from_numpy((away_Q > NEAR * gap) & np.isfinite(away_Q))
    place_Q3, value_Q, away_Q = place_Q3[off_Q], value_XYZ[asked_XYZ][off_Q], torch.from_numpy(away_Q)[off_Q]
    device = data.points_N3.device
    inside_Q = (inside_XYZ[asked_XYZ][off_Q] > 0.5).to(device)
    return place_Q3.to(data.points_N3), value_Q.to(device), inside_Q, away_Q.to(data.points_N3)


def _inside(data: Data, side: int) -> Tensor:
    """(X, Y, Z) winding numbers on a lattice of `side` steps, a half at the points: whether these surround something or
    look inwards, as those of a room do."""
    points, normals = data.points_N3.cpu().numpy(), data.slope_N3.cpu().numpy()
    size, step = next_fast_len(round(PADDED * (side + 1)), real=True), 2 / side
    area_N = _areas(points, normals) / step**2
    field = winding((points + 1) / step, normals * area_N[:, None], size)
    half = np.median(map_coordinates(field, ((points + 1) / step).T, order=1))
    return torch.from_numpy(field[: side + 1, : side + 1, : side + 1] - half + 0.5)


def _areas(points_N3: np.ndarray, normals_N3: np.ndarray) -> np.ndarray:
    """(N,) surface that a point stands for: its share of the disc around it, among the points of its own sheet."""
    away_NJ, near_NJ = cKDTree(points_N3).query(points_N3, k=1 + AROUND, workers=-1)
    alike_NJ = np.einsum("njd,nd->nj", normals_N3[near_NJ], normals_N3) > ALIKE
    count_N = alike_NJ.sum(1) - 0.5 * alike_NJ[:, -1]  # half of the last, on the rim of the disc, lies inside
    area_N: np.ndarray = math.pi * away_NJ[:, -1] ** 2 / count_N.clip(1)
    return area_N


def _sees(share: Share, cell_C: Tensor, points_N3: Tensor) -> Tensor:
    """(N,) points that any of these cells sees."""
    cell, _, weight = share.partition.locate(points_N3)
    return (torch.isin(cell, cell_C) & (weight > FAINT)).any(1)


def _replaced(share: Share, again: Share, cell_C: Tensor) -> Share:
    """A share with the codes of these cells from another of the same level, cells that it had not among them."""
    cell_C = cell_C[again.slot_G[cell_C] >= 0]
    kept_S = ~torch.isin(share.cell_S, cell_C)
    cell_S = torch.cat([share.cell_S[kept_S], cell_C])
    code_SK = torch.cat([share.code_SK[kept_S], again.code_SK[again.slot_G[cell_C]]])
    slot_G = torch.full_like(share.slot_G, -1)
    slot_G[cell_S] = torch.arange(len(cell_S), device=cell_S.device)
    return replace(share, cell_S=cell_S, code_SK=code_SK, slot_G=slot_G)
