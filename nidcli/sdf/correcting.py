"""A field on its lattice with what its cells miss: where the net of `corrector.py` is asked, and what it is shown.

It sees the field in lattice steps, where cells decide, and in every folded lattice point how many points of the cloud
lie there and the sum of their normals, spread linearly. It answers on the lattice that the density asks for, on which
it was learned; a finer one takes the answer in between, a coarser one, asked for to be quick, is drawn without, and so
are clouds that are dense or noisy.

What it learned from is not all there is. It is heard where the cloud is angular (angular.py): smooth surfaces are what
cells have right, and a net that saw few of them does not. And where it turns the field against the normals of more than
a few points, it is not heard at all.

Letters: N points, X, Y, Z lattice points, or folded ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from nidcli.corrector import Corrector, folded, unfolded
from nidcli.model import Model
from nidcli.sdf.angular import SPREAD, angular, spread
from nidcli.sdf.lattice import Band, bands, joined
from nidcli.sdf.slits import opened
from nidcli.sdf.solving import DENSE, Field, default_resolution
from nidcli.sdf.splatting import splatted

LOST, REFUTED = 0.3, 0.03  # of a cosine with a point's normal; share of the points that so refute all corrections
CLIP = 8.0  # lattice steps: further from the surface values say nothing
NEAR = 3.0  # and this near to it lattice points are corrected
MOST, HALO = 800_000, 8  # folded lattice points that are looked at at once, and a side around those that are answered
VALUE_UNIT, GAP_UNIT = 4.0, 8.0  # lattice steps: inputs are of the order of one


def drawn(model: Model, field: Field) -> tuple[Iterable[Band], bool]:
    """The bands of a field's lattice, its slits open, and whether the dictionary's corrector had a say in them."""
    found, corrected = _solid(model, field)
    slit = field.slit_N
    return opened(found, field.points_N3[slit], field.normals_N3[slit], field.gap, field.side), corrected


def _solid(model: Model, field: Field) -> tuple[Iterable[Band], bool]:
    """The bands without the slits."""
    usual = usual_steps(field.shares[-1].cells)
    if model.corrector is None or field.steps < usual or field.shares[-1].cells > DENSE or field.noise > 0:
        return bands(field.shares, field.steps), False
    angular_N = angular(*field.solid)
    if not angular_N.any():
        return bands(field.shares, field.steps), False
    parts = list(bands(field.shares, usual))
    correction_XYZ = _correction(model.corrector, field, parts, angular_N)
    own = parts if field.steps == usual else bands(field.shares, field.steps)
    return (own, False) if correction_XYZ is None else (_corrected(own, correction_XYZ, field.side), True)


def _corrected(field: Iterable[Band], correction_XYZ: Tensor, side: int) -> Iterator[Band]:
    for band in field:
        planes = range(band.first, band.first + len(band.value_XYZ))
        band.value_XYZ.add_(_between(correction_XYZ, planes, side))
        yield band


def usual_steps(finest: int) -> int:
    """Lattice steps a cell that the density asks for."""
    return max(2, -(-default_resolution(finest) // finest))


@torch.no_grad()
def _correction(net: Corrector, field: Field, parts: list[Band], angular_N: np.ndarray) -> Tensor | None:
    """(X, Y, Z) in units of the domain, on the lattice of these bands; None where the points refute it."""
    value_XYZ, known_XYZ = joined(parts)
    side, fold, unit = len(value_XYZ) - 1, net.spec.fold, net.spec.unit
    scale, device = 2 / side, next(net.parameters()).device
    size = -(-(side + 1) // fold)
    pad = (0, size * fold - side - 1) * 3
    value_XYZ = torch.nn.functional.pad((value_XYZ / scale).clamp_(-CLIP, CLIP), pad)
    known_XYZ = torch.nn.functional.pad(known_XYZ, pad)
    points_N3, normals_N3 = field.solid
    places_N3 = folded_places(points_N3, scale, fold)
    splat_4XYZ = splatted(places_N3, normals_N3, (size,) * 3)
    out_XYZ = torch.zeros_like(value_XYZ)
    near_XYZ = known_XYZ & (value_XYZ.abs() < NEAR)
    for corner, ends in _tiles([_extent(near_XYZ, d, fold) for d in range(3)]):
        here = tuple(slice(fold * a, fold * b) for a, b in zip(corner, ends, strict=True))
        if not near_XYZ[here].any():
            continue
        low = [max(0, at - HALO) // unit * unit for at in corner]  # halved as the whole would be
        around = [slice(a, min(size, b + HALO)) for a, b in zip(low, ends, strict=True)]
        wide = tuple(slice(fold * s.start, fold * s.stop) for s in around)
        seen = shown(value_XYZ[wide], known_XYZ[wide], splat_4XYZ[:, *around], field.gap / scale, fold).to(device)
        fill = [(0, -n % unit) for n in reversed(seen.shape[1:])]
        seen = torch.nn.functional.pad(seen, tuple(itertools.chain(*fill)))
        answer = unfolded(net(seen[None].contiguous(memory_format=torch.channels_last_3d)), fold)[0].cpu()
        inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(here, wide, strict=True))
        out_XYZ[here] = answer[inner]
    said_XYZ = splatted(places_N3, angular_N[:, None], (size,) * 3)[1]
    share_XYZ = spread(splat_4XYZ[0].numpy(), said_XYZ.numpy(), SPREAD * field.gap / (scale * fold))
    share_XYZ = torch.nn.functional.interpolate(share_XYZ[None, None], scale_factor=fold, mode="trilinear")[0, 0]
    out_XYZ = out_XYZ * known_XYZ * share_XYZ
    before, after = (_agreement(part.numpy(), field, scale) for part in (value_XYZ, value_XYZ + out_XYZ))
    if (after < before - LOST).mean() > REFUTED:
        return None
    return out_XYZ[: side + 1, : side + 1, : side + 1] * scale


def _agreement(value_XYZ: np.ndarray, field: Field, step: float) -> np.ndarray:
    """(N,) cosines between the normals of points and the slope of a field on the lattice there."""
    points_N3, normals_N3 = field.solid
    place_3N = ((points_N3 + 1) / step).T
    ends = [
        [map_coordinates(value_XYZ, place_3N + way * axis[:, None], order=1) for way in (1, -1)] for axis in np.eye(3)
    ]
    slope_N3 = np.stack([up - down for up, down in ends], 1)
    cosine_N: np.ndarray = (slope_N3 * normals_N3).sum(1) / np.linalg.norm(slope_N3, axis=1).clip(1e-9)
    return cosine_N


def shown(value_XYZ: Tensor, known_XYZ: Tensor, splat_4XYZ: Tensor, gap: float, fold: int) -> Tensor:
    """(I, X, Y, Z): what the net sees of a piece of a lattice. value_XYZ, gap : in lattice steps."""
    value = folded((value_XYZ * known_XYZ / VALUE_UNIT)[None], fold)[0]
    known = folded(known_XYZ.to(value)[None], fold)[0]
    return torch.cat([value, known, splat_4XYZ.to(value), torch.full_like(value[:1], gap / GAP_UNIT)])


def folded_places(points_N3: np.ndarray, step: float, fold: int) -> np.ndarray:
    """(N, 3) points of the domain in folded lattice steps from the first folded point's middle."""
    places: np.ndarray = ((points_N3 + 1) / step - (fold - 1) / 2) / fold
    return places


def _tiles(extents: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Corners and ends of boxes of about equal sides that are small enough with what is seen around them."""
    length, parts = [b - a for a, b in extents], [1, 1, 1]
    side = lambda d: -(-length[d] // parts[d])  # noqa: E731
    while min(length) > 0 and math.prod(side(d) + 2 * HALO for d in range(3)) > MOST:
        longest = max(range(3), key=side)
        if side(longest) <= HALO:
            break
        parts[longest] += 1
    axes = [[(at, min(at + side(d), b)) for at in range(a, b, max(1, side(d)))] for d, (a, b) in enumerate(extents)]
    for box in itertools.product(*axes):
        corner, ends = zip(*box, strict=True)
        yield corner, ends


def _extent(near_XYZ: Tensor, dim: int, fold: int) -> tuple[int, int]:
    """Folded lattice points along an axis between which there is anything to correct."""
    others = [d for d in range(3) if d != dim]
    where = near_XYZ.any(others[1]).any(others[0]).nonzero().squeeze(1)
    return (int(where[0]) // fold, int(where[-1]) // fold + 1) if len(where) else (0, 0)


def _between(coarse_XYZ: Tensor, planes: range, side: int) -> Tensor:
    """Planes of a lattice of `side` steps, linear between the points of a coarser one."""
    steps = len(coarse_XYZ) - 1
    if steps == side:
        return coarse_XYZ[planes.start : planes.stop]
    for dim, places in enumerate((torch.tensor(planes), torch.arange(side + 1), torch.arange(side + 1))):
        at = places * (steps / side)
        low = at.floor().long().clamp(0, steps - 1)
        share = (at - low).view(-1, *[1] * (2 - dim))
        first, second = coarse_XYZ.index_select(dim, low), coarse_XYZ.index_select(dim, low + 1)
        coarse_XYZ = torch.lerp(first, second, share)
    return coarse_XYZ
