"""Convex sparse coding: min loss(Phi a + free c - y) + penalty |a|_1 over unit-norm columns.

FISTA (Beck & Teboulle 2009), restarted where momentum points uphill (O'Donoghue & Candes 2015, the gradient scheme),
each signal at its own pace. The l1 loss is rounded off within `huber_width` of zero, so that it has a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.problem import Problem, Solution
from nidcli.prox import soft_threshold
from nidcli.solvers.common import Fit, finish, largest, require, require_k
from nidcli.solvers.conjugate import refine

DEBIAS = 50  # steps of conjugate gradients on the support that k leaves


@dataclass(frozen=True)
class Fista:
    """penalty : lambda of the formula above, see `lambda_max`. k : afterwards keep the k largest and refit them without
    penalty. iterations, tolerance : stop when no optimality condition is missed by more than this share of lambda_max.
    """

    penalty: float
    iterations: int = 500
    tolerance: float = 1e-4
    k: int | None = None

    def __post_init__(self) -> None:
        require_k("fista", self.k)
        require(self.penalty >= 0, f"fista's penalty cannot be {self.penalty}; give 0 or more.")

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        fit, K = Fit.of(problem), problem.design.shape[1]
        x_NS, taken, converged = descend(fit, self.penalty, self.iterations, self.tolerance, fit.start(init))
        index_SJ, value_SJ = largest(x_NS[:K], self.k)
        if self.k is not None and fit.width_S is None:
            value_SJ = refine(fit.unit, fit.target_MS, index_SJ, value_SJ, DEBIAS, 1e-6)[0]
        elif self.k is not None:  # no normal equations: descend without penalty on the support, with infinite elsewhere
            wall_KS = torch.full_like(x_NS[:K], torch.inf).scatter_(0, index_SJ.T, 0)
            x_NS = descend(fit, wall_KS, self.iterations, self.tolerance, x_NS)[0]
            value_SJ = x_NS[:K].T.gather(1, index_SJ)
        code = finish(problem, index_SJ, value_SJ * problem.unit.scale_K[index_SJ])
        return Solution(code, taken, converged)


@torch.no_grad()
def lambda_max(problem: Problem) -> Tensor:
    """(S,) the smallest penalty of each signal at which its code is zero."""
    fit = Fit.of(problem)
    return fit.gradient(fit.start(None))[: problem.design.shape[1]].abs().amax(0)


def descend(
    fit: Fit, penalty: Tensor | float, iterations: int, tolerance: float, x_NS: Tensor
) -> tuple[Tensor, int, bool]:
    """FISTA from x; the last R rows, the constants, are not penalised. Returns x, iterations, converged."""
    K = fit.unit.shape[1]
    step_S = 1 / fit.curvature()
    shrink_NS = torch.zeros_like(x_NS)
    shrink_NS[:K] = step_S * penalty
    goal_S = tolerance * step_S * fit.gradient(fit.start(None))[:K].abs().amax(0)
    v_NS, t_S = x_NS, torch.ones_like(step_S)
    for i in range(iterations):
        new_NS = soft_threshold(v_NS - step_S * fit.gradient(v_NS), shrink_NS)
        back_NS, ahead_NS = v_NS - new_NS, new_NS - x_NS
        x_NS = new_NS
        if bool((back_NS.abs().amax(0) <= goal_S).all()):
            return x_NS, i + 1, True
        t_S = torch.where((back_NS * ahead_NS).sum(0) > 0, 1, t_S)
        t_next_S = (1 + (1 + 4 * t_S**2).sqrt()) / 2
        v_NS = x_NS + (t_S - 1) / t_next_S * ahead_NS
        t_S = t_next_S
    return x_NS, iterations, False
