"""Damage for learning to find it: patches, stripes, strokes, letters, scratches, salt and pepper, and none at all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nidcli.restore.holes import rectangle, stroke, uniform

KINDS = 8
VISIBLE = 0.03  # grains that change a pixel by less are no damage


def damaged(image_HWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """(H, W, C) with damage of one kind, and where it is, (H, W) bool."""
    side = len(image_HWC)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    kind = int(uniform(chance) * KINDS)
    if kind == 0:
        return image_HWC, torch.zeros(side, side, dtype=torch.bool)
    if kind == 1:
        return _grains(image_HWC, chance)
    paint = torch.zeros_like(image_HWC)
    hole = torch.zeros(side, side, dtype=torch.bool)
    square, count, width = True, 1, 1.0
    if kind in (2, 3):  # patches
        square, count = kind == 2, 1 if kind == 2 else 1 + int(uniform(chance) * 4)
    elif kind == 4:  # stripes
        return _stripes(image_HWC, chance)
    elif kind == 5:  # scratches
        count, width = 1 + int(uniform(chance) * 8), 0.5 + uniform(chance)
    elif kind == 6:  # strokes
        count, width = 1 + int(uniform(chance) * 5), 1 + 0.04 * side * uniform(chance)
    else:  # letters: short strokes in rows, of one colour
        return _letters(image_HWC, chance)
    for _ in range(count):
        if kind in (2, 3):
            part = rectangle(y, x, side, chance, square=square)
            if uniform(chance) < 0.3:
                part = _ellipse(part, y, x)
        else:
            part = stroke(y, x, side, chance, width)
        paint, hole = torch.where(part[..., None], _paint(image_HWC, chance), paint), hole | part
    return torch.where(hole[..., None], paint, image_HWC), hole


def _paint(image_HWC: Tensor, chance: torch.Generator) -> Tensor:
    """A colour, at times with a texture; (H, W, C) or (1, 1, C)."""
    C, kind = image_HWC.shape[2], uniform(chance)
    colour = torch.rand(1, 1, C, generator=chance)
    if kind < 0.25:
        colour = colour.round().mean().expand(1, 1, C)  # black, white or grey
    if kind > 0.9:
        return torch.rand(image_HWC.shape, generator=chance)
    if kind > 0.75:
        return (colour + 0.1 * torch.randn(image_HWC.shape, generator=chance)).clamp(0, 1)
    return colour


def _grains(image_HWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Salt and pepper, or grains of any colour."""
    side, C = len(image_HWC), image_HWC.shape[2]
    hole = torch.rand(side, side, generator=chance) < 0.02 + 0.43 * uniform(chance)
    grains = torch.rand(side, side, C, generator=chance)
    if uniform(chance) < 0.7:
        grains = grains[..., :1].round().expand_as(grains)
    hole &= (grains - image_HWC).abs().amax(2) > VISIBLE
    return torch.where(hole[..., None], grains, image_HWC), hole


def _stripes(image_HWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lines of their own colour each, at regular or random places."""
    side, C = len(image_HWC), image_HWC.shape[2]
    period, place = 6 + int(uniform(chance) * 26), torch.arange(side)
    if uniform(chance) < 0.5:
        on = (place + int(uniform(chance) * period)) % period < 1 + int(uniform(chance) * period / 3)
    else:
        on = torch.rand(side, generator=chance) < 0.05 + 0.2 * uniform(chance)
    colour = torch.rand(side, C, generator=chance)
    if uniform(chance) < 0.5:  # lines that adjoin have one colour
        first = on & ~torch.cat([on[:1] & False, on[:-1]])
        colour = colour[(first.cumsum(0)).clamp_max(side - 1)]
    across = uniform(chance) < 0.5
    hole = on[:, None].expand(side, side) if across else on.expand(side, side)
    paint = colour[:, None].expand_as(image_HWC) if across else colour.expand_as(image_HWC)
    return torch.where(hole[..., None], paint, image_HWC), hole.clone()


def _letters(image_HWC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of crossings of short lines, as letters are."""
    side = len(image_HWC)
    size = 6 + int(uniform(chance) * 16)
    cells = torch.rand(1, 1, -(-side // size), -(-side // size), generator=chance) < 0.3 + 0.6 * uniform(chance)
    rows = torch.arange(cells.shape[2]) % (1 + int(uniform(chance) * 4)) == 0
    big = nn.functional.interpolate((cells & rows[:, None]).float(), scale_factor=size)[0, 0, :side, :side] > 0
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    u, v = (x % size) / size, (y % size) / size
    letter = (x // size * 7 + y // size * 3 + int(uniform(chance) * 9)) % 4
    pen = 0.06 + 0.12 * uniform(chance)
    bars = (u < pen) | ((v - 0.4).abs() < pen / 2)
    cross = ((u - v).abs() < pen) | ((u + v - 0.8).abs() < pen)
    ring = ((u - 0.4).square() + (v - 0.4).square()).sqrt().sub(0.3).abs() < pen / 1.5
    shape = torch.where(letter == 0, bars, torch.where(letter == 1, cross, torch.where(letter == 2, ring, bars & ring)))
    hole = big & shape & (u < 0.85) & (v < 0.85)
    return torch.where(hole[..., None], _paint(image_HWC, chance), image_HWC), hole


def _ellipse(part_HW: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """The ellipse within a rectangle."""
    if not part_HW.any():
        return part_HW
    inside = lambda a: (a.float() - a[part_HW].float().mean()) / (a[part_HW].float().std() * 3**0.5 + 0.5)  # noqa: E731
    return inside(y).square() + inside(x).square() <= 1
