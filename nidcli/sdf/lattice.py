"""A field of cells on a lattice, band by band, and the triangles where it is zero.

The lattice has `steps` steps a cell of the finest level; corners of cells are lattice points, so that the cells of a
level all have the same local lattice and are drawn by one product. Bands of cells along the first axis keep the memory
bounded; a lattice point that no cell reaches holds no triangle.

Letters: S cells, K experts, X, Y, Z lattice points of a band, A, B, C those of a box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import label
from skimage.measure import marching_cubes
from torch import Tensor

from nidcli.sdf.drawing import drawn
from nidcli.sdf.field import Share

BAND_NUMBERS = 1 << 25  # lattice points of a band
BLOCK_NUMBERS = 1 << 22  # values that are drawn at a time
SMALL = 10_000  # lattice points of a box, whose call takes longer than adding it


@dataclass(frozen=True)
class Band:
    """Lattice planes `first`, first + 1, ... of the domain. value_XYZ; known_XYZ : where some cell decides."""

    first: int
    value_XYZ: Tensor
    known_XYZ: Tensor


def joined(field: Iterable[Band]) -> tuple[Tensor, Tensor]:
    """(X, Y, Z) values, and where they are known, of all bands: the last plane of each is the next one's first."""
    parts = list(field)
    value_XYZ, known_XYZ = (
        torch.cat([*(getattr(part, name)[:-1] for part in parts[:-1]), getattr(parts[-1], name)])
        for name in ("value_XYZ", "known_XYZ")
    )
    return value_XYZ, known_XYZ


def bands(shares: Sequence[Share], steps: int) -> Iterator[Band]:
    """The field of all shares on a lattice of `steps` steps a cell of the finest, the last share."""
    finest = shares[-1].cells
    side = finest * steps + 1
    ratio = finest // shares[0].cells  # a band holds whole cells of the coarsest level
    thick = max(1, BAND_NUMBERS // (side * side) // (steps * ratio)) * steps * ratio
    for first in range(0, side - 1, thick):
        planes = min(thick, side - 1 - first) + 1
        value_XYZ = torch.zeros(planes, side, side)
        weight_XYZ = torch.zeros_like(value_XYZ)
        for share in shares:
            _draw(share, finest // share.cells * steps, first, value_XYZ, weight_XYZ)
        yield Band(first, value_XYZ, weight_XYZ > 1e-3)


def _draw(share: Share, steps: int, first: int, value_XYZ: Tensor, weight_XYZ: Tensor) -> None:
    """Add a share, `steps` lattice steps a cell, to a band of lattice planes from `first` on."""
    planes = len(value_XYZ)
    n, F = share.cells, share.partition.overlap
    reach = math.ceil(steps * F / 2)
    place_X = torch.arange(-reach, steps + reach + 1)  # lattice points from a cell's low corner
    u_X = 2 * place_X / steps - 1
    ramp_X = ((1 + F - u_X.abs()) / (2 * F)).clamp(0, 1) if F else ((u_X >= -1) & ((u_X < 1) | (n == 1))).float()
    place_X, u_X, ramp_X = place_X[ramp_X > 0], u_X[ramp_X > 0], ramp_X[ramp_X > 0]
    low_S3 = torch.stack([share.cell_S % n, share.cell_S // n % n, share.cell_S // (n * n)], 1).cpu() * steps
    reached = (low_S3[:, 0] + place_X[-1] >= first) & (low_S3[:, 0] + place_X[0] < first + planes)
    near_S = reached.nonzero().squeeze(1)
    plane_size = len(place_X) ** 2
    for block in torch.arange(len(place_X)).split(max(1, BLOCK_NUMBERS // plane_size)):
        weight_XX = ramp_X[block, None, None] * ramp_X[:, None] * ramp_X
        for cells in near_S.split(max(1, BLOCK_NUMBERS // (len(block) * plane_size))):
            code_SK = share.code_SK[cells.to(share.code_SK.device)]
            values = ((drawn(share.bank, code_SK, u_X[block], u_X, u_X) + share.constant) / n).cpu() * weight_XX
            low_3 = torch.tensor([int(place_X[block[0]]) - first, int(place_X[0]), int(place_X[0])])
            _add(value_XYZ, weight_XYZ, low_S3[cells] + low_3, values, weight_XX)


def _add(value_XYZ: Tensor, weight_XYZ: Tensor, low_S3: Tensor, boxes_SABC: Tensor, weight_ABC: Tensor) -> None:
    """Boxes of weighted values, and of their weights, onto a lattice from these corners on; what lies outside is left.

    Small boxes all at once, since a call for each takes longer than what it adds; large and overhanging ones by
    themselves.
    """
    size_3, count_3 = torch.tensor(value_XYZ.shape), torch.tensor(weight_ABC.shape)
    whole_S = ((low_S3 >= 0) & (low_S3 + count_3 <= size_3)).all(1) & (weight_ABC.numel() <= SMALL)
    stride_3 = torch.tensor(value_XYZ.stride())
    place_A, place_B, place_C = (
        torch.arange(n) * by for n, by in zip(count_3.tolist(), stride_3.tolist(), strict=True)
    )
    within_ABC = place_A[:, None, None] + place_B[:, None] + place_C
    place_SABC = (low_S3[whole_S] * stride_3).sum(1)[:, None, None, None] + within_ABC
    value_XYZ.view(-1).index_add_(0, place_SABC.flatten(), boxes_SABC[whole_S].flatten())
    weight_XYZ.view(-1).index_add_(0, place_SABC.flatten(), weight_ABC.expand(place_SABC.shape).flatten())
    for one, corner in zip(boxes_SABC[~whole_S], low_S3[~whole_S].tolist(), strict=True):
        ends = list(zip(corner, one.shape, value_XYZ.shape, strict=True))
        here = tuple(slice(max(0, -at), max(0, min(count, size - at))) for at, count, size in ends)
        there = tuple(slice(max(0, at), max(0, min(at + count, size))) for at, count, size in ends)
        value_XYZ[there] += one[here]
        weight_XYZ[there] += weight_ABC[here]


def triangles(field: Iterable[Band], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) in the domain, float64, and faces (F, 3), counter-clockwise from outside. field : the bands of a
    lattice of `side` steps."""
    corners, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for band in field:
        value, known = closed_off(band.value_XYZ.numpy(), band.known_XYZ.numpy())
        if not (known.any() and (value[known] < 0).any() and (value[known] > 0).any()):
            continue
        try:
            found, cut, _, _ = marching_cubes(value, 0.0, mask=known, allow_degenerate=False)
        except RuntimeError:  # the surface lies between what is known and what is not
            continue
        corners.append(found.astype(np.float64) + np.array([band.first, 0, 0]))
        faces.append(cut.astype(np.int64) + count)
        count += len(found)
    merged_V3, faces_F3 = merged(np.concatenate(corners), np.concatenate(faces))
    return merged_V3 * (2 / side) - 1, faces_F3


def closed_off(value: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The band with what lies enclosed between known places, such as the inside of a thick part, filled in.

    A region that no cell reaches is inside where most of what borders on it is.
    """
    value = np.where(value == 0, np.float32(1e-9), value)  # marching cubes makes faces without area of exact zeros
    regions, count = label(~known)
    if not count:
        return value, known
    border, values, places, flat = np.zeros(count + 1), value.reshape(-1), regions.reshape(-1), known.reshape(-1)
    for size, stride in zip(value.shape, (value[0].size, value.shape[2], 1), strict=True):
        first = np.flatnonzero(flat[stride:] != flat[:-stride])
        first = first[first // stride % size != size - 1]  # the next is in the next row
        unknown = np.where(flat[first], first + stride, first)
        border += np.bincount(places[unknown], np.sign(values[2 * first + stride - unknown]), count + 1)
    np.copyto(value, np.where(border < 0, -1, 1).astype(value.dtype)[regions], where=~known)
    return value, known


def merged(corners_V3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same triangles with vertices at one place made one, and without those that have no area then."""
    if not len(corners_V3):
        return corners_V3, faces_F3
    key = np.round(corners_V3 * 4096).astype(np.int64)
    _, first, number = np.unique(key @ np.array([1 << 42, 1 << 21, 1]), return_index=True, return_inverse=True)
    faces = number[faces_F3]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return corners_V3[first], faces[whole]
