"""The Gaussian posterior mean: what codes of training signals look like, corrected by what the data say.

    a ~ N(mean, Sigma),  Sigma = diag(variance) + factor factor',  y = Phi a + free c + noise,  c without a prior
    E[a | y] = mean + Sigma Phi'(Phi Sigma Phi' + noise^2)^-1 (y - Phi mean)         (all without the free columns)

Rasmussen & Williams 2006, section 2.1. With Sigma = T T' this is ridge regression on Phi T with penalty noise^2, so
that one function serves both, on the smaller side, and variances may be zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.errors import UsageError
from nidcli.linear import solve
from nidcli.problem import SCRATCH, DenseUnit, Prior, Problem, Solution, UnitDesign
from nidcli.solvers.common import finish, largest, require, require_k, require_l2
from nidcli.solvers.conjugate import support_gram
from nidcli.solvers.ridge import shrunken, shrunken_free

NOISELESS = 1e-8  # least noise^2, a share of the mean variance that the prior gives a measurement


@dataclass(frozen=True)
class Map:
    """Posterior mean under the problem's prior and noise. k : keep the k largest, and their own posterior mean.

    An expert that was not measured follows the measured ones through the covariance; that is what a prior is for.
    `init` is ignored. Raises UsageError without a prior, for one of another dictionary, and for another loss than l2.
    """

    k: int | None = None

    def __post_init__(self) -> None:
        require_k("map", self.k)

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        require_l2(problem, "map")
        unit, prior, K = problem.unit, problem.prior, problem.design.shape[1]
        if prior is None:
            raise UsageError("map needs the statistics of training codes; use a dictionary that has them, or ridge.")
        found = (len(prior.mean_K), len(prior.variance_K), len(prior.factor_KR))
        require(found == (K, K, K), f"the prior is of {found} experts and the design has {K}; they must agree.")
        mean_K1, spread_K, factor_KR = prior.mean_K.float()[:, None], prior.variance_K.float().sqrt(), prior.factor_KR
        factor_KR = factor_KR.float()

        def colour(w_NS: Tensor) -> Tensor:  # T w
            return spread_K[:, None] * w_NS[:K] + factor_KR @ w_NS[K:]

        def forward(w_NS: Tensor) -> Tensor:  # Phi T w
            return unit.forward(unit.norm_K[:, None] * colour(w_NS))

        def adjoint(y_MS: Tensor) -> Tensor:
            code_KS = unit.norm_K[:, None] * unit.adjoint(y_MS)
            return torch.cat([spread_K[:, None] * code_KS, factor_KR.T @ code_KS])

        told_MS = problem.projected_MS - unit.forward(unit.norm_K[:, None] * mean_K1)
        noise = effective_noise(problem, spread_K, factor_KR)
        steps, converged = 1, True
        if isinstance(unit, DenseUnit):
            own_KM = (unit.norm_K * spread_K)[:, None] * unit.unit_KM
            shared_RM = unit.forward(unit.norm_K[:, None] * factor_KR).T
            white_NS = shrunken(torch.cat([own_KM, shared_RM]), told_MS, noise)
        else:
            white_NS, steps, converged = shrunken_free(forward, adjoint, told_MS, noise)
        index_SJ, value_SJ = largest(mean_K1 + colour(white_NS), self.k)
        if self.k is not None:
            value_SJ = restricted(unit, prior, problem.projected_MS, noise, index_SJ)
        return Solution(finish(problem, index_SJ, value_SJ), steps, converged)


def effective_noise(problem: Problem, spread_K: Tensor, factor_KR: Tensor) -> float:
    """noise^2, or where it is zero a little, so that the equations have one answer."""
    unit = problem.unit
    own = (unit.norm_K * spread_K).square().sum()
    shared = unit.forward(unit.norm_K[:, None] * factor_KR).square().sum()
    return max(problem.noise**2, NOISELESS * float(own + shared) / unit.shape[0], 1e-30)


def restricted(unit: UnitDesign, prior: Prior, target_MS: Tensor, noise: float, index_SJ: Tensor) -> Tensor:
    """(S, J) posterior mean if all other experts are zero: m + Sigma (G Sigma + noise^2)^-1 Phi'(y - Phi m)."""
    pull_SJ = unit.adjoint(target_MS).T.gather(1, index_SJ)
    values = []
    for rows in torch.arange(len(index_SJ), device=index_SJ.device).split(max(1, SCRATCH // index_SJ.shape[1] ** 2)):
        index = index_SJ[rows]
        norm = unit.norm_K[index].double()
        gram = norm.unsqueeze(2) * support_gram(unit, index).double() * norm.unsqueeze(1)
        factor = prior.factor_KR.double()[index]
        sigma = torch.diag_embed(prior.variance_K.double()[index]) + factor @ factor.transpose(1, 2)
        mean = prior.mean_K.double()[index].unsqueeze(2)
        system = gram @ sigma
        system.diagonal(dim1=1, dim2=2).add_(noise)
        told = (norm * pull_SJ[rows]).unsqueeze(2) - gram @ mean
        values.append((mean + sigma @ solve(system, told)).squeeze(2).float())
    return torch.cat(values)
