"""Holes of a mesh that its cloud does not explain, closed.

Where a surface was guessed and taken away it leaves a rim. A hole is closed by a fan around the middle of its rim, if
the whole fan lies as near to points as a surface may, and is small: then nothing says that the thing is open there. A
hole that is wider is the border of the cloud, and stays; so does the rim of a sheet, which is wider as well.

Letters: V vertices, F faces, E edges of a rim.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

WIDE = 2.0  # reaches from the middle of a hole to its rim


def rims(faces_F3: np.ndarray) -> list[np.ndarray]:
    """Closed walks (E,) of vertices along the edges that have a face on one side only, the way their faces run.

    As many rims enter a vertex as leave it, so that every walk ends where it began; one that meets itself is parted.
    """
    start_E, end_E = faces_F3.reshape(-1), np.roll(faces_F3, -1, 1).reshape(-1)
    size = int(faces_F3.max(initial=0)) + 1
    there, there_count = np.unique(start_E * size + end_E, return_counts=True)
    back, back_count = np.unique(end_E * size + start_E, return_counts=True)
    place = np.searchsorted(back, there).clip(max=max(len(back) - 1, 0))
    paired = np.where(back[place] == there, back_count[place], 0)
    bare = np.repeat(there, (there_count - paired).clip(0))
    following = dict[int, list[int]]()
    for a, b in zip((bare // size).tolist(), (bare % size).tolist(), strict=True):
        following.setdefault(a, []).append(b)
    found = []
    for first in list(following):
        while following[first]:
            walk, place_of = [first], {first: 0}
            while following[walk[-1]]:
                step = following[walk[-1]].pop()
                if step in place_of:  # a loop is closed; what led to it goes on
                    loop = walk[place_of[step] :]
                    found.append(np.array(loop))
                    for vertex in loop[1:]:
                        del place_of[vertex]
                    del walk[place_of[step] + 1 :]
                else:
                    place_of[step] = len(walk)
                    walk.append(step)
    return found


def capped(
    vertices_V3: np.ndarray, faces_F3: np.ndarray, points_N3: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """The mesh with its holes closed, and how many were; those whose caps lie further than `reach` off points stay."""
    tree, corners, faces, count = cKDTree(points_N3), [vertices_V3], [faces_F3], 0
    total = len(vertices_V3)
    for rim_E in rims(faces_F3):
        if len(rim_E) < 3:
            continue
        middle_3 = vertices_V3[rim_E].mean(0)
        if np.linalg.norm(vertices_V3[rim_E] - middle_3, axis=1).max() > WIDE * reach:
            continue
        looked_at = [middle_3 + share * (vertices_V3[rim_E] - middle_3) for share in (0.0, 0.33, 0.67)]
        if (tree.query(np.concatenate(looked_at))[0] > reach).any():
            continue
        corners.append(middle_3[None])
        faces.append(np.column_stack([np.roll(rim_E, -1), rim_E, np.full(len(rim_E), total)]))
        total, count = total + 1, count + 1
    return np.concatenate(corners), np.concatenate(faces), count
