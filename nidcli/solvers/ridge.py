"""Ridge regression: min |Phi a + free c - y|^2 / 2 + penalty |a|^2 / 2 over unit-norm columns, in closed form.

Hoerl & Kennard 1970. The normal equations are factored in float64 on the smaller of their two sides,
a = (U'U + p)^-1 U'y = U'(UU' + p)^-1 y; without a matrix they are solved by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.problem import SCRATCH, DenseUnit, Problem, Solution
from nidcli.solvers.common import finish, largest, require, require_k, require_l2
from nidcli.solvers.conjugate import conjugate_gradients, refine

STEPS, TOLERANCE = 500, 1e-6  # of conjugate gradients, where there is no matrix
DEBIAS = 50
SINGULAR = 1e-9  # least penalty, a share of the largest diagonal: experts that depend on each other share a value


@dataclass(frozen=True)
class Ridge:
    """penalty : of the formula above, absolute. k : afterwards keep the k largest and refit them without penalty.

    `init` is ignored. Raises UsageError for another loss than l2.
    """

    penalty: float
    k: int | None = None

    def __post_init__(self) -> None:
        require_k("ridge", self.k)
        require(self.penalty >= 0, f"ridge's penalty cannot be {self.penalty}; give 0 or more.")

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        require_l2(problem, "ridge")
        unit, target_MS = problem.unit, problem.projected_MS
        steps, converged = 1, True
        if isinstance(unit, DenseUnit):
            dense_KS = shrunken(unit.unit_KM, target_MS, self.penalty)
        else:
            dense_KS, steps, converged = shrunken_free(unit.forward, unit.adjoint, target_MS, self.penalty)
        index_SJ, value_SJ = largest(dense_KS, self.k)
        if self.k is not None:
            value_SJ = refine(unit, target_MS, index_SJ, value_SJ, DEBIAS, TOLERANCE)[0]
        return Solution(finish(problem, index_SJ, value_SJ * unit.scale_K[index_SJ]), steps, converged)


def shrunken(rows_NM: Tensor, target_MS: Tensor, penalty: float) -> Tensor:
    """(N, S) float32: argmin_w |rows' w - y|^2 / 2 + penalty |w|^2 / 2, from a float64 Cholesky factor."""
    N, M = rows_NM.shape
    gram = gram64(rows_NM if N <= M else rows_NM.T)
    floor = SINGULAR * float(gram.diagonal().max())
    gram.diagonal().add_(max(penalty, floor, torch.finfo(torch.float32).tiny))
    factor = torch.linalg.cholesky(gram)
    if N <= M:
        return torch.cholesky_solve((rows_NM @ target_MS).double(), factor).float()
    dual_MS = torch.cholesky_solve(target_MS.double(), factor)
    return torch.cat([block.double() @ dual_MS for block in rows_NM.split(max(1, SCRATCH // M))]).float()


def shrunken_free(
    forward: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], target_MS: Tensor, penalty: float
) -> tuple[Tensor, int, bool]:
    """The same from products alone: (N, S), steps taken, converged."""
    pull_SN = adjoint(target_MS).T

    def apply(w_SN: Tensor) -> Tensor:
        return adjoint(forward(w_SN.T)).T + penalty * w_SN

    w_SN, steps, converged = conjugate_gradients(apply, pull_SN, torch.zeros_like(pull_SN), STEPS, TOLERANCE)
    return w_SN.T, steps, converged


def gram64(rows_NM: Tensor) -> Tensor:
    """rows rows' in float64, in blocks."""
    total_NN = rows_NM.new_zeros(len(rows_NM), len(rows_NM), dtype=torch.float64)
    for block in rows_NM.split(max(1, SCRATCH // len(rows_NM)), dim=1):
        wide = block.double()
        total_NN.addmm_(wide, wide.T)
    return total_NN
