"""Iteratively reweighted least squares: min sum |Phi a + free c - y| + (a - mean)' precision (a - mean) / 2.

Each round solves weighted normal equations with the weights 1 / |r| of the last residual (Holland & Welsch 1977). With
few experts and many measurements a round costs little, and a handful of rounds is enough. `trim` leaves out what lies
further off than so many standard deviations of the bulk (least trimmed differences, Rousseeuw & Leroy 1987): a large
object is then not a lever, while the l1 loss alone still leans towards it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.problem import DenseDesign, Prior, Problem, Solution
from nidcli.solvers.common import require

TOLERANCE = 1e-5  # of a round, beside the size of the code
SINGULAR = 1e-7  # added to the diagonal, as a share of its mean: experts that depend on each other share a value
SHARP = 0.02  # of the residual's scale: the size up to which a residual counts as none
ENOUGH = 1024  # measurements from which the scale is known well
NORMAL = 1.4826  # standard deviations in a median absolute deviation


@dataclass(frozen=True)
class Irls:
    """steps : rounds at most; trim : see above, None keeps every measurement. The problem's prior is the penalty."""

    steps: int = 20
    trim: float | None = None

    def __post_init__(self) -> None:
        require(self.steps >= 1, "irls needs at least 1 round.")
        require(self.trim is None or self.trim > 1, f"irls cannot trim at {self.trim} deviations; give more than 1.")

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        rows_PM, K = _rows(problem), problem.design.shape[1]
        target_SM = problem.target_MS.T.float()
        precision_PP, pull_P = _penalty(problem.prior, rows_PM, K)
        code_SP = target_SM.new_zeros(len(target_SM), len(rows_PM))
        if init is not None:
            code_SP = torch.cat([init.dense(K).T, init.constant_SC], 1).to(code_SP)
        weight_SM = torch.ones_like(target_SM)
        if init is not None and problem.loss == "l1":
            weight_SM = self._weights(target_SM - code_SP @ rows_PM)
        done, rounds = False, 0
        while rounds < self.steps and not done:
            rounds += 1
            normal_SPP = torch.matmul(weight_SM[:, None] * rows_PM, rows_PM.T) + precision_PP
            floor_S = SINGULAR * normal_SPP.diagonal(dim1=1, dim2=2).mean(1)
            normal_SPP.diagonal(dim1=1, dim2=2).add_(floor_S[:, None] + torch.finfo(torch.float32).tiny)
            wanted_SP = (weight_SM * target_SM) @ rows_PM.T + pull_P
            new_SP = torch.linalg.solve(normal_SPP.double(), wanted_SP.double()).float()
            done = bool((new_SP - code_SP).norm() <= TOLERANCE * new_SP.norm()) or problem.loss == "l2"
            code_SP = new_SP
            weight_SM = self._weights(target_SM - code_SP @ rows_PM)
        index_SK = torch.arange(K, device=code_SP.device).expand(len(code_SP), K)
        return Solution(SparseCode(index_SK, code_SP[:, :K], code_SP[:, K:]), rounds, done)

    def _weights(self, residual_SM: Tensor) -> Tensor:
        """1 / |r|, bounded where r is small beside the bulk, and zero where it is far out."""
        size_SM = residual_SM.abs()
        scale_S1 = NORMAL * size_SM[:, :: max(1, size_SM.shape[1] // ENOUGH)].median(1, keepdim=True).values
        weight_SM = 1 / size_SM.clamp_min(SHARP * scale_S1).clamp_min(1e-7)
        return weight_SM if self.trim is None else torch.where(size_SM > self.trim * scale_S1, 0, weight_SM)


def _rows(problem: Problem) -> Tensor:
    """(P, M): the experts, then the constants, one measured function a row."""
    design = problem.design
    if isinstance(design, DenseDesign):
        experts_KM = design.matrix_MK.T
    else:
        experts_KM = design.columns(torch.arange(design.shape[1], device=design.free_MC.device)[None])[0]
    return torch.cat([experts_KM, design.free_MC.T.to(experts_KM)]).float()


def _penalty(prior: Prior | None, rows_PM: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """Precision (P, P) of the prior, zero for the constants, and its product with the mean."""
    precision_PP, mean_P = rows_PM.new_zeros(len(rows_PM), len(rows_PM)), rows_PM.new_zeros(len(rows_PM))
    if prior is not None:
        covariance_KK = (
            prior.variance_K.double().clamp_min(1e-12).diag() + prior.factor_KR.double() @ prior.factor_KR.T.double()
        )
        precision_PP[:K, :K] = torch.linalg.inv(covariance_KK).float()
        mean_P[:K] = prior.mean_K
    return precision_PP, precision_PP @ mean_P
