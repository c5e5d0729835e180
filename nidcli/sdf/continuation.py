"""What is unseen, guessed: surfaces go straight on over the border of what a cloud shows.

A point lies on a border where its neighbours on the same surface lie on one side (the half-disc criterion of Bendels,
Schnabel and Klein 2006) and hardly any point, of whatever surface, lies beyond or faces that way: at a sharp edge the
other face does. It is then followed by points along its tangent, away from its neighbours, up to what is seen
elsewhere. A leg that was cut through goes on, and so does a back; nothing says where they end.

Letters: N points, k neighbours, B points of the border, T steps of a ray.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from nidcli.sdf.support import facing

NEIGHBOURS, AROUND = 32, 3.0  # that are looked at, and spacings within which they lie
ALIKE, FLAT, THICK = 0.6, 0.5, 0.3  # of one surface: cosine of normals; how far off the tangent plane, and spacings
ENOUGH, ONE_SIDED = 5, 0.4  # neighbours on the surface; length of the mean of the directions to them
PAST, FOLDED, MOST = 0.25, 0.5, 3  # what hardly any point may: lie so many spacings beyond, or face across the border
LONELY, TOGETHER = 4, 4.0  # points of a border, at the least, within so many spacings
SMOOTHED, PARALLEL = 12, 0.8  # points of the border whose directions are averaged; cosine of their normals
BETWEEN = 5.0  # spacings between points of a border that rays fill
FREE, APART = 1.2, 0.7  # spacings to what is seen: nearer than the first a ray ends, nearer than the other is no point
BEGINNING = (2, 4)  # steps of a ray that do not count, since they lie by its start, and up to which it must be free
LENGTH = 0.35  # in units of the domain, whose longest side holds 1.8


def continued(
    points_N3: np.ndarray, normals_N3: np.ndarray, gap: float, length: float = LENGTH
) -> tuple[np.ndarray, np.ndarray]:
    """The cloud and, after it, points on the straight continuation of its surfaces. gap : between neighbours."""
    tree = cKDTree(points_N3)
    border_B, onwards_B3 = _border(tree, points_N3, normals_N3, gap)
    if not len(border_B):
        return points_N3, normals_N3
    start_B3, normals_B3, onwards_B3 = _closed_up(points_N3[border_B], normals_N3[border_B], onwards_B3, gap)
    step_T = np.arange(1, int(length / gap) + 1) * gap
    ray_BT3 = start_B3[:, None] + step_T[:, None] * onwards_B3[:, None]
    away_BT = tree.query(ray_BT3.reshape(-1, 3), workers=-1)[0].reshape(ray_BT3.shape[:2])
    first, last = BEGINNING
    met_BT = away_BT < FREE * gap
    met_BT[:, :first] = False
    met_BT |= met_BT[:, first:last].any(1, keepdims=True)
    new_BT = ~np.logical_or.accumulate(met_BT, 1) & (away_BT > APART * gap)
    added_A3, facing_A3 = ray_BT3[new_BT], np.broadcast_to(normals_B3[:, None], ray_BT3.shape)[new_BT]
    first_A = _sparse(added_A3, facing_A3, gap)
    return np.concatenate([points_N3, added_A3[first_A]]), np.concatenate([normals_N3, facing_A3[first_A]])


def _border(tree: cKDTree, points_N3: np.ndarray, normals_N3: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """(B,) points of the border, and (B, 3) the directions across it, in their tangent planes."""
    distance_Nk, index_Nk = tree.query(points_N3, k=min(NEIGHBOURS, len(points_N3) - 1) + 1, workers=-1)
    near_Nk = distance_Nk[:, 1:] < AROUND * gap
    offset_Nk3 = points_N3[index_Nk[:, 1:]] - points_N3[:, None]
    off_Nk = np.einsum("nkd,nd->nk", offset_Nk3, normals_N3)
    along_Nk3 = offset_Nk3 - off_Nk[..., None] * normals_N3[:, None]
    length_Nk = np.linalg.norm(along_Nk3, axis=2)
    alike_Nk = np.einsum("nd,nkd->nk", normals_N3, normals_N3[index_Nk[:, 1:]]) > ALIKE
    same_Nk = near_Nk & alike_Nk & (np.abs(off_Nk) < FLAT * length_Nk + THICK * gap)
    mean_N3 = _unit(along_Nk3)
    mean_N3 = (mean_N3 * same_Nk[..., None]).sum(1) / np.maximum(same_Nk.sum(1), 1)[:, None]
    onwards_N3 = -_unit(mean_N3)
    past_Nk = np.einsum("nkd,nd->nk", offset_Nk3, onwards_N3) > PAST * gap
    folded_Nk = np.abs(np.einsum("nkd,nd->nk", normals_N3[index_Nk[:, 1:]], onwards_N3)) > FOLDED
    past_N = (near_Nk & (past_Nk | folded_Nk)).sum(1)
    one_sided_N = (np.linalg.norm(mean_N3, axis=1) > ONE_SIDED) & (same_Nk.sum(1) >= ENOUGH)
    border_B = np.flatnonzero(one_sided_N & (past_N <= MOST))
    if not len(border_B):
        return border_B, onwards_N3[border_B]
    company_B = cKDTree(points_N3[border_B]).query_ball_point(points_N3[border_B], TOGETHER * gap, return_length=True)
    border_B = border_B[company_B >= LONELY]
    return border_B, _smoothed(points_N3[border_B], normals_N3[border_B], onwards_N3[border_B])


def _smoothed(points_B3: np.ndarray, normals_B3: np.ndarray, onwards_B3: np.ndarray) -> np.ndarray:
    """(B, 3) directions, averaged over neighbours on the border that face alike."""
    if not len(points_B3):
        return onwards_B3
    near = list(range(1, min(SMOOTHED, len(points_B3)) + 1))
    index_Bk = cKDTree(points_B3).query(points_B3, k=near)[1]
    alike_Bk = np.einsum("nd,nkd->nk", normals_B3, normals_B3[index_Bk]) > PARALLEL
    mean_B3 = (onwards_B3[index_Bk] * alike_Bk[..., None]).sum(1)
    mean_B3 -= np.einsum("nd,nd->n", mean_B3, normals_B3)[:, None] * normals_B3
    return _unit(mean_B3)


def _closed_up(
    points_B3: np.ndarray, normals_B3: np.ndarray, onwards_B3: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The border with points between neighbours that go the same way, so that rays make sheets and no ribbons."""
    i_P, j_P = cKDTree(points_B3).query_pairs(BETWEEN * gap, output_type="ndarray").T
    alike_P = (normals_B3[i_P] * normals_B3[j_P]).sum(1) > PARALLEL
    alike_P &= (onwards_B3[i_P] * onwards_B3[j_P]).sum(1) > PARALLEL
    i_P, j_P = i_P[alike_P], j_P[alike_P]
    points, normals, onwards = (
        np.concatenate([each, *((1 - share) * each[i_P] + share * each[j_P] for share in (1 / 3, 2 / 3))])
        for each in (points_B3, normals_B3, onwards_B3)
    )
    return points, _unit(normals), _unit(onwards)


def _sparse(points_A3: np.ndarray, normals_A3: np.ndarray, gap: float) -> np.ndarray:
    """Which points to keep, to be about as far apart as those of the cloud: one a voxel and side of a sheet."""
    voxel_A4 = np.column_stack([np.floor(points_A3 / (APART * gap)).astype(np.int64), facing(normals_A3)])
    return np.sort(np.unique(voxel_A4, axis=0, return_index=True)[1])


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12))
