"""A mesh without the waves of its lattice: what cells that disagree and slivers of marching cubes leave on it.

    v <- v + (mean of v's neighbours - v) / 2                                   some rounds (Field 1988)
    n_f <- sum_g a_g exp(-|n_f - n_g|^2 / 2 s^2) n_g, normalised                over neighbours (Zheng et al. 2011)
    v <- v + mean over v's faces of n_f (n_f . (c_f - v))                       (Sun et al. 2007)

The first two levels what is nearly level and leave edges that are sharper than s; the last turns the faces towards
their new normals. Vertices move by parts of a lattice step. Letters: V vertices, F faces, E pairs of faces.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags

from nidcli.sdf.support import SPARSE

EVEN, UNEVEN = 1 / 3, 2.0  # spacings and deviations of the noise: what is smaller is of the lattice and of the cells
MOST_ROUNDS = 64  # of what lattices that are finer than the cloud asks for would take
LEVEL_ROUNDS = 16  # and beyond so many the few faces that levelling sees are too small for it to change anything
SHARP = 0.35  # differences of unit normals beyond which it is an edge
AVERAGES, TURNS = 3, 10  # rounds of normals, and of vertices that follow them


def faired(vertices_V3: np.ndarray, faces_F3: np.ndarray, step: float, gap: float, noise: float) -> np.ndarray:
    """(V, 3): the vertices of a mesh from a lattice with such steps, of points `gap` apart with such noise; all in
    units of the domain. Dense points draw level faces by themselves."""
    rounds = min(MOST_ROUNDS, round((max(EVEN * gap, UNEVEN * noise) / step) ** 2))
    vertices_V3 = relaxed(vertices_V3, faces_F3, rounds)
    return levelled(vertices_V3, faces_F3) if gap > SPARSE[0] and rounds <= LEVEL_ROUNDS else vertices_V3


def relaxed(vertices_V3: np.ndarray, faces_F3: np.ndarray, rounds: int) -> np.ndarray:
    """(V, 3): the vertices after so many rounds among their neighbours; those of a rim only see that."""
    V, start_E, end_E = len(vertices_V3), faces_F3.reshape(-1), np.roll(faces_F3, -1, 1).reshape(-1)
    both_VV = coo_matrix((np.ones(len(start_E), np.float32), (start_E, end_E)), (V, V)).tocsr()
    both_VV = both_VV + both_VV.T
    bare_VV = (both_VV == 1).tocsr()  # edges with one face
    inside_V = np.diff(bare_VV.indptr) == 0
    near_VV = (diags(inside_V.astype(np.float64)) @ (both_VV > 0) + bare_VV).tocsr()
    near_VV.eliminate_zeros()
    near_VV.data[:] = 1
    count_V1 = np.diff(near_VV.indptr)[:, None]
    for _ in range(rounds):
        mean_V3 = (near_VV @ vertices_V3) / np.maximum(count_V1, 1)
        vertices_V3 = np.where(count_V1 > 0, (vertices_V3 + mean_V3) / 2, vertices_V3)
    return vertices_V3


def levelled(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(V, 3): the vertices after the faces have turned towards those around that are nearly parallel."""
    V, F = len(vertices_V3), len(faces_F3)
    corner_VF = csr_matrix((np.ones(3 * F), (faces_F3.reshape(-1), np.repeat(np.arange(F), 3))), (V, F))
    return _turned(vertices_V3, faces_F3, corner_VF, _averaged(vertices_V3, faces_F3, corner_VF))


def _crossed(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(F, 3) normals as long as twice the areas."""
    a, b, c = vertices_V3[faces_F3].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


def _averaged(vertices_V3: np.ndarray, faces_F3: np.ndarray, corner_VF: csr_matrix) -> np.ndarray:
    """(F, 3) unit normals, each the mean of those around that are like it."""
    cross_F3 = _crossed(vertices_V3, faces_F3)
    area_F = np.linalg.norm(cross_F3, axis=1)
    normal_F3 = cross_F3 / np.maximum(area_F, 1e-300)[:, None]
    near_FF = (corner_VF.T @ corner_VF).tocsr()  # faces with a vertex in common
    of_E = np.repeat(np.arange(len(faces_F3)), np.diff(near_FF.indptr))
    for _ in range(AVERAGES):
        alike_E = np.exp(-((normal_F3[of_E] - normal_F3[near_FF.indices]) ** 2).sum(1) / (2 * SHARP**2))
        weight_FF = csr_matrix((alike_E * area_F[near_FF.indices], near_FF.indices, near_FF.indptr), near_FF.shape)
        mean_F3 = weight_FF @ normal_F3
        normal_F3 = mean_F3 / np.maximum(np.linalg.norm(mean_F3, axis=1), 1e-300)[:, None]
    return normal_F3


def _turned(vertices_V3: np.ndarray, faces_F3: np.ndarray, corner_VF: csr_matrix, normal_F3: np.ndarray) -> np.ndarray:
    count_V1 = np.maximum(np.diff(corner_VF.indptr), 1)[:, None]
    project_V33 = (corner_VF @ (normal_F3[:, :, None] * normal_F3[:, None]).reshape(-1, 9)).reshape(-1, 3, 3)
    for _ in range(TURNS):
        height_F1 = (vertices_V3[faces_F3].mean(1) * normal_F3).sum(1, keepdims=True)
        pull_V3 = corner_VF @ (normal_F3 * height_F1) - np.einsum("vij,vj->vi", project_V33, vertices_V3)
        vertices_V3 = vertices_V3 + pull_V3 / count_V1
    return vertices_V3
