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
    share_N = left_NC.square().mean(1) / level.left_N.square()
    misfit = float(((share_N * weight).sum() / weight.sum().clamp_min(1e-6)).sqrt())
    return Fit(misfit, float(level.misfit_Q[PERCENTILE]))


def pooled(images_BHWC: Tensor) -> Tensor:
    """(B, H, W, C) in the frame -> (B, N, C), means at the level's samples."""
    return nn.functional.avg_pool2d(images_BHWC.permute(0, 3, 1, 2), FINE).flatten(2).transpose(1, 2)
