"""Values of points on a lattice, spread linearly over the eight lattice points around each.

Letters: N points, C values of each, G lattice points, X, Y, Z the same along the axes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def splatted(place_N3: np.ndarray, value_NC: np.ndarray, size: tuple[int, int, int]) -> Tensor:
    """(1 + C, X, Y, Z): how many points, and the sums of their values, spread over the eight lattice points around."""
    base_N3 = np.floor(place_N3).astype(np.int64)
    share_N3 = place_N3 - base_N3
    out_CG = np.zeros((1 + value_NC.shape[1], int(np.prod(size))), np.float32)
    for corner in np.ndindex(2, 2, 2):
        at_N3 = base_N3 + corner
        weight_N = np.where(corner, share_N3, 1 - share_N3).prod(1)
        inside_N = ((at_N3 >= 0) & (at_N3 < size)).all(1)
        flat = np.ravel_multi_index(at_N3[inside_N].T, size)
        for row, values_N in zip(out_CG, (weight_N, *(weight_N[:, None] * value_NC).T), strict=True):
            row += np.bincount(flat, values_N[inside_N], len(row)).astype(np.float32)
    return torch.from_numpy(out_CG.reshape(-1, *size))
