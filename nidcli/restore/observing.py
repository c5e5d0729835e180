"""What the networks for photos learn from: holes of many kinds and small photos (encoder), damage (detector), holes
that are small everywhere (finisher)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nidcli.encoder import Encoder
from nidcli.errors import UsageError
from nidcli.model import Model
from nidcli.observers import Observe
from nidcli.restore.cells import Cells
from nidcli.restore.damaging import damaged
from nidcli.restore.estimate import fold, inputs, said, view, view_small
from nidcli.restore.finish import finisher_inputs, looks, met
from nidcli.restore.holes import fine, hole, uniform
from nidcli.restore.suspicion import detector_inputs, suspect
from nidcli.restore.whole import FINE, WholeImage, whole_of

SMALL = 0.3  # of the batches are small photos
SIDES = (0.12, 0.8)  # of a small photo's side, of the frame's


def observer(model: Model) -> Observe:
    """See nidcli.observers."""
    level = whole_of(model)
    channels = level.spec.dictionary.channels
    _check("encoder", model.encoder, inputs(channels), FINE**2 * channels)

    @torch.no_grad()
    def observe(images_BHWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        whole = WholeImage.of(level)
        images, side = _framed(images_BHWC, whole), whole.frame
        if uniform(chance) < SMALL:
            low, high = SIDES
            small = round(side * low * (high / low) ** uniform(chance))
            averages = nn.functional.interpolate(images, (small, small), mode="area")
            seen = view_small(whole, averages.permute(0, 2, 3, 1))
        else:
            known = torch.stack([~hole(side, chance) for _ in images]).to(images.device)
            seen = view(whole, images.permute(0, 2, 3, 1), known)
        truth = torch.where(seen.share_BHW[..., None] < 1, images.permute(0, 2, 3, 1), torch.nan)
        return seen.folded(), fold(truth)

    return observe


def detector_observer(model: Model) -> Observe:
    """The same for the detector: the truth is where the damage is."""
    level = whole_of(model)
    _check("detector", model.detector, detector_inputs(level.spec.dictionary.channels), FINE**2)

    @torch.no_grad()
    def observe(images_BHWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        whole = WholeImage.of(level)
        images = _framed(images_BHWC, whole).permute(0, 2, 3, 1)
        pairs = [damaged(image, chance) for image in images.cpu()]
        values = torch.stack([pair[0] for pair in pairs]).to(images)
        truth = torch.stack([pair[1] for pair in pairs]).to(images)
        return suspect(whole, values)[0].folded(), fold(truth[..., None])

    return observe


def finisher_observer(model: Model) -> Observe:
    """The same for the finisher: it is asked where the mixture answers."""
    level = whole_of(model)
    channels = level.spec.dictionary.channels
    _check("finisher", model.finisher, finisher_inputs(channels), FINE**2 * channels)
    assert model.mixture is not None  # ModelSpec sees to it
    mixture = model.mixture

    @torch.no_grad()
    def observe(images_BHWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        whole = WholeImage.of(level)
        images = _framed(images_BHWC, whole).permute(0, 2, 3, 1)
        known = torch.stack([~fine(whole.frame, chance) for _ in images]).to(images.device)
        seen = view(whole, images, known)
        answer, share = Cells.of(model, mixture).answer(seen, said(model.encoder, seen))
        truth = torch.where((share > 0) & (seen.share_BHW[..., None] < 1), images, torch.nan)
        return looks(met(model, seen, answer), seen), fold(truth)

    return observe


def _framed(images_BHWC: Tensor, whole: WholeImage) -> Tensor:
    """(B, C, H, W) in the size of the frame."""
    return nn.functional.interpolate(images_BHWC.permute(0, 3, 1, 2), (whole.frame, whole.frame), mode="area")


def _check(name: str, net: Encoder | None, seen: int, says: int) -> None:
    if net is not None and (net.spec.inputs, net.spec.channels) != (seen, says):
        raise UsageError(f"The {name} of this dictionary needs inputs: {seen} and channels: {says}.")
    if net is not None and net.spec.partial not in (0, FINE**2):
        raise UsageError(
            f"The {name} of this dictionary sees what is known in {FINE**2} inputs; give partial: {FINE**2}."
        )
