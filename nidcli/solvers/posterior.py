"""Gaussian posterior means of many small problems that share a prior, each with rows of its own.

    a_s = argmin |A_s a - y_s|^2 + (a - m)' V^-1 (a - m),      V = diag(variance)
        = m + V A_s' (A_s V A_s' + I)^-1 (y_s - A_s m)          with fewer rows than atoms: R x R
        = m + (A_s' A_s + V^-1)^-1 A_s' (y_s - A_s m)           with more: K x K

Rows are divided by the standard deviation of their noise beforehand. Problems are sorted by size and padded with zero
rows to equal ones, so that a batch is three calls.

Letters: S problems, R rows, K atoms, B problems of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.linear import solve
from nidcli.threads import in_threads

BATCH_NUMBERS, BATCH_ELSEWHERE = 1 << 20, 1 << 22  # in the padded designs of a batch: what a processor's caches hold
STEP = 32  # row counts are padded to multiples of this


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of S problems one after the other. matrix_RK, target_R; count_S : rows of each."""

    matrix_RK: Tensor
    target_R: Tensor
    count_S: Tensor


def posterior_means(problems: Ragged, mean_K: Tensor, variance_K: Tensor) -> Tensor:
    """(S, K). Atoms of variance 0 keep their mean."""
    (_, K), count_S = problems.matrix_RK.shape, problems.count_S.cpu()
    scale_K = variance_K.sqrt()
    left_R = problems.target_R - problems.matrix_RK @ mean_K
    code_SK = mean_K.expand(len(count_S), K).clone()
    start_S = torch.cumsum(count_S, 0) - count_S

    def solve(batch: _Batch) -> None:
        place = (start_S[batch.problem_B], count_S[batch.problem_B], batch.rows)
        code_SK[batch.problem_B.to(code_SK.device)] += scale_K * _solved(problems.matrix_RK, left_R, scale_K, *place)

    device = code_SK.device
    in_threads(solve, _batches(count_S, K, BATCH_NUMBERS if device.type == "cpu" else BATCH_ELSEWHERE), device)
    return code_SK


@dataclass(frozen=True, eq=False)
class _Batch:
    """Problems that are padded to equal rows."""

    problem_B: Tensor
    rows: int


def _batches(count_S: Tensor, atoms: int, numbers: int) -> list[_Batch]:
    """Problems of about equal size together, those without rows in none."""
    order = torch.argsort(count_S, stable=True)
    padded_S = (count_S[order] + STEP - 1) // STEP * STEP
    found = []
    for rows in padded_S.unique().tolist():
        if rows:
            found += order[padded_S == rows].split(max(1, numbers // (rows * atoms)))
    return [_Batch(problems, -(-int(count_S[problems].max()) // STEP) * STEP) for problems in found]


def _solved(matrix_RK: Tensor, left_R: Tensor, scale_K: Tensor, start_B: Tensor, count_B: Tensor, rows: int) -> Tensor:
    """(B, K) standardised posterior means of problems padded to `rows` rows."""
    place_BR = start_B[:, None] + torch.arange(rows)
    inside = (place_BR < (start_B + count_B)[:, None]).to(left_R.device)
    place_BR = place_BR.clamp_max(len(left_R) - 1).to(left_R.device)
    matrix_BRK = matrix_RK[place_BR] * (inside[:, :, None] * scale_K)
    target_BR1 = (left_R[place_BR] * inside)[:, :, None]
    K = matrix_BRK.shape[2]
    if rows < K:
        gram = torch.baddbmm(torch.eye(rows).to(matrix_BRK), matrix_BRK, matrix_BRK.mT)
        return (matrix_BRK.mT @ _cholesky(gram, target_BR1)).squeeze(2)
    gram = torch.baddbmm(torch.eye(K).to(matrix_BRK), matrix_BRK.mT, matrix_BRK)
    return _cholesky(gram, matrix_BRK.mT @ target_BR1).squeeze(2)


def _cholesky(gram_BXX: Tensor, right_BX1: Tensor) -> Tensor:
    """The identity that is part of the Gram matrix keeps it well conditioned; where rounding does not, in float64."""
    factor, info = torch.linalg.cholesky_ex(gram_BXX)
    if bool((info != 0).any()):
        return solve(gram_BXX.double(), right_BX1.double()).to(right_BX1)
    return torch.cholesky_solve(right_BX1, factor)
