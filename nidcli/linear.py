"""Linear systems without a structure that Cholesky could use, or too many kinds of them to ask."""

from __future__ import annotations

import torch
from torch import Tensor

SMALL = 64  # columns up to which a batch is factorised as one


def solve(matrix_XX: Tensor, right_XY: Tensor) -> Tensor:
    """torch.linalg.solve, also for batches (B, X, X) and (B, X, Y).

    On the processor large matrices come one after another. As a batch they are wrong, mostly without a word, in a
    process that has ever set its number of threads (PyTorch issue 142815; 151 columns, 2.5 to 2.13).
    """
    if matrix_XX.dim() == 2 or matrix_XX.is_cuda or matrix_XX.shape[-1] <= SMALL or not len(matrix_XX):
        return torch.linalg.solve(matrix_XX, right_XY)
    return torch.stack([torch.linalg.solve(one, right) for one, right in zip(matrix_XX, right_XY, strict=True)])
