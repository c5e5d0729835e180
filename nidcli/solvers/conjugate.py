"""Conjugate gradients on a fixed support: min |y - Phi a - free c|^2 over the experts that `init` already uses.

Hestenes & Stiefel 1952 on the normal equations G a = b of the support, so that the residual of the data falls with
every step (the property that names CGLS, Paige & Saunders 1982). Columns have unit norm, which is the Jacobi
preconditioner. G is gathered from the Gram matrix of all experts when that is kept and many signals share the cost,
and otherwise computed from the columns: a step then costs one (J, J) product a signal, whatever M is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.errors import UsageError
from nidcli.problem import SCRATCH, Problem, Solution, UnitDesign
from nidcli.solvers.common import finish, require, require_l2

SHARED = 64  # gather from the Gram matrix of all experts if the supports need at least this fraction of it


@dataclass(frozen=True)
class ConjugateGradient:
    """Refine the values of a code, keep its experts. Needs `init`; raises UsageError without it or for another loss.

    steps : products with G. tolerance : stop a signal when |b - G a| is this share of |b|.
    """

    steps: int = 10
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        require(self.steps >= 0, f"cg cannot take {self.steps} steps; give 0 or more.")

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        require_l2(problem, "cg")
        if init is None:
            raise UsageError("cg refines a code and got none; start from the codes of another solver or of a file.")
        unit = problem.unit
        value_SJ = init.value_SJ.float() * unit.norm_K[init.index_SJ]
        value_SJ, steps, converged = refine(
            unit, problem.projected_MS, init.index_SJ, value_SJ, self.steps, self.tolerance
        )
        code = finish(problem, init.index_SJ, value_SJ * unit.scale_K[init.index_SJ])
        return Solution(code, steps, converged)


def refine(
    unit: UnitDesign, target_MS: Tensor, index_SJ: Tensor, value_SJ: Tensor, steps: int, tolerance: float
) -> tuple[Tensor, int, bool]:
    """Better values for unit-norm columns index_SJ, from value_SJ; slots that are zero stay zero."""
    index_SJ, order_SJ = index_SJ.sort(1)  # neighbours in memory are then picked one after another
    value_SJ = value_SJ.gather(1, order_SJ)
    used_SJ = (value_SJ != 0).to(value_SJ)
    pull_SJ = unit.adjoint(target_MS).T.gather(1, index_SJ) * used_SJ
    parts, rounds, converged = [], 0, True
    for rows in torch.arange(len(index_SJ), device=index_SJ.device).split(
        max(1, 8 * SCRATCH // max(1, index_SJ.shape[1]) ** 2)
    ):
        gram_SJJ = support_gram(unit, index_SJ[rows])
        used, start = used_SJ[rows], value_SJ[rows] * used_SJ[rows]

        def apply(x_SJ: Tensor, gram_SJJ: Tensor = gram_SJJ, used: Tensor = used) -> Tensor:
            # G is symmetric, and a row vector times a matrix is several times faster than a matrix times a column
            return torch.bmm(x_SJ.unsqueeze(1), gram_SJJ).squeeze(1) * used

        part, taken, done = conjugate_gradients(apply, pull_SJ[rows], start, steps, tolerance)
        parts.append(part)
        rounds, converged = max(rounds, taken), converged and done
    return torch.empty_like(value_SJ).scatter_(1, order_SJ, torch.cat(parts)), rounds, converged


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor], b_SN: Tensor, x_SN: Tensor, steps: int, tolerance: float
) -> tuple[Tensor, int, bool]:
    """Solve apply(x) = b for S systems at once, apply symmetric and not negative, from x. Each stops when it is done.

    Returns x, the steps taken, and whether every residual is within the tolerance, a share of |b|.
    """
    r_SN = b_SN - apply(x_SN)
    p_SN, rr_S1 = r_SN, r_SN.square().sum(1, keepdim=True)
    goal_S1 = tolerance**2 * b_SN.square().sum(1, keepdim=True)
    taken = 0
    for taken in range(1, steps + 1):
        going_S1 = rr_S1 > goal_S1
        if not bool(going_S1.any()):
            taken -= 1
            break
        q_SN = apply(p_SN)
        curvature_S1 = (p_SN * q_SN).sum(1, keepdim=True)
        going_S1 = going_S1 & (curvature_S1 > 0)
        step_S1 = torch.where(going_S1, rr_S1 / curvature_S1, 0)
        x_SN = torch.addcmul(x_SN, step_S1, p_SN)
        r_SN = torch.addcmul(r_SN, step_S1, q_SN, value=-1)
        new_S1 = r_SN.square().sum(1, keepdim=True)
        p_SN = torch.addcmul(r_SN, torch.where(going_S1, new_S1 / rr_S1, 0), p_SN)
        rr_S1 = new_S1
    return x_SN, taken, bool((rr_S1 <= goal_S1).all())


def support_gram(unit: UnitDesign, index_SJ: Tensor) -> Tensor:
    """(S, J, J) float32: products of each signal's columns with each other."""
    (S, J), (M, K) = index_SJ.shape, unit.shape
    gram_SJJ = torch.empty(S, J, J, device=index_SJ.device)
    gram_KK = unit.gram_KK if J and S * J * J >= K * K // SHARED else None
    if gram_KK is None:
        for rows in range(0, S, block := max(1, SCRATCH // max(1, J * M))):
            column = unit.columns(index_SJ[rows : rows + block])
            torch.bmm(column, column.transpose(1, 2), out=gram_SJJ[rows : rows + block])
        return gram_SJJ
    # Picking numbers from a matrix that exceeds the cache is bound by memory: visit its rows in order, each once for
    # all signals. torch.gather along one flat axis is the fastest way to pick, and buffers are reused for the same end.
    slots, table = index_SJ.reshape(-1), gram_KK.view(1, -1)
    block = max(1, SCRATCH // 32 // J)
    flat = torch.empty(block, J, dtype=torch.long, device=index_SJ.device)
    picked = torch.empty(block, J, device=index_SJ.device)
    for some in slots.argsort().split(block):
        n = len(some)
        torch.index_select(index_SJ, 0, some // J, out=flat[:n])
        flat[:n] += (slots[some] * K).unsqueeze(1)
        torch.gather(table.expand(n, -1), 1, flat[:n], out=picked[:n])
        gram_SJJ.view(-1, J).index_copy_(0, some, picked[:n])
    return gram_SJJ
