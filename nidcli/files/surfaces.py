"""Points on the surfaces of meshes, with the normals of their faces."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import trimesh

from nidcli.errors import InputError


def sample_mesh(path: Path, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, str]:
    """(N, 3) float32 points spread evenly over the area, their normals (N, 3), and the sha256 of the file.

    The mesh is moved and scaled so that the centre of its box is the origin and its longest side 1.8.
    Raises InputError for what is no mesh with faces.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    try:
        mesh = trimesh.load_mesh(path, process=False)
        corners_V3 = np.asarray(mesh.vertices, np.float64)
        if not len(mesh.faces) or not np.isfinite(corners_V3).all():
            raise ValueError("it has no faces")
    except Exception as error:  # parsers raise whatever they stumble over
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(
            f"{path} is not a mesh that can be read ({reason}); give OBJ, PLY, OFF, STL or GLB."
        ) from error
    low, high = corners_V3.min(0), corners_V3.max(0)
    mesh.vertices = (corners_V3 - (low + high) / 2) * (1.8 / max(float((high - low).max()), 1e-12))
    points_N3, face_N = trimesh.sample.sample_surface(mesh, count, seed=seed)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return np.asarray(points_N3, np.float32), np.asarray(mesh.face_normals[face_N], np.float32), digest
