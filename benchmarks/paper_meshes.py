"""Surfaces of fields, and how close they are to a truth; shapes have a longest side of 1.8.

Chamfer: mean of the two mean squared nearest distances, times 1000; normal consistency: mean |n . n'| of nearest pairs,
both ways. Letters: N points, V vertices, F faces.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor

GRID, MEASURED = 64, 30_000  # points a side of the grid, and on a surface
Cloud = tuple[np.ndarray, np.ndarray]  # points and normals, (N, 3)
Mesh = tuple[np.ndarray, np.ndarray]  # vertices (V, 3) and faces (F, 3)


def meshed(f: Callable[[Tensor], Tensor], level: float = 0.0) -> Mesh:
    """The surface f = level in [-1, 1]^3."""
    axis = torch.linspace(-1, 1, GRID)
    places = torch.cartesian_prod(axis, axis, axis)
    with torch.no_grad():
        values = torch.cat([f(part) for part in places.split(1 << 16)]).view(GRID, GRID, GRID).numpy()
    if not values.min() < level < values.max():
        raise ValueError("no surface")
    corners, faces, _, _ = marching_cubes(values, level, spacing=(2 / (GRID - 1),) * 3)
    return corners - 1, faces


def quality(mesh: Mesh, truth: Cloud) -> tuple[float, float]:
    """Chamfer and normal consistency."""
    solid = trimesh.Trimesh(*mesh, process=False)
    points, face = trimesh.sample.sample_surface(solid, MEASURED, seed=1)
    normals = solid.face_normals[face]
    there, near = cKDTree(truth[0]).query(points)
    back, close = cKDTree(points).query(truth[0])
    agree = np.abs((normals * truth[1][near]).sum(1)).mean() + np.abs((truth[1] * normals[close]).sum(1)).mean()
    return 500 * float((there**2).mean() + (back**2).mean()), float(agree) / 2
