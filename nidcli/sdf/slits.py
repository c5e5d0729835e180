"""Slits: two sheets that face each other nearer than points lie apart, such as those of plates laid on one another.

Cells average what both sheets say, a field that grows on either side of nothing: neither does it open the slit nor is
what lies behind it right. So the points of slits are kept from the cells, which closes them, and slits are opened on
the lattice afterwards, as the meeting of two outsides:

    f = max(f without the slit, min(a, b) + d),        a, b = sum_i w_i (x - p_i) . n_i / sum_i w_i    over either sheet

(weighted planes: Shen et al. 2004; max and min of solids: Ricci 1973), where d widens what no lattice point may lie in.

Letters: N points, M of slits, J neighbours, Q lattice points, O offsets between these, X, Y, Z those of a band.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nidcli.sdf.lattice import Band

FACED, OPPOSITE = 40, -0.7  # neighbours that may face a point, and the cosine of the normals of one that does
NARROW, BESIDE = 0.35, 2.0  # spacings between sheets, at most, and along them from a point to one that faces it
TOUCH, APART = 0.05, 0.01  # spacings that some points of a slit may have passed each other by; but not the median
TOUCHING, LEAST = 1.3, 64  # spacings between points of one slit, and how many it has: fewer are an edge or a dent
WIDTH, REACH = 0.8, 1.4  # spacings: of the weights, and from a slit's points as far as it is opened
BEHIND = 2.0  # lattice steps off a point's plane that are looked at
SEEN = 24  # points of a slit that a lattice point looks at
SAME, LITTLE, ENOUGH = 0.6, 1e-4, 0.1  # cosine of the normals of one sheet; weights of either sheet, and of both
MOST = 0.5  # of all points: normals that are turned inwards make slits of thin parts
CROSSING, WEDGE = 0.5, 1.5  # spacings that planes may seem to cross each other by, and lie apart
OPEN = 1.0  # widths of a slab into which lattice points fall everywhere
RUN = 1 << 22  # pairs of a point and a place beside it that are looked at at once


def slit_points(points_N3: np.ndarray, normals_N3: np.ndarray, gap: float) -> np.ndarray:
    """(N,) which points lie in a slit of some size. gap : the points' spacing."""
    away_NJ, near_NJ = (part[:, 1:] for part in cKDTree(points_N3).query(points_N3, k=1 + FACED, workers=-1))
    reached_NJ = np.isfinite(away_NJ)
    near_NJ = np.where(reached_NJ, near_NJ, 0)
    ahead_NJ = np.einsum("njd,nd->nj", points_N3[near_NJ] - points_N3[:, None], normals_N3)
    facing_NJ = np.einsum("njd,nd->nj", normals_N3[near_NJ], normals_N3) < OPPOSITE
    facing_NJ &= reached_NJ & (ahead_NJ > -TOUCH * gap) & (ahead_NJ < NARROW * gap)
    facing_NJ &= away_NJ**2 - ahead_NJ**2 < (BESIDE * gap) ** 2
    slit_N = facing_NJ.any(1)
    # of one slit are points that lie beside each other, on either sheet
    row_N, place_J = np.nonzero(slit_N[:, None] & slit_N[near_NJ] & reached_NJ & (away_NJ < TOUCHING * gap))
    beside = csr_array((np.ones(len(row_N)), (row_N, near_NJ[row_N, place_J])), shape=(len(slit_N),) * 2)
    count, part_N = connected_components(beside, directed=False)
    ahead_N = np.where(facing_NJ, ahead_NJ, 0).sum(1) / facing_NJ.sum(1).clip(1)
    large = np.bincount(part_N[slit_N], minlength=count) >= LEAST
    for part in np.flatnonzero(large):  # the sides of a sheet of no thickness do not face each other
        large[part] = np.median(ahead_N[slit_N & (part_N == part)]) > APART * gap
    found: np.ndarray = slit_N & large[part_N]
    return found if found.mean() < MOST else np.zeros_like(found)


def opened(
    field: Iterable[Band], points_M3: np.ndarray, normals_M3: np.ndarray, gap: float, side: int
) -> Iterator[Band]:
    """The bands of a lattice of `side` steps, with the slits that these points line. gap : spacing of the cloud."""
    if not len(points_M3):
        yield from field
        return
    place_Q3 = _places(points_M3, normals_M3, gap, 2 / side, side)
    tree = cKDTree(points_M3)
    runs = np.array_split(place_Q3, len(place_Q3) * SEEN // RUN + 1)
    value_Q = np.concatenate([_between(run * (2 / side) - 1, tree, normals_M3, gap, 2 / side) for run in runs])
    decided_Q = np.isfinite(value_Q)
    place_Q3, value_Q = place_Q3[decided_Q], value_Q[decided_Q].astype(np.float32)
    for band in field:
        inside_Q = (place_Q3[:, 0] >= band.first) & (place_Q3[:, 0] < band.first + len(band.value_XYZ))
        here = tuple(torch.from_numpy(place_Q3[inside_Q] - np.array([band.first, 0, 0])).T)
        before_Q = torch.where(band.known_XYZ[here], band.value_XYZ[here], -torch.inf)
        band.value_XYZ[here] = torch.maximum(before_Q, torch.from_numpy(value_Q[inside_Q]))
        band.known_XYZ[here] = True
        yield band


def _places(points_M3: np.ndarray, normals_M3: np.ndarray, gap: float, step: float, side: int) -> np.ndarray:
    """(Q, 3) lattice points beside the planes of these points."""
    reach = REACH * gap / step
    along = np.arange(-int(reach) - 1, int(reach) + 2)
    offset_O3 = np.stack(np.meshgrid(along, along, along, indexing="ij"), -1).reshape(-1, 3)
    offset_O3 = offset_O3[(offset_O3**2).sum(1) <= reach**2 + 1]
    base_M3, found = np.round((points_M3 + 1) / step).astype(np.int64), list[np.ndarray]()
    points = max(1, RUN // len(offset_O3))
    for first in range(0, len(base_M3), points):
        run = slice(first, first + points)
        m, o = np.nonzero(np.abs(normals_M3[run] @ offset_O3.T) < BEHIND)
        place_Q3 = base_M3[run][m] + offset_O3[o]
        place_Q3 = place_Q3[((place_Q3 >= 0) & (place_Q3 <= side)).all(1)]
        found.append(np.unique(np.ravel_multi_index(tuple(place_Q3.T), (side + 1,) * 3)))
    return np.stack(np.unravel_index(np.unique(np.concatenate(found)), (side + 1,) * 3), 1)


def _between(place_Q3: np.ndarray, tree: cKDTree, normals_M3: np.ndarray, gap: float, step: float) -> np.ndarray:
    """(Q,) how far places lie outside both sheets, in units of the domain; NaN where there are no two."""
    away_QJ, near_QJ = tree.query(place_Q3, k=min(SEEN, tree.n), workers=-1)
    normal_QJ3 = normals_M3[near_QJ]
    weight_QJ = np.exp(-((away_QJ / (WIDTH * gap)) ** 2))
    out_QJ = np.einsum("qjd,qjd->qj", place_Q3[:, None] - tree.data[near_QJ], normal_QJ3)
    cosine_QJ = np.einsum("qjd,qd->qj", normal_QJ3, normal_QJ3[:, 0])
    first_QJ, second_QJ = weight_QJ * (cosine_QJ > SAME), weight_QJ * (cosine_QJ < -SAME)
    total_Q, other_Q = first_QJ.sum(1), second_QJ.sum(1)
    a_Q, b_Q = (
        (part_QJ * out_QJ).sum(1) / np.maximum(whole_Q, LITTLE)
        for part_QJ, whole_Q in ((first_QJ, total_Q), (second_QJ, other_Q))
    )
    decided_Q = (np.minimum(total_Q, other_Q) > LITTLE) & (total_Q + other_Q > ENOUGH)
    decided_Q &= (a_Q + b_Q > -CROSSING * gap) & (a_Q + b_Q < WEDGE * gap)
    slab_Q = OPEN * step * np.abs(normal_QJ3[:, 0]).sum(1)  # the least in which every line of the lattice has a point
    return np.where(decided_Q, np.minimum(a_Q, b_Q) + np.maximum(0, slab_Q - a_Q - b_Q) / 2, np.nan)
