"""What hangs together in a mesh, and whether it is closed.

Letters: V vertices, F faces, E edges.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def is_closed(faces_F3: np.ndarray) -> bool:
    """Whether every edge has a face on both sides, which run along it in opposite directions."""
    if not len(faces_F3):
        return False
    start_E, end_E = faces_F3.reshape(-1), np.roll(faces_F3, -1, 1).reshape(-1)
    size = int(faces_F3.max()) + 1
    there, back = np.sort(start_E * size + end_E), np.sort(end_E * size + start_E)
    return bool(np.array_equal(there, back))


def component_of_faces(faces_F3: np.ndarray, vertices: int) -> tuple[int, np.ndarray]:
    """How many parts hang together by common vertices, and the part of each face (F,)."""
    if not len(faces_F3):
        return 0, np.zeros(0, np.int64)
    start_E, end_E = faces_F3[:, :2].reshape(-1), faces_F3[:, 1:].reshape(-1)
    graph = coo_matrix((np.ones(len(start_E), bool), (start_E, end_E)), (vertices, vertices))
    _, part_V = connected_components(graph, directed=False)
    used, part_F = np.unique(part_V[faces_F3[:, 0]], return_inverse=True)
    return len(used), part_F


def compacted(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same faces without vertices that none uses."""
    used, faces = np.unique(faces_F3, return_inverse=True)
    return vertices_V3[used], faces.reshape(-1, 3)
