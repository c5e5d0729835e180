"""What a cloud of points with normals says of places around it."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

NEAREST = 4  # points of the cloud that decide on a sign


def cloud_distance(
    points_N3: np.ndarray, normals_N3: np.ndarray, places_Q3: np.ndarray, tree: cKDTree | None = None
) -> np.ndarray:
    """(Q,) float32 distances of places to the nearest points, negative behind their normals. tree : of the points."""
    tree = cKDTree(points_N3) if tree is None else tree
    length, near = tree.query(places_Q3, k=min(NEAREST, len(points_N3)))
    length, near = length.reshape(len(places_Q3), -1), near.reshape(len(places_Q3), -1)
    facing = np.einsum("qjd,qjd->q", places_Q3[:, None] - points_N3[near], normals_N3[near])
    found: np.ndarray = np.where(facing < 0, -1, 1) * length[:, 0]
    return found.astype(np.float32)
