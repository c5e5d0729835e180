"""Holes for learning to fill them: squares, rectangles, strokes, pixels at random, stripes, halves."""

from __future__ import annotations

import torch
from torch import Tensor

SPARSE = (0.05, 0.92)  # of pixels that are missing where they are missing at random
MANY = (0.4, 0.92)  # where they are many


def fine(side: int, chance: torch.Generator) -> Tensor:
    """(side, side) bool: holes that are small everywhere, most often many pixels here and there."""
    kind = int(uniform(chance) * 20)
    if kind > 1:
        low, high = MANY
        return torch.rand(side, side, generator=chance) < low + (high - low) * uniform(chance)
    return strokes(side, chance) if kind else stripes(side, chance)


def hole(side: int, chance: torch.Generator) -> Tensor:
    """(side, side) bool, one kind at random: pixels here and there, and squares, most often."""
    kind = int(uniform(chance) * 9)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    if kind <= 2:
        count = 1 if kind <= 1 else 2 + int(uniform(chance) * 3)
        return torch.stack([rectangle(y, x, side, chance, square=kind <= 1) for _ in range(count)]).any(0)
    if kind == 3:
        return strokes(side, chance)
    if kind <= 6:
        low, high = SPARSE
        return torch.rand(side, side, generator=chance) < low + (high - low) * uniform(chance)
    if kind == 7:
        return stripes(side, chance)
    along, edge = (y, x)[int(uniform(chance) * 2)], side * (0.3 + 0.4 * uniform(chance))
    return along < edge if uniform(chance) < 0.5 else along >= edge


def strokes(side: int, chance: torch.Generator) -> Tensor:
    """Some strokes, thin ones most often."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    widths = [0.7 + side * 0.04 * uniform(chance) ** 2 for _ in range(2 + int(uniform(chance) * 8))]
    return torch.stack([stroke(y, x, side, chance, width) for width in widths]).any(0)


def stripes(side: int, chance: torch.Generator) -> Tensor:
    """Rows or columns, at regular places."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    along, period = (y, x)[int(uniform(chance) * 2)], 6 + int(uniform(chance) * 26)
    return (along + int(uniform(chance) * period)) % period < 1 + int(uniform(chance) * period / 2)


def rectangle(y: Tensor, x: Tensor, side: int, chance: torch.Generator, *, square: bool) -> Tensor:
    """A rectangle somewhere, up to half a side wide; y, x : the grid."""
    wide = side * (0.08 + 0.4 * uniform(chance))
    high = wide if square else side * (0.06 + 0.3 * uniform(chance))
    top, left = (side - high) * uniform(chance), (side - wide) * uniform(chance)
    return (y >= top) & (y < top + high) & (x >= left) & (x < left + wide)


def stroke(y: Tensor, x: Tensor, side: int, chance: torch.Generator, width: float) -> Tensor:
    """All within a width of a line between two points."""
    ay, ax, by, bx = (side * uniform(chance) for _ in range(4))
    along = ((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / max((by - ay) ** 2 + (bx - ax) ** 2, 1.0)
    along = along.clamp(0, 1)
    distance = ((y - ay - along * (by - ay)).square() + (x - ax - along * (bx - ax)).square()).sqrt()
    return distance < width


def uniform(chance: torch.Generator) -> float:
    """A number between 0 and 1."""
    return float(torch.rand((), generator=chance))
