"""How sure a fill is: the standard deviation of its pixels, from samples of the posterior.

A photo drawn from the prior (a code from the Gaussian, details from their field), seen through the same hole and filled
in the same way, is wrong by a sample of the posterior's error (perturb and solve, Papandreou & Yuille 2010). That is
the linear part of the answer; what the encoder knows besides makes it surer, not less sure.

Letters: S samples, n pixels a side of the frame, C channels, K experts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nidcli.model import Model
from nidcli.restore.estimate import view
from nidcli.restore.frame import Frame, back, cut
from nidcli.restore.masked import KNOWN
from nidcli.restore.whole import WholeImage, whole_of

SAMPLES = 24
SMOOTH = 3  # pixels over which variances are averaged: so few samples scatter


@torch.no_grad()
def deviation(model: Model, known_HW: Tensor, frame: Frame, seed: int) -> Tensor:
    """(H, W) standard deviation of the filled pixels, root mean square over channels; 0 where known."""
    height, width = known_HW.shape
    whole = WholeImage.of(whole_of(model))
    nothing = torch.zeros(1, height, width, 1, device=known_HW.device)
    _, share = cut(frame, nothing, known_HW[None], whole.frame)
    drawn = samples(whole, torch.Generator().manual_seed(seed))
    told = view(whole, drawn, (share > KNOWN).expand(SAMPLES, -1, -1))
    variance = (told.carried_BHWC - drawn).square().mean((0, 3))
    variance = nn.functional.avg_pool2d(variance[None, None], SMOOTH, 1, SMOOTH // 2, count_include_pad=False)
    spread = back(frame, variance.sqrt()[0, 0, None, :, :, None], width, height)[0, ..., 0].clamp_min(0)
    return torch.where(known_HW, 0, spread)


def samples(whole: WholeImage, chance: torch.Generator) -> Tensor:
    """(S, n, n, C) photos drawn from the prior."""
    code_KS = torch.randn(len(whole.mean_K), SAMPLES, generator=chance).to(whole.mean_K)
    code_KS = whole.mean_K[:, None] + whole.spread_K[:, None] * code_KS
    side = whole.frame
    place = torch.arange(side, dtype=torch.float32)
    cosines = torch.cos(torch.pi / side * (place + 0.5) * place[:, None]) * (2 / side) ** 0.5
    cosines[0] /= 2**0.5
    wave = 2 - 2 * torch.cos(torch.pi / side * place)
    squares = wave[:, None] + wave
    precision = sum(float(c) * squares**p for p, c in enumerate(whole.rough_P))
    noise = torch.randn(SAMPLES, whole.channels, side, side, generator=chance) / torch.as_tensor(precision).sqrt()
    details = (cosines.T @ noise @ cosines).permute(0, 2, 3, 1).to(code_KS)
    return whole.draw(code_KS) + details
