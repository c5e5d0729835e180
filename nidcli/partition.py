"""Cutting a domain into overlapping cells whose weights sum to one.

    f(x) = sum_cells w_cell(x) f_cell(local(x)),    sum_cells w_cell(x) = 1

Cells are regular, n along an axis. With overlap F a cell is asked about |u| < 1 + F in its local coordinates, and hands
over to its neighbour on a linear ramp across [1 - F, 1 + F]; at the border of the domain it keeps the weight one.

With F = 1/p and p pixels a cell side the ramp lies exactly between the last pixel centre of one cell and the first of
the next: at that resolution the cells decouple, and between the pixels the field is continuous all the same.

By Jensen's inequality |sum_c w_c f_c - y|^2 <= sum_c w_c |f_c - y|^2, with equality where one cell has all the weight:
fitting every cell alone, rows weighted by sqrt(w), minimises a bound of the joint error that is tight there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from nidcli.grid import grid_coords


@dataclass(frozen=True)
class Partition:
    """`cells` along (x, y, ...), and the overlap as a fraction of a half cell, 0 ... 1."""

    cells: tuple[int, ...]
    overlap: float

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 1 or min(self.cells) < 1:
            raise ValueError(f"a partition needs cells >= 1 and an overlap of 0 to 1, not {self}")

    def locate(self, coords_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which cells see each point, where, and with what weight.

        (N, D) in [-1, 1] -> flat cell (N, J), local coordinates (N, J, D), weight (N, J), with J = 2^D candidates;
        x runs fastest in the flat index. Candidates that do not see the point have weight zero.
        """
        cell = torch.zeros(len(coords_ND), 1, dtype=torch.long, device=coords_ND.device)
        local = coords_ND.new_zeros(len(coords_ND), 1, 0)
        weight = coords_ND.new_ones(len(coords_ND), 1)
        stride = 1
        for d, n in enumerate(self.cells):
            position = (coords_ND[:, d] + 1) * n / 2
            own = position.floor().long().clamp(0, n - 1)
            u = 2 * (position - own) - 1
            step = torch.where(u >= 0, 1, -1)
            other = own + step
            inside = (other >= 0) & (other < n)
            share = self._ramp(u.abs()) if self.overlap else torch.ones_like(u)
            share = torch.where(inside, share, torch.ones_like(u))
            pair = torch.stack([own, other.clamp(0, n - 1)], 1)
            pair_u = torch.stack([u, u - 2 * step], 1)
            pair_w = torch.stack([share, 1 - share], 1)
            cell = (cell[:, :, None] + stride * pair[:, None, :]).flatten(1)
            weight = (weight[:, :, None] * pair_w[:, None, :]).flatten(1)
            J = local.shape[1]
            local = torch.cat([local.repeat_interleave(2, 1), pair_u.repeat(1, J)[:, :, None]], 2)
            stride *= n
        return cell, local, weight

    def _ramp(self, distance: Tensor) -> Tensor:
        return ((1 + self.overlap - distance) / (2 * self.overlap)).clamp(0, 1)


@dataclass(frozen=True)
class Tile:
    """Cells that see an image's pixels alike: one design serves them all.

    cell_S : flat cells, in reading order; row_YH, column_XW : the pixels of each row and column of cells;
    coords_ND : local coordinates of the pixels of a cell, in reading order; weight_N : their weights.
    """

    cell_S: Tensor
    row_YH: Tensor
    column_XW: Tensor
    coords_ND: Tensor
    weight_N: Tensor

    @property
    def key(self) -> bytes:
        """Equal for tiles with equal coordinates and weights."""
        return self.coords_ND.numpy().tobytes() + self.weight_N.numpy().tobytes()

    @property
    def alone(self) -> bool:
        """Whether each pixel belongs to one cell, with the whole weight."""
        return bool((self.weight_N == 1).all())

    def bands(self, cells: int) -> Iterator[Tile]:
        """The same tile in runs of whole rows of at most `cells` cells (one row at least)."""
        (Y, _), (X, _) = self.row_YH.shape, self.column_XW.shape
        step = max(1, cells // X)
        for y in range(0, Y, step):
            yield replace(self, cell_S=self.cell_S[y * X : (y + step) * X], row_YH=self.row_YH[y : y + step])

    def cut(self, images_BHWC: Tensor) -> Tensor:
        """(B, H, W, C) -> the samples of each cell, (B, S, N, C)."""
        B, _, _, C = images_BHWC.shape
        (Y, H), (X, W) = self.row_YH.shape, self.column_XW.shape
        if self._adjoining(images_BHWC):
            cells = images_BHWC.reshape(B, Y, H, X, W, C).transpose(2, 3)
        else:
            cells = images_BHWC[:, self.row_YH[:, None, :, None], self.column_XW[None, :, None, :]]
        return cells.reshape(B, Y * X, H * W, C)

    def paste(self, canvas_HWC: Tensor, samples_SNC: Tensor) -> None:
        """Add weighted samples of each cell, (S, N, C), onto a canvas."""
        (Y, H), (X, W) = self.row_YH.shape, self.column_XW.shape
        C = canvas_HWC.shape[-1]
        if self._adjoining(canvas_HWC[None]):
            canvas_HWC += samples_SNC.view(Y, X, H, W, C).transpose(1, 2).reshape(Y * H, X * W, C)
            return
        cells = (samples_SNC * self.weight_N.to(samples_SNC)[:, None]).view(Y, X, H, W, C)
        for y in range(min(Y, 3)):  # every third cell: no two of them share a pixel, so a plain += is exact
            for x in range(min(X, 3)):
                rows, columns = self.row_YH[y::3], self.column_XW[x::3]
                canvas_HWC[rows[:, None, :, None], columns[None, :, None, :]] += cells[y::3, x::3]

    def _adjoining(self, images_BHWC: Tensor) -> bool:
        """Whether the cells of this tile are the whole image, side by side, each pixel in one of them."""
        (Y, H), (X, W) = self.row_YH.shape, self.column_XW.shape
        return images_BHWC.shape[1:3] == (Y * H, X * W) and self.alone


@dataclass(frozen=True)
class _Window:
    """Cells of one axis that see their pixels alike: `pixels_CQ`, local coordinates and weights of Q pixels."""

    cells: list[int]
    pixels_CQ: Tensor
    local_Q: Tensor
    weight_Q: Tensor


def _windows(cells: int, overlap: float, pixels: int, extent: Fraction, span: tuple[int, int]) -> list[_Window]:
    """Group the cells of an axis on which `pixels` pixels cover the first `extent` cells; only pixels in `span`.

    Pixel i lies at u = (2 i + 1) extent / pixels - (2 c + 1) in cell c: kept as a fraction, so that equal is equal.
    """
    scale = pixels * extent.denominator
    groups: dict[tuple[int, int, bytes], _Window] = {}
    for c in range(min(cells, math.ceil(extent))):
        low = math.floor(((2 * c - overlap) * pixels / extent - 1) / 2)
        high = math.ceil(((2 * c + 2 + overlap) * pixels / extent - 1) / 2) + 1
        index = np.arange(max(span[0], low), min(span[1], high))
        numerator = (2 * index + 1) * extent.numerator - (2 * c + 1) * scale
        u = numerator / scale
        weight = np.clip((1 + overlap - np.abs(u)) / (2 * overlap), 0, 1) if overlap else ((u >= -1) & (u < 1)) * 1.0
        border = ((c == 0) & (u < 0)) | ((c == cells - 1) & (u > 0))
        weight = np.where(border, 1.0, weight).round(9)
        seen = weight > 0
        if not seen.any():
            continue
        key = (int(numerator[seen][0]), int(seen.sum()), weight[seen].tobytes())
        pixels_Q = torch.from_numpy(index[seen] - span[0])[None]
        if key in groups:
            window = groups[key]
            groups[key] = replace(window, cells=[*window.cells, c], pixels_CQ=torch.cat([window.pixels_CQ, pixels_Q]))
        else:
            groups[key] = _Window([c], pixels_Q, torch.from_numpy(u[seen]), torch.from_numpy(weight[seen]))
    return list(groups.values())


@lru_cache(maxsize=64)
def tiles(
    partition: Partition,
    pixels: tuple[int, int],
    extent: tuple[Fraction, Fraction] | None = None,
    rows: tuple[int, int] | None = None,
) -> tuple[Tile, ...]:
    """The tiles of an image of `pixels` = (width, height), or of its rows from `rows[0]` up to `rows[1]`.

    The image covers the first `extent` = (x, y) cells of the grid, fractions allowed; None is the whole grid.
    Row numbers in a tile count from the first row asked for.
    """
    nx, ny = partition.cells
    ex, ey = extent or (Fraction(nx), Fraction(ny))
    found = []
    for y in _windows(ny, partition.overlap, pixels[1], ey, rows or (0, pixels[1])):
        for x in _windows(nx, partition.overlap, pixels[0], ex, (0, pixels[0])):
            cell_YX = torch.tensor(y.cells)[:, None] * nx + torch.tensor(x.cells)
            weight_N = (y.weight_Q[:, None] * x.weight_Q).flatten()
            coords_ND = grid_coords(x.local_Q, y.local_Q)
            found.append(Tile(cell_YX.flatten(), y.pixels_CQ, x.pixels_CQ, coords_ND.float(), weight_N.float()))
    return tuple(found)
