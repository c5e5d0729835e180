"""Where a cloud's surface is angular: normals that those of their neighbours do not foretell.

Around a point of a smooth surface normals change linearly (the shape operator), n(p + t) = n0 + S t; what a fit to the
neighbours leaves of a point's own normal tells creases, thin parts and corners from all that is smooth. There the
cells' fields are as good as they can be.

Letters: N points, k neighbours, X, Y, Z lattice points.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from torch import Tensor

NEIGHBOURS = 10
SMOOTH, SHARP = 0.15, 0.3  # lengths of what is left of a unit normal: surely smooth, surely angular
NEAR = 3  # points of which one that is angular makes a place angular
SPREAD = 1.0  # spacings
RIDGE = 1e-3  # of the fit, in units of its own size: flat neighbourhoods do not say how normals change across


def angular(points_N3: np.ndarray, normals_N3: np.ndarray) -> np.ndarray:
    """(N,) 0 where the surface around a point is smooth ... 1 where it is angular."""
    count = min(NEIGHBOURS + 1, len(points_N3))
    tree = cKDTree(points_N3)
    near_Nk = tree.query(points_N3, k=count, workers=-1)[1][:, 1:]
    away_Nk3 = points_N3[near_Nk] - points_N3[:, None]
    size_N = np.sqrt((away_Nk3**2).sum(2).mean(1)).clip(1e-12)
    design_Nk4 = np.concatenate([np.ones((*near_Nk.shape, 1)), away_Nk3 / size_N[:, None, None]], 2)
    gram_N44 = np.einsum("nki,nkj->nij", design_Nk4, design_Nk4)
    gram_N44 += RIDGE * near_Nk.shape[1] * np.diag([0.0, 1, 1, 1])
    right_N43 = np.einsum("nki,nkd->nid", design_Nk4, normals_N3[near_Nk])
    foretold_N3 = np.linalg.solve(gram_N44, right_N43)[:, 0]
    left_N = np.linalg.norm(foretold_N3 - normals_N3, axis=1)
    own_N = ((left_N - SMOOTH) / (SHARP - SMOOTH)).clip(0, 1)
    return own_N[np.concatenate([np.arange(len(own_N))[:, None], near_Nk[:, :NEAR]], 1)].max(1)


def spread(splat_XYZ: np.ndarray, share_XYZ: np.ndarray, sigma: float) -> Tensor:
    """(X, Y, Z): what points say on average around every lattice point. splat_XYZ : how many lie there; share_XYZ : the
    sum of what they say; sigma : how far they are heard, in lattice steps."""
    heard, said = (gaussian_filter(part, sigma, mode="constant", truncate=3.0) for part in (splat_XYZ, share_XYZ))
    return torch.from_numpy(said / np.maximum(heard, 1e-6))
