"""How close a mesh is to another, as the command-line contract defines it.

Chamfer: mean of the two mean squared nearest distances over 100,000 points a surface, times 1000, with the longest
side of the reference scaled to 1.8. Normal consistency: mean |n . n'| of the nearest pairs, both ways. F-score: the
harmonic mean of the shares of points that lie within 1 % of the longest side (Knapitsch et al. 2017). IoU: volume that
both hold over volume that either holds, on a grid of 128 columns a side; only where both are closed.

Letters: V vertices, F faces, N points, Q crossings of a grid's columns with a surface.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from nidcli.files.meshes import Mesh
from nidcli.sdf.topology import is_closed

POINTS, SIDE, NEAR, COLUMNS = 100_000, 1.8, 0.01, 128


@dataclass(frozen=True)
class MeshQuality:
    """Chamfer times 1000 of squared distances, normal consistency and F-score 0...1, IoU 0...1 or NaN."""

    chamfer: float
    normal_consistency: float
    fscore: float
    iou: float


def compare(result: Mesh, reference: Mesh, points: int = POINTS, seed: int = 0) -> MeshQuality:
    """The quality of a mesh; equal seeds give equal numbers."""
    side = float(np.ptp(reference.vertices_V3, axis=0).max()) or 1.0
    rng = np.random.default_rng(seed)
    ours, our_normals = sample_surface(result, points, rng)
    theirs, their_normals = sample_surface(reference, points, rng)
    there, to_theirs = cKDTree(theirs).query(ours, workers=-1)
    back, to_ours = cKDTree(ours).query(theirs, workers=-1)
    agree = np.abs(np.einsum("nd,nd->n", our_normals, their_normals[to_theirs])).mean()
    agree += np.abs(np.einsum("nd,nd->n", their_normals, our_normals[to_ours])).mean()
    precision, recall = float((there < NEAR * side).mean()), float((back < NEAR * side).mean())
    both = is_closed(result.faces_F3) and is_closed(reference.faces_F3)
    return MeshQuality(
        chamfer=1e3 * (SIDE / side) ** 2 * float((there**2).mean() + (back**2).mean()) / 2,
        normal_consistency=float(agree) / 2,
        fscore=2 * precision * recall / max(precision + recall, 1e-12),
        iou=_iou(result, reference) if both else math.nan,
    )


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) points spread evenly over the area, and the normals of their faces (N, 3)."""
    corners_F33 = mesh.vertices_V3[mesh.faces_F3]
    cross_F3 = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0])
    area_F = np.linalg.norm(cross_F3, axis=1)
    ends_F = np.cumsum(area_F)
    face_N = np.searchsorted(ends_F, rng.random(count) * ends_F[-1], side="right").clip(0, len(area_F) - 1)
    u, v = rng.random((2, count, 1))
    flip = u + v > 1  # the other half of the parallelogram
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    a, b, c = corners_F33[face_N].transpose(1, 0, 2)
    return a + u * (b - a) + v * (c - a), cross_F3[face_N] / np.maximum(area_F[face_N], 1e-300)[:, None]


def winding_grid(mesh: Mesh, low_3: np.ndarray, high_3: np.ndarray, cells: int) -> np.ndarray:
    """(cells,) * 3 winding numbers of a closed mesh at the centres of a grid between two corners.

    Along every column of the grid each crossing upwards or downwards changes the number by one.
    """
    step_3 = (high_3 - low_3) / cells
    corners_F33 = (mesh.vertices_V3[mesh.faces_F3] - low_3) / step_3 - 0.5  # centres are whole numbers
    corners_F33[..., :2] += np.array([0.317, 0.231]) * 1e-4  # no column runs through an edge
    first_F2 = np.ceil(corners_F33[..., :2].min(1)).clip(0, cells).astype(np.int64)
    last_F2 = np.floor(corners_F33[..., :2].max(1)).clip(-1, cells - 1).astype(np.int64)
    wide_F, high_F = (last_F2 - first_F2 + 1).clip(0).T
    count_F = wide_F * high_F
    face_Q = np.repeat(np.arange(len(count_F)), count_F)
    inside_Q = np.arange(len(face_Q)) - np.repeat(np.cumsum(count_F) - count_F, count_F)
    x_Q = first_F2[face_Q, 0] + inside_Q % np.maximum(wide_F[face_Q], 1)
    y_Q = first_F2[face_Q, 1] + inside_Q // np.maximum(wide_F[face_Q], 1)
    a, b, c = corners_F33[face_Q].transpose(1, 0, 2)
    area_Q = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        beta_Q = ((x_Q - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (y_Q - a[:, 1])) / area_Q
        gamma_Q = ((b[:, 0] - a[:, 0]) * (y_Q - a[:, 1]) - (x_Q - a[:, 0]) * (b[:, 1] - a[:, 1])) / area_Q
        hit_Q = (area_Q != 0) & (beta_Q >= 0) & (gamma_Q >= 0) & (beta_Q + gamma_Q <= 1)
        z_Q = a[:, 2] + beta_Q * (b[:, 2] - a[:, 2]) + gamma_Q * (c[:, 2] - a[:, 2])
    x_Q, y_Q, z_Q, up_Q = x_Q[hit_Q], y_Q[hit_Q], z_Q[hit_Q], np.sign(area_Q[hit_Q])
    change = np.zeros((cells, cells, cells + 1))
    np.add.at(change, (x_Q, y_Q, np.ceil(z_Q).clip(0, cells).astype(np.int64)), -up_Q)
    return np.cumsum(change, 2)[:, :, :cells].round().astype(np.int64)


def _iou(result: Mesh, reference: Mesh) -> float:
    every = np.concatenate([result.vertices_V3, reference.vertices_V3])
    low_3, high_3 = every.min(0), every.max(0)
    margin_3 = np.maximum((high_3 - low_3) * 0.01, 1e-9 * (high_3 - low_3).max())
    ours, theirs = (winding_grid(m, low_3 - margin_3, high_3 + margin_3, COLUMNS) != 0 for m in (result, reference))
    either = (ours | theirs).sum()
    return float((ours & theirs).sum() / either) if either else math.nan
