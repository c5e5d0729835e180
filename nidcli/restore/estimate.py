"""From a partial view to a whole photo, in the frame of the dictionary: the Gaussian's answer, then the encoder's.

    drawn      the Gaussian posterior mean of the whole-image level                                  (whole.py)
    carried    and what it leaves of the known pixels, continued: drawn + likeliest(seen - drawn)     (fill.py)
    said       the encoder looks at all of this and adds what it misses, where few pixels are known

Of a small photo averages over areas are known: the Gaussian posterior mean, and what it misses of them. The encoder
looks at blocks of FINE x FINE pixels as channels of one: it then costs a quarter, and sees four times as far.

Letters: B photos, H = W pixels of the frame, C channels, I channels that the encoder sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nidcli.encoder import Encoder
from nidcli.restore.fill import likeliest
from nidcli.restore.whole import FINE, WholeImage, area

FEW = 0.15  # of the pixels: where more is known the Gaussian's answer is as good as the encoder's, or better
FIRST = 24  # steps towards the likeliest detail, for the encoder: it does the rest
BACK = 2  # projections (Irani & Peleg 1991) of what a first estimate misses of a small photo


@dataclass(frozen=True)
class View:
    """What the encoder looks at. carried_BHWC : the first estimate; drawn_BHWC : the Gaussian's; share_BHW : how much
    of a pixel is known, 0 to 1."""

    carried_BHWC: Tensor
    drawn_BHWC: Tensor
    share_BHW: Tensor

    def folded(self) -> Tensor:
        """(B, I, H / FINE, W / FINE), the first estimate first."""
        channels = torch.cat([self.carried_BHWC, self.drawn_BHWC, self.share_BHW[..., None]], 3)
        return fold(channels)


def inputs(channels: int) -> int:
    """I: what an encoder of photos sees."""
    return FINE**2 * (2 * channels + 1)


def fold(images_BHWC: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C FINE^2, H / FINE, W / FINE)."""
    return nn.functional.pixel_unshuffle(images_BHWC.permute(0, 3, 1, 2), FINE)


def unfold(folded_BIHW: Tensor) -> Tensor:
    """The way back."""
    return nn.functional.pixel_shuffle(folded_BIHW, FINE).permute(0, 2, 3, 1)


def view(whole: WholeImage, values_BHWC: Tensor, known_BHW: Tensor) -> View:
    """Of photos with holes, in the frame: `known_BHW` is true where a value counts."""
    B = len(values_BHWC)
    known = known_BHW.to(values_BHWC)
    seen = torch.where(known_BHW[..., None], values_BHWC, 0)
    share_BNN = nn.functional.avg_pool2d(known[:, None], FINE)[:, 0]
    sums = nn.functional.avg_pool2d(seen.permute(0, 3, 1, 2), FINE).permute(0, 2, 3, 1)
    samples = (sums / share_BNN[..., None].clamp_min(1e-6)).reshape(B, -1)
    weight_BM = share_BNN.reshape(B, -1).repeat_interleave(whole.channels, 1)
    drawn = whole.draw(whole.posterior(samples, weight_BM))
    carried = drawn + likeliest(seen - drawn, known_BHW, whole.rough_P, FIRST)
    return View(torch.where(known_BHW[..., None], values_BHWC, carried), drawn, known)


def view_small(whole: WholeImage, small_BHWC: Tensor, blur: float = 0.0) -> View:
    """Of small photos, whose pixels are averages over areas, and blurred then where `blur` says so (in pixels)."""
    drawn = whole.draw(whole.posterior_small(small_BHWC, blur))
    height, width = small_BHWC.shape[1:3]
    share = drawn.new_full(drawn.shape[:3], min(1.0, height * width / whole.frame**2))
    carried, small = drawn.permute(0, 3, 1, 2), small_BHWC.permute(0, 3, 1, 2)
    for _ in range(0 if blur else BACK):
        missed = small - area(carried, width, height)
        carried = carried + nn.functional.interpolate(missed, drawn.shape[1:3], mode="bicubic")
    return View(carried.permute(0, 2, 3, 1), drawn, share)


@torch.no_grad()
def said(encoder: Encoder | None, seen: View) -> Tensor:
    """(B, H, W, C): the encoder's answer where few pixels are known, else the first estimate."""
    few_B = seen.share_BHW.mean((1, 2)) < FEW
    if encoder is None or not bool(few_B.any()):
        return seen.carried_BHWC
    answer = unfold(encoder(seen.folded().contiguous(memory_format=torch.channels_last)))
    return torch.where(few_B[:, None, None, None] & (seen.share_BHW[..., None] < 1), answer, seen.carried_BHWC)
