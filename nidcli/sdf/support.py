"""What happens to a cloud before it is looked at, and to a surface afterwards: thinning, density, support.

Letters: N points, J neighbours, V vertices, F faces.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from nidcli.sdf.topology import compacted, component_of_faces

# Spacings from the nearest point: supported up to the first, guessing beyond the second. Less is believed where points
# lie as far apart as parts of things do.
NEAR, FAR = (1.5, 1.2), (2.2, 1.8)
SPARSE = (0.048, 0.06)  # spacings, in units of the domain, between which the one becomes the other
AROUND, OPPOSITE = 8, -0.7  # neighbours that may lie on another sheet, and the cosine of the normals of one that does
SUPPORT = 3  # points that a part is the nearest to, or it is noise


def spacing(points_N3: np.ndarray) -> float:
    """Distance between neighbours of points spread evenly over as much surface: from the eighth neighbour's (median),
    pi r^2 = 8 areas of a point."""
    near = min(9, len(points_N3))
    radius = float(np.median(cKDTree(points_N3).query(points_N3, k=near, workers=-1)[0][:, -1]))
    return max(radius * math.sqrt(math.pi / (near - 1)), 1e-6)


def thinned(points_N3: np.ndarray, normals_N3: np.ndarray | None, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Equal points made one; and of more than `most` the means in voxels as large as it takes, with their normals.

    A voxel whose normals cancel, such as that of a thin sheet, is split by their directions.
    """
    _, first = np.unique(points_N3, axis=0, return_index=True)
    first.sort()
    points_N3, normals_N3 = points_N3[first], None if normals_N3 is None else normals_N3[first]
    side = 2 * math.sqrt(2.0 / most)
    while len(points_N3) > most:
        key = np.floor(points_N3 / side).astype(np.int64) + (1 << 19)
        code = (key[:, 0] << 40) + (key[:, 1] << 20) + key[:, 2]
        if normals_N3 is not None:
            code = code * 6 + facing(normals_N3)
        _, voxel, count = np.unique(code, return_inverse=True, return_counts=True)
        if len(count) <= most:
            mean = np.stack([np.bincount(voxel, points_N3[:, d]) for d in range(3)], 1) / count[:, None]
            if normals_N3 is not None:
                total = np.stack([np.bincount(voxel, normals_N3[:, d]) for d in range(3)], 1)
                normals_N3 = total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12)
            return mean, normals_N3
        side *= 1.15
    return points_N3, normals_N3


def facing_within(step: float, points_N3: np.ndarray, normals_N3: np.ndarray, gap: float) -> float:
    """Share of the points whose sheet has another, turned the other way, nearer to it than a step: the two sides of one
    thin part, or of a slit."""
    away_NJ, near_NJ = (each[:, 1:] for each in cKDTree(points_N3).query(points_N3, k=1 + AROUND, workers=-1))
    turned_NJ = np.einsum("njd,nd->nj", normals_N3[near_NJ], normals_N3) < OPPOSITE
    between_NJ = np.abs(np.einsum("njd,nd->nj", points_N3[near_NJ] - points_N3[:, None], normals_N3))
    return float((turned_NJ & (between_NJ < step) & (away_NJ < max(gap, step))).any(1).mean())


def facing(normals_N3: np.ndarray) -> np.ndarray:
    """(N,) the main direction of normals, 0 ... 5: it tells the sides of a sheet apart."""
    axis_N = np.abs(normals_N3).argmax(1)
    return 2 * axis_N + (normals_N3[np.arange(len(axis_N)), axis_N] > 0)


def supported(
    vertices_V3: np.ndarray, faces_F3: np.ndarray, points_N3: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """The surface without what no points support, and how many parts were taken away.

    A patch without points near it closes a gap and stays, unless it reaches further from any point than the gaps
    between points go: then it is guessing. A part that is the nearest to almost none of the points goes as well.
    gap : the distance between neighbouring points.
    """
    if not len(faces_F3):
        return vertices_V3, faces_F3, 0
    distance_V = cKDTree(points_N3).query(vertices_V3, workers=-1)[0]
    before, _ = component_of_faces(faces_F3, len(vertices_V3))
    near, far = (np.interp(gap, SPARSE, ends) * gap for ends in (NEAR, FAR))
    off_F = (distance_V[faces_F3] > near).any(1)
    patches, patch_X = component_of_faces(faces_F3[off_F], len(vertices_V3))
    reach = np.zeros(patches)
    np.maximum.at(reach, patch_X, distance_V[faces_F3[off_F]].max(1))
    guessed_F = off_F.copy()
    guessed_F[off_F] = reach[patch_X] > far
    faces_F3 = faces_F3[~guessed_F]
    if not len(faces_F3):
        return vertices_V3[:0], faces_F3, before
    count, part_F = component_of_faces(faces_F3, len(vertices_V3))
    nearest_N = cKDTree(vertices_V3[faces_F3].mean(1)).query(points_N3, workers=-1)[1]
    points = np.bincount(part_F[nearest_N], minlength=count)
    keep = points >= SUPPORT
    faces_F3 = faces_F3[keep[part_F]]
    return *compacted(vertices_V3, faces_F3), max(0, before - int(keep.sum()))
