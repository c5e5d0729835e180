"""Where a photo is damaged, if nobody says so: what the class does not draw, judged together with its surroundings.

The robust fit of the whole-image level says how much it believes each sample (robust.py); that is the first estimate.
A small network, the detector, looks at it, at the photo and at what the fit left over, and says of every pixel how
likely it is damaged: damage comes in patches, lines and grains, and what is merely unusual in a face does not.

Letters: B photos, H = W pixels of the frame, C channels, I channels that the detector sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nidcli.encoder import Encoder
from nidcli.restore.estimate import fold, unfold
from nidcli.restore.robust import Robust, robust
from nidcli.restore.whole import FINE, WholeImage

LIKELY = 0.5  # more likely damaged than not


@dataclass(frozen=True)
class Suspicion:
    """doubt_BHW : the first estimate, 0 to 1; values_BHWC : the photo; left_BHWC : what the robust fit left over.

    Beside these the detector sees by how much every pixel differs from the median of its neighbourhood.
    """

    doubt_BHW: Tensor
    values_BHWC: Tensor
    left_BHWC: Tensor

    def folded(self) -> Tensor:
        """(B, I, H / FINE, W / FINE), the first estimate first."""
        doubt = fold(self.doubt_BHW[..., None])
        return torch.cat([doubt, fold(self.values_BHWC), fold(self.left_BHWC), fold(lonely(self.values_BHWC))], 1)


def detector_inputs(channels: int) -> int:
    """I: what a detector of damage sees."""
    return FINE**2 * (2 + 2 * channels)


def lonely(values_BHWC: Tensor) -> Tensor:
    """(B, H, W, 1): the largest difference of a channel from the median of 3 x 3 pixels."""
    images = nn.functional.pad(values_BHWC.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
    around = images.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)  # (B, C, H, W, 9)
    return (values_BHWC.permute(0, 3, 1, 2) - around.median(4).values).abs().amax(1)[..., None]


def suspect(whole: WholeImage, values_BHWC: Tensor) -> tuple[Suspicion, Robust]:
    """Of photos in the frame."""
    samples = nn.functional.avg_pool2d(values_BHWC.permute(0, 3, 1, 2), FINE).permute(0, 2, 3, 1)
    fit = robust(whole, samples.flatten(1))
    doubt = 1 - fit.weight_BN.view(-1, 1, whole.side, whole.side)
    doubt = nn.functional.interpolate(doubt, scale_factor=FINE, mode="bilinear")[:, 0]
    return Suspicion(doubt, values_BHWC, values_BHWC - whole.draw(fit.code_KB)), fit


@torch.no_grad()
def damage_of(detector: Encoder | None, suspicion: Suspicion) -> Tensor:
    """(B, H, W) how likely each pixel is damaged; without a detector what the robust fit alone says."""
    if detector is None:
        return suspicion.doubt_BHW
    return unfold(detector(suspicion.folded()))[..., 0].clamp(0, 1)
