"""What the encoder of photos learns from: photos with holes of many kinds, and small photos."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nidcli.errors import UsageError
from nidcli.model import Model
from nidcli.observers import Observe
from nidcli.restore.estimate import fold, inputs, view, view_small
from nidcli.restore.whole import FINE, WholeImage, whole_of

SMALL = 0.3  # of the batches are small photos
SIDES = (0.11, 0.8)  # of a small photo's side, of the frame's
SPARSE = (0.05, 0.95)  # of pixels that are missing where they are missing at random


def observer(model: Model) -> Observe:
    """See nidcli.observers."""
    level = whole_of(model)
    channels = level.spec.dictionary.channels
    wanted = (inputs(channels), FINE**2 * channels)
    if model.encoder and (model.encoder.spec.inputs, model.encoder.spec.channels) != wanted:
        raise UsageError(f"The encoder of this dictionary needs inputs: {wanted[0]} and channels: {wanted[1]}.")

    @torch.no_grad()
    def observe(images_BHWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        whole = WholeImage.of(level)
        side = whole.frame
        images = nn.functional.interpolate(images_BHWC.permute(0, 3, 1, 2), (side, side), mode="area")
        if _uniform(chance) < SMALL:
            low, high = SIDES
            small = round(side * low * (high / low) ** _uniform(chance))
            averages = nn.functional.interpolate(images, (small, small), mode="area")
            seen = view_small(whole, averages.permute(0, 2, 3, 1))
        else:
            known = torch.stack([~hole(side, chance) for _ in images]).to(images.device)
            seen = view(whole, images.permute(0, 2, 3, 1), known)
        return seen.folded(), fold(images.permute(0, 2, 3, 1))

    return observe


def hole(side: int, chance: torch.Generator) -> Tensor:
    """(side, side) bool: a square, some rectangles, strokes, pixels at random, stripes, or a half."""
    kind = int(_uniform(chance) * 6)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    if kind <= 1:
        count = 1 if kind == 0 else 2 + int(_uniform(chance) * 3)
        return torch.stack([_rectangle(y, x, side, chance, square=kind == 0) for _ in range(count)]).any(0)
    if kind == 2:
        return torch.stack([_stroke(y, x, side, chance) for _ in range(2 + int(_uniform(chance) * 8))]).any(0)
    if kind == 3:
        low, high = SPARSE
        return torch.rand(side, side, generator=chance) < low + (high - low) * _uniform(chance)
    if kind == 4:
        along, period = (y, x)[int(_uniform(chance) * 2)], 6 + int(_uniform(chance) * 26)
        return (along + int(_uniform(chance) * period)) % period < 1 + int(_uniform(chance) * period / 2)
    along, edge = (y, x)[int(_uniform(chance) * 2)], side * (0.3 + 0.4 * _uniform(chance))
    return along < edge if _uniform(chance) < 0.5 else along >= edge


def _rectangle(y: Tensor, x: Tensor, side: int, chance: torch.Generator, *, square: bool) -> Tensor:
    wide = side * (0.08 + 0.4 * _uniform(chance))
    high = wide if square else side * (0.06 + 0.3 * _uniform(chance))
    top, left = (side - high) * _uniform(chance), (side - wide) * _uniform(chance)
    return (y >= top) & (y < top + high) & (x >= left) & (x < left + wide)


def _stroke(y: Tensor, x: Tensor, side: int, chance: torch.Generator) -> Tensor:
    """All within a width of a line between two points."""
    ay, ax, by, bx = (side * _uniform(chance) for _ in range(4))
    along = ((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / max((by - ay) ** 2 + (bx - ax) ** 2, 1.0)
    along = along.clamp(0, 1)
    distance = ((y - ay - along * (by - ay)).square() + (x - ax - along * (bx - ax)).square()).sqrt()
    return distance < 0.7 + side * 0.04 * _uniform(chance) ** 2


def _uniform(chance: torch.Generator) -> float:
    return float(torch.rand((), generator=chance))
