"""What solvers share: checks, keeping the largest coefficients, the constants, and the smooth part of a loss.

Letters: N = K + R variables of a fit, experts first, then R coordinates in the basis of the free columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.errors import UsageError
from nidcli.linear import solve
from nidcli.problem import Problem, UnitDesign
from nidcli.prox import huber_slope

EFFICIENT = 1.345  # Huber's width in standard deviations: 95 % efficient on Gaussian noise (Huber 1964)
CACHED = 256  # signals whose targets in double precision stay in the cache
SHARP = 0.01  # and as a share of the mean distance of the target from its mean, where the noise is unknown


def require(holds: bool, sentence: str) -> None:
    """Raise UsageError with the sentence unless it holds."""
    if not holds:
        raise UsageError(sentence)


def require_k(solver: str, k: int | None) -> None:
    """k is None or at least one."""
    require(k is None or k >= 1, f"{solver} keeps k = {k} experts a signal; k must be at least 1.")


def require_l2(problem: Problem, solver: str) -> None:
    """Least-squares solvers refuse another loss by name."""
    require(problem.loss == "l2", f"{solver} cannot minimise the {problem.loss} loss; use fista or adam for it.")


def largest(dense_KS: Tensor, k: int | None) -> tuple[Tensor, Tensor]:
    """(S, J) indices and values of the k largest by magnitude; without k of all that are not zero."""
    if k is None:
        k = max(1, int((dense_KS != 0).sum(0).max())) if dense_KS.shape[1] else 1
    code = SparseCode.top(dense_KS, k, dense_KS.new_zeros(dense_KS.shape[1], 0))
    return code.index_SJ, code.value_SJ


def finish(problem: Problem, index_SJ: Tensor, value_SJ: Tensor) -> SparseCode:
    """The code of original columns, with the constants that suit it best under the problem's loss."""
    unit = problem.unit
    leak_SJC = unit.leak_CK.T[index_SJ]
    mean_CS = torch.cat([unit.inverse_CM @ part.double() for part in problem.target_MS.split(CACHED, 1)], 1)
    constant_SC = mean_CS.T - torch.einsum("sjc,sj->sc", leak_SJC, value_SJ.double())
    code = SparseCode(index_SJ, value_SJ.float(), constant_SC.float())
    if problem.loss == "l2" or not unit.basis_MR.shape[1]:
        return code
    left_MS = problem.projected_MS - unit.forward(unit.norm_K[:, None] * code.dense(unit.shape[1]))
    shift_RS = location(unit.basis_MR, left_MS, huber_width(problem))
    return SparseCode(index_SJ, code.value_SJ, (constant_SC + (unit.inverse_CM @ unit.basis_MR @ shift_RS).T).float())


def huber_width(problem: Problem) -> Tensor:
    """(S,) where the l1 loss of each signal turns quadratic, so that it has a gradient: in the units of the target."""
    share_S = SHARP * problem.projected_MS.abs().mean(0)
    return share_S.clamp_min(max(EFFICIENT * problem.noise, 1e-12))


def location(basis_MR: Tensor, y_MS: Tensor, width_S: Tensor) -> Tensor:
    """(R, S) float64: minimiser of sum huber(y - B c), by reweighted least squares (Holland & Welsch 1977)."""
    y, basis = y_MS.double(), basis_MR.double()
    c_RS = basis.T @ y
    for _ in range(50):
        weight_MS = (width_S / (y - basis @ c_RS).abs().clamp_min(1e-300)).clamp_max(1)
        normal = torch.einsum("mr,ms,mq->srq", basis, weight_MS, basis)
        normal.diagonal(dim1=1, dim2=2).add_(1e-12)  # a signal whose every measurement is an outlier
        new = solve(normal, (basis.T @ (weight_MS * y)).T.unsqueeze(2)).squeeze(2).T
        done = bool(((new - c_RS).abs() <= 1e-7 * new.abs().clamp_min(1e-30)).all())
        c_RS = new
        if done:
            break
    return c_RS


@dataclass(frozen=True, eq=False)
class Fit:
    """The smooth part of a problem as a function of N = K + R variables.

    l2: half |U a - y|^2 on the projected problem, R = 0. l1: sum huber(U a + B c - y), because the constants that
    suit the l1 loss are not those of a projection.
    """

    unit: UnitDesign
    free_MR: Tensor
    target_MS: Tensor
    width_S: Tensor | None

    @staticmethod
    def of(problem: Problem) -> Fit:
        if problem.loss == "l2":
            return Fit(problem.unit, problem.projected_MS[:, :0], problem.projected_MS, None)
        return Fit(problem.unit, problem.unit.basis_MR.float(), problem.projected_MS, huber_width(problem))

    def start(self, init: SparseCode | None) -> Tensor:
        """(N, S) first guess: the code of `init` or zero, and the constants that suit it."""
        K, S = self.unit.shape[1], self.target_MS.shape[1]
        code_KS = self.target_MS.new_zeros(K, S)
        if init is not None:
            code_KS = init.dense(K).to(code_KS) * self.unit.norm_K[:, None]
        if self.width_S is None or not self.free_MR.shape[1]:
            return torch.cat([code_KS, self.target_MS.new_zeros(self.free_MR.shape[1], S)])
        left_MS = self.target_MS - self.unit.forward(code_KS) if init is not None else self.target_MS
        return torch.cat([code_KS, location(self.free_MR, left_MS, self.width_S).float()])

    @cached_property
    def pull_KS(self) -> Tensor:
        """U' y."""
        return self.unit.adjoint(self.target_MS)

    def residual(self, x_NS: Tensor) -> Tensor:
        """(M, S): fit minus target."""
        K = self.unit.shape[1]
        return self.unit.forward(x_NS[:K]) + self.free_MR @ x_NS[K:] - self.target_MS

    def gradient(self, x_NS: Tensor) -> Tensor:
        """(N, S): slope of the loss."""
        gram_KK = self.unit.gram_KK if self.width_S is None and self.unit.shape[1] <= self.unit.shape[0] else None
        if gram_KK is not None:  # more measurements than experts: one product with the smaller matrix
            return gram_KK @ x_NS - self.pull_KS
        slope_MS = self.residual(x_NS)
        if self.width_S is not None:
            slope_MS = huber_slope(slope_MS, self.width_S)
        return torch.cat([self.unit.adjoint(slope_MS), self.free_MR.T @ slope_MS])

    def curvature(self) -> Tensor:
        """(S,) upper bound of the second derivative; U and B are orthogonal, so the larger of the two counts."""
        bound = max(self.unit.lipschitz, 1.0 if self.free_MR.shape[1] else 0.0)
        return self.target_MS.new_full(self.target_MS.shape[1:], bound) / (1 if self.width_S is None else self.width_S)
