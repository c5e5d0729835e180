"""Iteratively reweighted least squares: min sum huber(Phi a + free c - y) + (a - mean)' precision (a - mean) / 2.

Each round solves weighted normal equations with the weights 1 / |r| of the last residual (Holland & Welsch 1977). With
few experts and many measurements a round costs little, and a handful of rounds is enough. `trim` leaves out what lies
further off than so many standard deviations of the bulk (least trimmed differences, Rousseeuw & Leroy 1987): a large
object is then not a lever, while the l1 loss alone still leans towards it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.linear import solve
from nidcli.problem import SCRATCH, DenseUnit, Prior, Problem, Solution, UnitDesign
from nidcli.solvers.common import huber_width, largest, require, require_k

TOLERANCE = 1e-5  # of a round, beside the size of the code
SINGULAR = 1e-7  # added to the diagonal, as a share of its mean: experts that depend on each other share a value
ENOUGH = 1024  # measurements from which the scale is known well
NORMAL = 1.4826  # standard deviations in a median absolute deviation


@dataclass(frozen=True)
class Irls:
    """steps : rounds at most; trim : see above, None keeps every measurement; k : afterwards keep the k largest.

    The problem's prior is the penalty; without one there is none.
    """

    steps: int = 20
    trim: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        require(self.steps >= 1, "irls needs at least 1 round.")
        require(self.trim is None or self.trim > 1, f"irls cannot trim at {self.trim} deviations; give more than 1.")
        require_k("irls", self.k)

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        unit, K, l2 = problem.unit, problem.design.shape[1], problem.loss == "l2"
        rows_PM, target_SM = _rows(unit), problem.projected_MS.T
        precision_PP, pull_P = _penalty(problem.prior, unit, len(rows_PM))
        code_SP = target_SM.new_zeros(len(target_SM), len(rows_PM))
        weight_SM, width_S = torch.ones_like(target_SM), huber_width(problem)
        if init is not None and not l2:
            code_SP[:, :K] = (init.dense(K) * unit.norm_K[:, None]).T
            shift_SM = (init.constant_SC + init.dense(K).T @ unit.leak_CK.T.to(target_SM)) @ problem.design.free_MC.T
            code_SP[:, K:] = (shift_SM - problem.target_MS.T).to(target_SM) @ unit.basis_MR.to(target_SM)
            weight_SM = self._weights(target_SM - code_SP @ rows_PM, width_S)
        normals, done, rounds = _normals(rows_PM), False, 0
        while rounds < self.steps and not done:
            rounds += 1
            normal_SPP = (normals(weight_SM) + precision_PP).double()
            floor_S = SINGULAR * normal_SPP.diagonal(dim1=1, dim2=2).mean(1)
            normal_SPP.diagonal(dim1=1, dim2=2).add_(floor_S[:, None] + torch.finfo(torch.float32).tiny)
            wanted_SP = (weight_SM * target_SM) @ rows_PM.T + pull_P
            new_SP = solve(normal_SPP, wanted_SP.double()[..., None])[..., 0].float()
            done = l2 or bool(((new_SP - code_SP).norm(dim=1) <= TOLERANCE * new_SP.norm(dim=1)).all())
            code_SP = new_SP
            weight_SM = self._weights(target_SM - code_SP @ rows_PM, width_S)
        value_SK, shift_SR = code_SP[:, :K] * unit.scale_K, code_SP[:, K:].double()
        index_SJ, value_SJ = largest(value_SK.T, self.k)
        plain_SC = (unit.inverse_CM @ (problem.target_MS.double() + unit.basis_MR @ shift_SR.T)).T
        leak_SC = torch.einsum("sjc,sj->sc", unit.leak_CK.T[index_SJ], value_SJ.double())
        return Solution(SparseCode(index_SJ, value_SJ, (plain_SC - leak_SC).float()), rounds, done)

    def _weights(self, residual_SM: Tensor, width_S: Tensor) -> Tensor:
        """1 / |r|, constant within the width where the loss turns quadratic, and zero where r is far out."""
        size_SM = residual_SM.abs()
        weight_SM = 1 / torch.maximum(size_SM, width_S[:, None])
        if self.trim is None:
            return weight_SM
        some_SM = size_SM[:, :: max(1, size_SM.shape[1] // ENOUGH)]
        scale_S = NORMAL * some_SM.median(1).values.maximum(width_S)
        return torch.where(size_SM > self.trim * scale_S[:, None], 0, weight_SM)


def _rows(unit: UnitDesign) -> Tensor:
    """(P, M): the unit-norm experts, then a basis of the constants; they do not overlap."""
    if isinstance(unit, DenseUnit):
        experts_KM = unit.unit_KM
    else:
        experts_KM = unit.columns(torch.arange(unit.shape[1], device=unit.norm_K.device)[None])[0]
    return torch.cat([experts_KM, unit.basis_MR.T.to(experts_KM)])


def _normals(rows_PM: Tensor) -> Callable[[Tensor], Tensor]:
    """Weights (S, M) -> rows W rows', (S, P, P): one product with all pairs of rows, where they fit."""
    P, M = rows_PM.shape
    if P * (P + 1) // 2 * M > SCRATCH:
        return lambda weight_SM: torch.matmul(weight_SM[:, None] * rows_PM, rows_PM.T)
    first, second = torch.triu_indices(P, P, device=rows_PM.device)
    pairs_MX = (rows_PM[first] * rows_PM[second]).T
    place_PP = torch.zeros(P, P, dtype=torch.long, device=rows_PM.device)
    place_PP[first, second] = place_PP[second, first] = torch.arange(len(first), device=rows_PM.device)
    return lambda weight_SM: (weight_SM @ pairs_MX)[:, place_PP]


def _penalty(prior: Prior | None, unit: UnitDesign, P: int) -> tuple[Tensor, Tensor]:
    """Precision (P, P) of the prior for unit-norm experts, zero for the constants, and its product with the mean."""
    scale_K = unit.scale_K.double()
    precision_PP, pull_P = scale_K.new_zeros(P, P), scale_K.new_zeros(P)
    if prior is not None:
        K, factor_KR = len(scale_K), prior.factor_KR.double()
        covariance_KK = prior.variance_K.double().clamp_min(1e-12).diag() + factor_KR @ factor_KR.T
        inverse_KK = torch.cholesky_inverse(torch.linalg.cholesky(covariance_KK))
        precision_PP[:K, :K] = scale_K[:, None] * inverse_KK * scale_K
        pull_P[:K] = scale_K * (inverse_KK @ prior.mean_K.double())
    return precision_PP.float(), pull_P.float()
