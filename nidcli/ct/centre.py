"""Where the axis of rotation falls on the detector, from the sinogram alone (parallel beams).

Opposite views are mirror images about it. Where there are none, the centre of mass of every view tells: it moves as
c + x cos(theta) + y sin(theta) about the axis c (the first of the moment conditions of Helgason and Ludwig).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from nidcli.errors import UsageError

OPPOSITE = 0.51  # of the median step between views: pairs closer to half a turn than this are mirror images
SEARCH = 0.25  # of the detector, to both sides of the middle
FINE = 20  # trials a bin at the end


def axis_of(sinogram_VB: Tensor, angles_V: tuple[float, ...]) -> tuple[float, str]:
    """The bin, with a fraction, and how it was found. Raises UsageError where the rays do not tell."""
    pairs = _opposite(angles_V)
    if pairs:
        first, second = sinogram_VB[[i for i, _ in pairs]], sinogram_VB[[j for _, j in pairs]]
        return _mirror(first.double(), second.double()), "opposite views"
    if len(angles_V) < 3:
        raise UsageError("--cor auto needs three views at least; give the bin on which the axis falls.")
    p = sinogram_VB.double()
    bins = torch.arange(p.shape[1], dtype=torch.float64)
    mass_V = p.sum(1)
    if not bool((mass_V > 0.2 * mass_V.abs().mean()).all()):
        raise UsageError("--cor auto finds views without mass; give the bin on which the axis falls.")
    centre_V = (p @ bins) / mass_V
    theta_V = torch.deg2rad(torch.tensor(angles_V, dtype=torch.float64))
    waves_V3 = torch.stack([torch.ones_like(theta_V), theta_V.cos(), theta_V.sin()], 1)
    axis = float(torch.linalg.lstsq(waves_V3, centre_V[:, None]).solution[0])
    if not 0 <= axis <= p.shape[1] - 1:
        raise UsageError(f"--cor auto finds the axis at bin {axis:.1f}, off the detector; give the bin where it falls.")
    return axis, "centre of mass"


def _opposite(angles_V: tuple[float, ...]) -> list[tuple[int, int]]:
    """Pairs of views half a turn apart."""
    turned = sorted(angle % 360 for angle in angles_V)
    steps = sorted(b - a for a, b in pairwise(turned)) or [0.0]
    near = min(0.5, OPPOSITE * steps[len(steps) // 2])
    pairs = []
    for i, a in enumerate(angles_V):
        for j, b in enumerate(angles_V):
            apart = (b - a) % 360
            if i < j and abs(apart - 180) <= near:
                pairs.append((i, j))
    return pairs


def _mirror(first_PB: Tensor, second_PB: Tensor) -> float:
    """The axis c that makes second(2 c - b) most like first(b), by whole bins and then by fractions."""
    bins = first_PB.shape[1]
    middle, reach = (bins - 1) / 2, max(2, int(SEARCH * bins))
    best = min(
        (middle + step / 2 for step in range(-2 * reach, 2 * reach + 1)), key=lambda c: _miss(first_PB, second_PB, c)
    )
    tries = [best + step / FINE for step in range(-FINE, FINE + 1)]
    misses = [_miss(first_PB, second_PB, c) for c in tries]
    k = min(range(1, len(tries) - 1), key=misses.__getitem__)
    left, here, right = misses[k - 1 : k + 2]
    bend = left - 2 * here + right
    return tries[k] + (0.5 * (left - right) / bend if bend > 0 else 0.0) / FINE


def _miss(first_PB: Tensor, second_PB: Tensor, axis: float) -> float:
    """Mean squared difference where both are measured, linear between bins."""
    bins = first_PB.shape[1]
    place = 2 * axis - torch.arange(bins, dtype=torch.float64)
    seen = (place >= 0) & (place <= bins - 1)
    if int(seen.sum()) < bins // 4:
        return math.inf
    low = place[seen].floor().long().clamp(0, bins - 2)
    share = place[seen] - low
    mirrored = second_PB[:, low] * (1 - share) + second_PB[:, low + 1] * share
    return float((mirrored - first_PB[:, seen]).square().mean())
