"""Does the dictionary know such slices: the rays that it was not shown decide.

Every fourth direction is held out; views from opposite sides are of one. From the others a slice is made by total
variation alone, and one with what the encoder says of it; both foretell the rays held out (cross-validation, Stone
1974).

    misfit = |A_held f_dictionary - y_held| / |A_held f_tv - y_held|

Beyond 1 the dictionary is worse than none: it was learned from other slices.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from nidcli.ct.scanner import Scanner
from nidcli.ct.views import Viewer, side_of

UNFIT = 1.03  # a little room: where both miss alike, either will do


@torch.no_grad()
def misfit(viewer: Viewer) -> Tensor:
    """(S,) of each slice; NaN where there are too few directions to hold one out."""
    geometry, encoder = viewer.scanner.geometry, viewer.model.encoder
    held_V = geometry.held_out()
    if not bool(held_V.any()) or encoder is None:
        return viewer.sinogram_MS.new_full(viewer.sinogram_MS.shape[1:], torch.nan)
    side = min(geometry.size, side_of(viewer.model))
    kept, held = halves(viewer.scanner, side)
    rays_VBS = viewer.sinogram_MS.view(geometry.views, geometry.bins, -1) * (side / geometry.size)
    noise_S = viewer.noise_S * (side / geometry.size)
    shown = replace(viewer, scanner=kept, sinogram_MS=rays_VBS[~held_V].flatten(0, 1), noise_S=noise_S)
    look = shown.first()
    guided_NS = shown.guided(shown.encoded(encoder, look, side_of(viewer.model))).agreed_NS
    true_MS = rays_VBS[held_V].flatten(0, 1)
    missed, alone = ((held.forward(f) - true_MS).norm(dim=0) for f in (guided_NS, look.agreed_NS))
    return missed / alone.clamp_min(torch.finfo(torch.float32).tiny)


@lru_cache(maxsize=1)
def halves(scanner: Scanner, size: int) -> tuple[Scanner, Scanner]:
    """The views that are shown and those held out, over a slice of `size` pixels a side."""
    geometry = scanner.geometry
    whole = scanner if geometry.size == size else Scanner.of(geometry.over(size), scanner.operator.coords_ND.device)
    held_V = geometry.held_out()
    return whole.some(~held_V), whole.some(held_V)
