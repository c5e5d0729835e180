"""Codes of unseen signals in a fixed dictionary of the paper's kind: at most k experts.

Ridge regression on all experts, the k of the largest contributions, and ridge regression on these: what Adam on a code
tends to, in closed form. Letters: M measurements, K experts, C constants.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-3  # of the mean square of a column


def code(measured_MK: Tensor, free_MC: Tensor, target_M: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Coefficients (K,), k of them at most not zero, and those of the constants (C,)."""
    all_K, _ = _ridge(measured_MK, free_MC, target_M)
    kept = (all_K * measured_MK.norm(dim=0)).abs().topk(min(k, len(all_K))).indices
    value_J, constant_C = _ridge(measured_MK[:, kept], free_MC, target_M)
    return torch.zeros_like(all_K).index_copy(0, kept, value_J), constant_C


def _ridge(measured_MK: Tensor, free_MC: Tensor, target_M: Tensor) -> tuple[Tensor, Tensor]:
    K = measured_MK.shape[1]
    whole = torch.cat([measured_MK, free_MC], 1).double()
    normal = whole.T @ whole
    weight = RIDGE * normal.diagonal()[:K].mean().clamp_min(1e-12)
    normal.diagonal()[:K] += weight
    normal.diagonal()[K:] += 1e-9 * weight
    solved = torch.linalg.solve(normal, whole.T @ target_M.double()).float()
    return solved[:K], solved[K:]
