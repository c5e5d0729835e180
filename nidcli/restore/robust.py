"""The prior's answer where nobody says which pixels are damaged: what does not fit is left out, since it is rare.

    min over a, e   |y - Phi a - e|^2 / 2 noise^2 + |(a - mean) / spread|^2 / 2 + penalty sum_n |e_n|

e is the damage, sparse: the l1 data term of the paper (section 4.2, equation 14) with the code weighted by its prior.
For a given e the code is a product, and for a given code e is a soft threshold: descent on e alone with steps of one,
accelerated (Beck & Teboulle 2009), until it moves by less than TOLERANCE. The l1 term still lets large damage pull a
little; a few reweighted solves (Geman & McClure 1987) end that.

Letters: B photos, N samples of the level, M = N C, K experts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.prox import soft_threshold
from nidcli.restore.whole import WholeImage

FITS = 2.5  # times what the level usually leaves: up to here a sample counts in full
OUT = 3.0  # times what it usually leaves: here Geman and McClure's weight is a quarter
SOUND = 0.9  # believed so far, a sample counts in full: only what does not costs a product (whole.py)
STEPS, TOLERANCE = 60, 3e-2
ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Robust:
    """code_KB : the answer; weight_BN : how far each sample was believed, 0 to 1; converged : by the stopping test."""

    code_KB: Tensor
    weight_BN: Tensor
    converged: bool


@torch.no_grad()
def robust(whole: WholeImage, values_BM: Tensor, rounds: int = ROUNDS) -> Robust:
    """Codes of photos seen at all samples, some of them damaged."""
    B = len(values_BM)
    left_N = whole.left_N
    told_BNC = (values_BM - whole.mean_M).view(B, -1, whole.channels)
    e = momentum = torch.zeros_like(told_BNC)
    pace, converged = 1.0, False
    for _ in range(STEPS):
        r = told_BNC - whole.regular((told_BNC - momentum).flatten(1)).view_as(told_BNC)
        size = r.norm(dim=2, keepdim=True)
        new = r * soft_threshold(size, FITS * left_N[:, None]) / size.clamp_min(1e-12)
        moved, pace, before = new - e, (1 + (1 + 4 * pace**2) ** 0.5) / 2, pace
        momentum, e = new + (before - 1) / pace * moved, new
        if bool((moved.flatten(1).norm(dim=1) <= TOLERANCE * e.flatten(1).norm(dim=1).clamp_min(1e-6)).all()):
            converged = True
            break
    code_KB = whole.posterior((values_BM.view_as(e) - e).flatten(1))
    weight_BN = believed(whole, values_BM, code_KB)
    for _ in range(rounds):
        code_KB = whole.posterior(values_BM, weight_BN.repeat_interleave(whole.channels, 1))
        weight_BN = believed(whole, values_BM, code_KB)
    return Robust(code_KB, weight_BN, converged)


def believed(whole: WholeImage, values_BM: Tensor, code_KB: Tensor) -> Tensor:
    """(B, N) weights of Geman and McClure, 1 where nearly so, by what the level leaves and what it usually does."""
    left_BM = values_BM - (whole.design_MK @ code_KB).T
    share_BN = left_BM.view(len(left_BM), -1, whole.channels).square().mean(2) / (OUT * whole.left_N).square()
    weight_BN = (1 + share_BN).square().reciprocal()
    return torch.where(weight_BN < SOUND, weight_BN, 1)
