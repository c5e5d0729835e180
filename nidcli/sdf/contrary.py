"""Points whose normals contradict all that lies around them: turned the wrong way, or of a crevice that nothing else
shows. One of them is enough for a blister on either side of the surface.

Letters: N points, J neighbours.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS, AROUND = 40, 3.0  # that are looked at, and spacings within which: some 28 of one sheet, half of two
BESIDE, OPPOSITE = 0.5, -0.5  # spacings off a neighbour's plane, and cosine of the normals that contradict, at most
ENOUGH, FEW = 6, 1 / 12  # that contradict, and of these as many as may agree: others that are turned as well
DENSE = 0.03  # spacing in units of the domain, beyond which one point may be all that is seen of a thin part


def contrary(points_N3: np.ndarray, normals_N3: np.ndarray, gap: float) -> np.ndarray:
    """(N,) which points stand against their neighbours, none of sparse ones. gap : the points' spacing."""
    if gap > DENSE:
        return np.zeros(len(points_N3), bool)
    near = min(NEIGHBOURS + 1, len(points_N3))
    away_NJ, near_NJ = (part[:, 1:] for part in cKDTree(points_N3).query(points_N3, k=near, workers=-1))
    cosine_NJ = np.einsum("njd,nd->nj", normals_N3[near_NJ], normals_N3)
    off_NJ = np.einsum("njd,njd->nj", points_N3[:, None] - points_N3[near_NJ], normals_N3[near_NJ])
    beside_NJ = (away_NJ < AROUND * gap) & (np.abs(off_NJ) < BESIDE * gap)
    against_N, agree_N = (beside_NJ & (cosine_NJ < OPPOSITE)).sum(1), (beside_NJ & (cosine_NJ > 0)).sum(1)
    found: np.ndarray = (against_N >= ENOUGH) & (agree_N <= FEW * against_N)
    return found
