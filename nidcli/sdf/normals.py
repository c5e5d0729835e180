"""Normals for clouds that have none.

Direction: the axis of least variance of a point's neighbours (Hoppe et al. 1992), as many of them as the noise asks
for. Orientation: propagated along the minimum spanning tree of the neighbour graph, where a step costs 1 - |n . n'|
(ibid.); a tree may turn over at a thin part or a crease, so that orientations are then made consistent with the
winding number field that they produce themselves (winding.py), against whose gradient they should point: points that
disagree with it turn over, until none does (as in Hou et al. 2022, Iterative Poisson surface reconstruction, and Xu et
al. 2023).

Letters: N points, k neighbours, G grid points a side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from nidcli.sdf.winding import winding

FEW, MANY = 12, 24  # neighbours, at least and at most
REACH = 8.0  # radius of a neighbourhood, in standard deviations of the noise
GRAPH = 8  # neighbours along which orientation is propagated
GRID, ROUNDS = 80, 16
BLUR = 1.0  # standard deviation of a point on the grid, in grid steps
VOTERS, SETTLED = 10, 0.002  # neighbours that vote; share of points that turn over when parts are looked at


@dataclass(frozen=True)
class Normals:
    """normals_N3 : unit, outward; noise : standard deviation of the points off their surface, in their units."""

    normals_N3: np.ndarray
    noise: float


def estimate_normals(points_N3: np.ndarray, noise: float | None = None) -> Normals:
    """Oriented normals of at least four points that lie in [-1, 1]. noise : None to estimate it as well."""
    tree = cKDTree(points_N3)
    near = min(MANY, len(points_N3))
    distance_Nk, index_Nk = tree.query(points_N3, k=near, workers=-1)
    few = min(FEW, near)
    sigma = estimate_noise(points_N3, index_Nk[:, :few]) if noise is None else noise
    radius = float(np.median(distance_Nk[:, few - 1]))
    wanted = max(radius, REACH * sigma)
    count = int(np.clip(np.median((distance_Nk <= wanted).sum(1)), few, near))
    directions_N3, _ = _principal(points_N3, index_Nk[:, :count])
    oriented_N3 = propagated(points_N3, directions_N3, index_Nk[:, 1 : GRAPH + 1])
    return Normals(consistent(points_N3, oriented_N3), sigma)


def estimate_noise(points_N3: np.ndarray, index_Nk: np.ndarray) -> float:
    """Standard deviation off a plane through a point's neighbours, the lower quartile over points: most are flat."""
    _, spread_N = _principal(points_N3, index_Nk)
    k = index_Nk.shape[1]
    return float(np.quantile(np.sqrt(np.maximum(spread_N, 0) * k / max(k - 3, 1)), 0.25))


def propagated(points_N3: np.ndarray, normals_N3: np.ndarray, index_Nk: np.ndarray) -> np.ndarray:
    """The same directions, turned so that neighbours along the spanning tree agree."""
    N, k = index_Nk.shape
    row, column = np.repeat(np.arange(N), k), index_Nk.reshape(-1)
    cosine = np.abs(np.einsum("nd,nd->n", normals_N3[row], normals_N3[column]))
    graph = coo_matrix((1.0001 - cosine, (row, column)), (N, N)).tocsr()
    forest = minimum_spanning_tree(graph.maximum(graph.T))
    forest = forest + forest.T
    count, tree_N = connected_components(forest, directed=False)
    turned_N3 = normals_N3.copy()
    by_tree = np.argsort(tree_N, kind="stable")
    for members in np.split(by_tree, np.cumsum(np.bincount(tree_N, minlength=count))[:-1]):
        top = members[points_N3[members, 1].argmax()]
        if turned_N3[top, 1] < 0:
            turned_N3[top] *= -1
        order, before = breadth_first_order(forest, top, directed=False)
        for i, parent in zip(order[1:].tolist(), before[order[1:]].tolist(), strict=True):
            if turned_N3[i] @ turned_N3[parent] < 0:
                turned_N3[i] *= -1
    return turned_N3


def consistent(points_N3: np.ndarray, normals_N3: np.ndarray) -> np.ndarray:
    """Normals turned over where the winding number field says so, until none is or ROUNDS are over.

    Two things are asked of the field w that they make. It falls along a normal: who points against that, by a vote of
    his neighbours, turns over. And on the surface it is about one half: a part that is inside out as a whole agrees
    with its own field, but makes it minus one half, and turns over as a whole.
    """
    tree = cKDTree(points_N3)
    near = tree.query(points_N3, k=min(VOTERS, len(points_N3)), workers=-1)
    area_N = near[0][:, min(6, near[0].shape[1] - 1)] ** 2
    turned_N3, settled = normals_N3.copy(), False
    for _ in range(ROUNDS):
        value_N, slope_N3 = _winding(points_N3, turned_N3 * area_N[:, None])
        if value_N.mean() < 0:
            turned_N3 *= -1
            continue
        if settled:
            wrong = value_N[near[1]].mean(1) < 0
            if not wrong.any():
                break
        else:
            rising_N = np.einsum("nd,nd->n", slope_N3, turned_N3)
            aligned_Nk = np.einsum("nd,nkd->nk", turned_N3, turned_N3[near[1]])
            wrong = (rising_N[near[1]] * np.sign(aligned_Nk) * (np.abs(aligned_Nk) > 0.5)).sum(1) > 0
        settled = not settled and wrong.mean() < SETTLED
        turned_N3[wrong] *= -1
    return turned_N3


def _winding(points_N3: np.ndarray, weighted_N3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The winding number field at the points above that at the border of the domain (N,), and its slope (N, 3).

    Both in units of their own: the sign is what counts.
    """
    span = 2.4  # the field is periodic: a margin around [-1, 1] keeps the copies apart
    place_N3 = (points_N3 / span + 0.5) * GRID
    field = winding(place_N3, weighted_N3, GRID, BLUR)
    border = np.mean([field[0].mean(), field[:, 0].mean(), field[:, :, 0].mean()])
    slope = [(np.roll(field, -1, d) - np.roll(field, 1, d)) / 2 for d in range(3)]
    look = [map_coordinates(values, place_N3.T, order=1, mode="grid-wrap") for values in (field, *slope)]
    return look[0] - border, np.stack(look[1:], 1)


def _principal(points_N3: np.ndarray, index_Nk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axis of least variance of each neighbourhood (N, 3), and that variance (N,)."""
    axes, spread = np.empty_like(points_N3), np.empty(len(points_N3))
    for start in range(0, len(points_N3), 1 << 15):
        around = points_N3[index_Nk[start : start + (1 << 15)]]
        around = around - around.mean(1, keepdims=True)
        value, vector = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around) / around.shape[1])
        axes[start : start + (1 << 15)], spread[start : start + (1 << 15)] = vector[:, :, 0], value[:, 0]
    return axes, spread
