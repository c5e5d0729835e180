"""Posterior means of many small problems under a mixture of Gaussians, of which each takes the likeliest.

    E[a | y, g] = (Phi' Phi + S_g^-1)^-1 (Phi' y + S_g^-1 m_g)          rows divided by the deviation of their noise
    E[a | y]    = sum_g p(g | first) E[a | y, g]                        over the likeliest g, given a first estimate

(Yu, Sapiro and Mallat 2012). Letters: X problems, G Gaussians, J of them that are likely, R atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BATCH_NUMBERS = 1 << 22  # numbers in the factors of a batch


@dataclass(frozen=True, eq=False)
class Gaussians:
    """weight_G, mean_GR, covariance_GRR of a mixture, and the covariances' inverses."""

    weight_G: Tensor
    mean_GR: Tensor
    covariance_GRR: Tensor
    inverse_GRR: Tensor

    @staticmethod
    def of(weight_G: Tensor, mean_GR: Tensor, covariance_GRR: Tensor) -> Gaussians:
        inverse_GRR = torch.cholesky_inverse(torch.linalg.cholesky(covariance_GRR.double())).to(covariance_GRR)
        return Gaussians(weight_G, mean_GR, covariance_GRR, inverse_GRR)

    def evidence(self, code_XR: Tensor, wrong_R: Tensor | float = 0.0) -> Tensor:
        """(X, G) log densities of codes that are known up to errors with variances `wrong_R`."""
        R = code_XR.shape[1]
        spread = torch.as_tensor(wrong_R, dtype=code_XR.dtype, device=code_XR.device).expand(R)
        factor_GRR = torch.linalg.cholesky(self.covariance_GRR + torch.diag(spread))
        logs = []
        for weight, mean_R, factor_RR in zip(self.weight_G, self.mean_GR, factor_GRR, strict=True):
            inside = torch.linalg.solve_triangular(factor_RR, (code_XR - mean_R).T, upper=False)
            logs.append(weight.log() - inside.square().sum(0) / 2 - factor_RR.diagonal().log().sum())
        return torch.stack(logs, 1)


def mixture_means(
    prior: Gaussians, gram_XRR: Tensor, pull_XR: Tensor, first_XR: Tensor, wrong_R: Tensor, likely: int
) -> Tensor:
    """(X, R). gram_XRR, pull_XR : Phi' Phi and Phi' y; first_XR : the first estimate, wrong_R its errors' variances."""
    share_XJ, which_XJ = prior.evidence(first_XR, wrong_R).topk(min(likely, len(prior.weight_G)), 1)
    share_XJ = share_XJ.softmax(1)
    start_GR = (prior.inverse_GRR @ prior.mean_GR[..., None])[..., 0]
    batch, means = max(1, BATCH_NUMBERS // (gram_XRR[0].numel() * which_XJ.shape[1])), []
    for some in torch.arange(len(gram_XRR), device=gram_XRR.device).split(batch):
        which = which_XJ[some]
        factor = torch.linalg.cholesky(prior.inverse_GRR[which] + gram_XRR[some, None])
        code = torch.cholesky_solve((start_GR[which] + pull_XR[some, None])[..., None], factor)[..., 0]
        means.append((share_XJ[some, :, None] * code).sum(1))
    return torch.cat(means)
