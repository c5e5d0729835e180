"""Photos with known holes, filled: the operator samples the known pixels and does not ask about the rest.

    answer(x) = said(x) + continued(y - said)(x)        in the hole;   y(x) elsewhere, to the last bit

`said` is the Gaussian's and the encoder's answer in the frame of the class (estimate.py), and the mixture's where
pixels are missing here and there (finish.py), drawn at the photo's pixels. What it misses of the known pixels is
continued into the hole, so that there is no seam: as the likeliest detail where the photo's pixels are about those of
the frame, harmonically in larger photos. Outside the frame the class has no say.

Letters: B photos, H, W pixels, C channels, n pixels a side of the frame.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nidcli.model import Model
from nidcli.restore.estimate import said, view
from nidcli.restore.fill import harmonic, likeliest
from nidcli.restore.finish import between
from nidcli.restore.frame import Frame, back, cut, within
from nidcli.restore.whole import WholeImage, whole_of

LARGE = 2.0  # times the pixels of the frame: beyond, details are not those that the class was learned with
TENSE = (0.0, 0.05, 1.0)  # without the class: as smooth as a plate under tension, L + 20 L^2
KNOWN = 0.5  # of a pixel of the frame: it counts as known from here on


@torch.no_grad()
def fill(
    model: Model,
    photo_HWC: Tensor,
    known_HW: Tensor,
    frame: Frame | None = None,
    *,
    trusted: bool = True,
    detailed: bool = True,
) -> Tensor:
    """(H, W, C) floats: the photo where known, the class's answer elsewhere; without its trust no class's.

    detailed : with what lies between scattered pixels, which takes as long as all the rest.
    """
    height, width, _ = photo_HWC.shape
    frame = frame or Frame.middle(width, height)
    whole = WholeImage.of(whole_of(model))
    if not trusted:
        filled = smooth(photo_HWC, known_HW)[0].clamp(0, 1)
        return torch.where(known_HW[..., None], photo_HWC, filled)
    values, share = cut(frame, photo_HWC[None], known_HW[None], whole.frame)
    seen = view(whole, values, share > KNOWN)
    drawn = said(model.encoder, seen)
    if detailed:
        drawn = between(model, seen, drawn)
    return carried(whole, drawn, photo_HWC, known_HW, frame)


def smooth(photo_HWC: Tensor, known_HW: Tensor) -> Tensor:
    """(1, H, W, C): the photo continued without the class."""
    return likeliest(photo_HWC[None], known_HW[None], torch.tensor(TENSE, device=photo_HWC.device))


def carried(whole: WholeImage, drawn_BNNC: Tensor, photo_HWC: Tensor, known_HW: Tensor, frame: Frame) -> Tensor:
    """What is drawn in the frame, brought to the photo and made to meet its known pixels."""
    height, width, _ = photo_HWC.shape
    drawn = back(frame, drawn_BNNC, width, height)
    if not frame.covers(width, height):
        say = within(frame, width, height, drawn.device)[..., None]
        drawn = say * drawn + (1 - say) * smooth(photo_HWC, known_HW)
    missed = photo_HWC[None] - drawn
    zoom = 2 * frame.half / whole.frame
    if zoom <= LARGE:
        answer = drawn + likeliest(missed, known_HW[None], whole.rough_P, zoom=zoom)
    else:
        answer = drawn + harmonic(missed, known_HW[None])
    return torch.where(known_HW[..., None], photo_HWC, answer[0].clamp(0, 1))
