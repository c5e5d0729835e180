"""The paper's way to a code: Adam (Kingma & Ba 2015) on all K coefficients, then the k largest.

The baseline that the other solvers are measured against: min loss(Phi a + free c - y) from `init` or zero, mean over
the measurements, in the original columns because the step size is in their units. No penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nidcli.codes import SparseCode
from nidcli.problem import Problem, Solution
from nidcli.solvers.common import Fit, finish, largest, require, require_k


@dataclass(frozen=True)
class Adam:
    """steps of step size lr. k : afterwards keep the k largest as they are, as the paper does. Never `converged`."""

    steps: int
    lr: float
    k: int | None = None

    def __post_init__(self) -> None:
        require_k("adam", self.k)
        require(self.steps >= 0, f"adam cannot take {self.steps} steps; give 0 or more.")
        require(self.lr > 0, f"adam's step size cannot be {self.lr}; give more than 0.")

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        fit, K = Fit.of(problem), problem.design.shape[1]
        constants = fit.free_MR.shape[1]
        norm_N1 = torch.cat([problem.unit.norm_K, problem.unit.norm_K.new_ones(constants)])[:, None]
        scale_N1 = torch.cat([problem.unit.scale_K, problem.unit.scale_K.new_ones(constants)])[:, None]
        x_NS = torch.nn.Parameter(scale_N1 * fit.start(init))
        optimiser = torch.optim.Adam([x_NS], lr=self.lr)
        for _ in range(self.steps):
            x_NS.grad = norm_N1 * fit.gradient(norm_N1 * x_NS) / fit.target_MS.shape[0]
            optimiser.step()
        index_SJ, value_SJ = largest(x_NS[:K], self.k)
        return Solution(finish(problem, index_SJ, value_SJ), self.steps, False)
