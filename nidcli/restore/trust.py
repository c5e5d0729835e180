"""Does the dictionary fit the photo: its misfit, against those of held-out photos of the class.

misfit = root mean square, over what is known of the photo, of what the whole-image level leaves over in units of what
it usually leaves. 1 is usual. A photo beyond UNUSUAL times the largest of the class is told to be of another kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nidcli.model import Model
from nidcli.restore.frame import Frame, cut
from nidcli.restore.whole import FINE, WholeImage, whole_of

UNUSUAL = 1.1
PERCENTILE = 99
THIN = (0.114, 0.024)  # misfit of held-out faces of whose samples 1 / (1 + t) is known: 1 + 0.114 t + 0.024 t^2
AROUND = 9  # samples a side, over which the variance within samples is averaged


@dataclass(frozen=True)
class Fit:
    """misfit : of the photo; usual : of the class, the 99th percentile; fits : whether the class has a say."""

    misfit: float
    usual: float

    @property
    def fits(self) -> bool:
        return self.misfit <= UNUSUAL * self.usual


@torch.no_grad()
def judge(model: Model, photo_HWC: Tensor, known_HW: Tensor, frame: Frame) -> Fit:
    """How well the class draws what is known of a photo."""
    level = whole_of(model)
    whole = WholeImage.of(level)
    values, share = cut(frame, photo_HWC[None], known_HW[None], whole.frame)
    weight, samples = pooled(share[..., None])[0, :, 0], pooled(values * share[..., None])[0]
    samples = samples / weight[:, None].clamp_min(1e-6)
    code_KB = whole.posterior(samples.flatten()[None], weight.repeat_interleave(whole.channels)[None])
    left_NC = samples - (whole.design_MK @ code_KB)[:, 0].view_as(samples)
    beside_N = fewer(values[0], share[0]).flatten()
    share_N = (left_NC.square().mean(1) - beside_N).clamp_min(0) / level.left_N.square()
    misfit = float(((share_N * weight).sum() / weight.sum().clamp_min(1e-6)).sqrt())
    thin = float((weight > 0).sum() / weight.sum().clamp_min(1e-6)) - 1
    misfit /= 1 + sum(c * thin ** (p + 1) for p, c in enumerate(THIN))
    return Fit(misfit, float(level.misfit_Q[PERCENTILE]))


def fewer(values_HWC: Tensor, share_HW: Tensor) -> Tensor:
    """(N,) variance that samples have besides, because some of their pixels are unknown: s^2 (1 / n - 1 / FINE^2), s^2
    the variance of pixels within samples around."""
    both = torch.cat([values_HWC, values_HWC.square(), torch.ones_like(values_HWC[..., :1])], 2)
    C = values_HWC.shape[2]
    known = pooled((both * share_HW[..., None])[None])[0] * FINE**2
    n = known[:, -1:]
    squares = (known[:, C : 2 * C] - known[:, :C].square() / n.clamp_min(1e-6)).clamp_min(0)
    told = torch.cat([torch.where(n > 1.5, squares, 0).mean(1, keepdim=True), torch.where(n > 1.5, n - 1, 0)], 1)
    side = share_HW.shape[0] // FINE
    around = nn.functional.avg_pool2d(told.T.view(1, 2, side, side), AROUND, 1, AROUND // 2)[0].flatten(1)
    return around[0] / around[1].clamp_min(1e-6) * (1 / n[:, 0].clamp_min(1) - 1 / FINE**2).clamp_min(0)


def pooled(images_BHWC: Tensor) -> Tensor:
    """(B, H, W, C) in the frame -> (B, N, C), means at the level's samples."""
    return nn.functional.avg_pool2d(images_BHWC.permute(0, 3, 1, 2), FINE).flatten(2).transpose(1, 2)
