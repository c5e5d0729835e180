"""Penalties on a batch of codes: balance between experts, and sparsity while nothing is dropped yet.

    CV^2(x)        = Var(x) / (sum_i x_i / n)^2                                     eq. 12
    importance_i   = sum_s |alpha_si|                                               eq. 13, of magnitudes: signed gates
    load_i         = sum_s Phi((|h_si| - t_si) / sigma_s)                           Shazeer et al. 2017, appendix A
    l1             = sum_s sum_i |alpha_si|                                         section 3.3
    rising         = sum_s sum_i |alpha_si| min(exp(beta i), most)                  eq. 15, i from 0

t_si is the (k+1)-th largest |h_s| where expert i is among the k largest, and the k-th where it is not; sigma_s a share
of the root-mean-square score. A count of used experts has no gradient, the load has one. exp(beta i) overflows for the
dictionary sizes of the paper, so it is bounded, and it acts in every epoch. Sums over signals are means here, so that
lambda does not depend on the size of a batch.

Letters: S signals, K experts.
"""

from __future__ import annotations

import torch
from torch import Tensor

SOFTNESS = 0.5  # sigma, as a share of the root-mean-square score: wide enough that an unused expert feels it


def squared_cv(total_K: Tensor) -> Tensor:
    """Var / mean^2 of totals that are not negative; 0 for a single expert."""
    total = total_K.float()
    return total.var(correction=0) / total.mean().square().clamp_min(1e-20)


def importance(code_SK: Tensor) -> Tensor:
    """(K,) how much of the codes each expert carries."""
    return code_SK.abs().sum(0)


def load(score_SK: Tensor, kept_SK: Tensor) -> Tensor:
    """(K,) how many signals are expected to use each expert, with a gradient. kept_SK : which scores were kept."""
    magnitude = score_SK.float().abs()
    with torch.no_grad():
        if bool(kept_SK.all()):
            return magnitude.new_full((magnitude.shape[1],), float(len(magnitude)))
        last_S1 = magnitude.masked_fill(~kept_SK, torch.inf).amin(1, keepdim=True)
        next_S1 = magnitude.masked_fill(kept_SK, 0).amax(1, keepdim=True)
        threshold_SK = torch.where(kept_SK, next_S1, last_S1)
        sigma_S1 = SOFTNESS * magnitude.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
    return torch.special.ndtr((magnitude - threshold_SK) / sigma_S1).sum(0)


def l1(code_SK: Tensor) -> Tensor:
    """Mean over signals of the sum of magnitudes."""
    return code_SK.abs().sum(1).mean()


def rising(code_SK: Tensor, beta: float, most: float) -> Tensor:
    """Mean over signals of magnitudes weighted by min(exp(beta i), most): the first experts are cheap."""
    exponent_K = beta * torch.arange(code_SK.shape[1], device=code_SK.device, dtype=torch.float32)
    weight_K = exponent_K.clamp_max(torch.tensor(most).log().item()).exp()
    return (code_SK.abs().float() * weight_K).sum(1).mean()


def usage(code_SK: Tensor) -> Tensor:
    """(K,) signals whose code holds an expert: a count, for reports."""
    return (code_SK != 0).sum(0)
