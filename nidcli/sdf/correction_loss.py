"""What the corrector is trained by: its error on pieces of lattices, and these in every orientation.

Letters: B pieces, I channels that the net sees, P lattice points of a folded one, X, Y, Z folded lattice points.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nidcli.corrector import folded, unfolded
from nidcli.sdf.correcting import VALUE_UNIT

FALL, BEYOND, SLOPES = 2.5, 6.0, 1.6  # lattice steps: of the loss, where it ends, and where slopes count
STAYS = 4.0  # weight of what should stay as it is


def turned_pieces(seen: Tensor, truth: Tensor, fold: int, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The same pieces in one of the 48 orientations of a cube."""
    order = chance.permutation(3).tolist()
    flips = [d for d in range(3) if chance.random() < 0.5]
    P = fold**3

    def turned(volumes: Tensor) -> Tensor:
        first = volumes.ndim - 3
        return volumes.permute(*range(first), *(first + d for d in order)).flip([first + d for d in flips])

    lattice = lambda parts: folded(turned(unfolded(parts, fold)), fold)  # noqa: E731
    count, normals, gap = seen[:, 2 * P, None], seen[:, 2 * P + 1 : 2 * P + 4], seen[:, -1:]
    normals = turned(normals)[:, order].clone()
    normals[:, flips] *= -1
    values, known = lattice(seen[:, :P]), lattice(seen[:, P : 2 * P])
    return torch.cat([values, known, turned(count), normals, gap], 1), lattice(truth)


def correction_loss(guess: Tensor, seen: Tensor, truth: Tensor, fold: int) -> Tensor:
    """How far the corrected field and its slopes are from the truth, near where that is zero; and how much was changed
    where nothing should be."""
    change, first, truth = (unfolded(part.float(), fold) for part in (guess, seen[:, : fold**3] * VALUE_UNIT, truth))
    asked = truth.isfinite()
    wanted, made = torch.where(asked, truth, 0), (first + change).clamp(-BEYOND, BEYOND)
    weight = asked * torch.exp(-((wanted / FALL) ** 2))
    smooth = torch.nn.functional.smooth_l1_loss
    loss = (smooth(made, wanted.clamp(-BEYOND, BEYOND), reduction="none", beta=0.25) * weight).sum()
    loss = loss / weight.sum().clamp_min(1)
    stays = truth.isposinf()
    loss = loss + STAYS * (change.abs() * stays).sum() / stays.numel()
    close = asked & (wanted.abs() < SLOPES)
    for d in (1, 2, 3):
        step = lambda values: values.narrow(d, 1, values.shape[d] - 1) - values.narrow(d, 0, values.shape[d] - 1)  # noqa: B023, E731
        both = close.narrow(d, 0, close.shape[d] - 1) & close.narrow(d, 1, close.shape[d] - 1)
        error = smooth(step(made), step(wanted), reduction="none", beta=0.1)
        loss = loss + (error * both).sum() / both.sum().clamp_min(1)
    return loss
