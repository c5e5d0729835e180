"""Line integrals of a field: p(theta, s) = integral of f(s cos theta - t sin theta, s sin theta + t cos theta) dt.

x runs right and y up, theta counter-clockwise. The integral is a midpoint sum: every ray looks at T points, `step` of the
picture's pixels apart. Two operators share the rays: `Radon` looks at the field at those very points, and so knows of
no pixels; `PixelRadon` looks at the pixel centres and takes what lies between them for bilinear, a sparse matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nidcli.operators.base import Operator

CHUNK_ENTRIES = 1 << 24  # entries of the matrix that are put together at once


class Rays(Protocol):
    """Where rays run, in pixels of a picture of `size` x `size`: columns x from 0 at the left, rows y from 0 on top."""

    @property
    def size(self) -> int: ...
    @property
    def views(self) -> int: ...
    @property
    def bins(self) -> int: ...

    def points(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """x and y (bins, T) float64 in pixels, and the length (bins, T) that each point stands for."""
        ...


@dataclass(frozen=True, eq=False)
class Radon(Operator):
    """The field on the rays themselves. coords_ND : (M T, 2); length_MT : what each point counts."""

    coords_ND: Tensor
    length_MT: Tensor

    @staticmethod
    def of(rays: Rays, dtype: torch.dtype = torch.float32) -> Radon:
        """The operator of rays; views have equally many points a ray. Points outside the picture count nothing."""
        coords, lengths = [], []
        for view in range(rays.views):
            x, y, length = rays.points(view)
            inside = (x >= -0.5) & (x <= rays.size - 0.5) & (y >= -0.5) & (y <= rays.size - 0.5)
            coords.append(torch.stack([(2 * x + 1) / rays.size - 1, (2 * y + 1) / rays.size - 1], -1).reshape(-1, 2))
            lengths.append(length * inside)
        return Radon(torch.cat(coords).clamp(-1, 1).to(dtype), torch.cat(lengths).to(dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.length_MT),)

    def forward(self, samples: Tensor) -> Tensor:
        M, T = self.length_MT.shape
        return torch.einsum("mt...,mt->m...", samples.reshape(M, T, *samples.shape[1:]), self.length_MT.to(samples))

    def adjoint(self, measured: Tensor) -> Tensor:
        spread = torch.einsum("m...,mt->mt...", measured, self.length_MT.to(measured))
        return spread.flatten(0, 1)

    def __getitem__(self, rows: slice) -> Radon:
        T = self.length_MT.shape[1]
        first, last, _ = rows.indices(len(self.length_MT))
        return Radon(self.coords_ND[first * T : last * T], self.length_MT[first:last])


@dataclass(frozen=True, eq=False)
class PixelRadon(Operator):
    """The same sums over a picture that is bilinear between its pixel centres, and zero beyond the outermost ones.

    coords_ND : (size^2, 2) pixel centres, in reading order; matrix_MN and its transpose are compressed sparse rows.
    """

    coords_ND: Tensor
    matrix_MN: Tensor
    transposed_NM: Tensor

    @staticmethod
    def of(rays: Rays, coords_ND: Tensor) -> PixelRadon:
        """The matrix of rays over pixels. coords_ND : the centres of size^2 pixels, on the device to compute on."""
        N, M = rays.size**2, rays.views * rays.bins
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for view in range(rays.views):
            key, value = _entries(rays, view)
            keys.append(key)
            values.append(value)
        key, value = torch.cat(keys), torch.cat(values)
        row, column = key // N, key % N
        forward = _rows(row, column, value, M, N)
        order = torch.argsort(column, stable=True)
        backward = _rows(column[order], row[order], value[order], N, M)
        return PixelRadon(coords_ND, forward.to(coords_ND.device), backward.to(coords_ND.device))

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.matrix_MN.shape[0],)

    def forward(self, samples: Tensor) -> Tensor:
        return _product(self.matrix_MN, samples)

    def adjoint(self, measured: Tensor) -> Tensor:
        return _product(self.transposed_NM, measured)

    def __getitem__(self, rows: slice) -> PixelRadon:
        first, last, _ = rows.indices(self.shape[0])
        start, column, value = (part() for part in _parts(self.matrix_MN))
        low, high = int(start[first]), int(start[last])
        N = self.matrix_MN.shape[1]
        counts = start[first : last + 1].long().diff()
        row = torch.repeat_interleave(torch.arange(last - first, device=column.device), counts)
        column, value = column[low:high].long(), value[low:high]
        order = torch.argsort(column, stable=True)
        backward = _rows(column[order], row[order], value[order], N, last - first)
        return PixelRadon(self.coords_ND, _rows(row, column, value, last - first, N), backward)


def _parts(matrix: Tensor):  # type: ignore[no-untyped-def]
    return matrix.crow_indices, matrix.col_indices, matrix.values


def _entries(rays: Rays, view: int) -> tuple[Tensor, Tensor]:
    """Sorted keys row * N + column and values of one view, float32; what falls on one pixel of a ray is summed."""
    n = rays.size
    x, y, length = rays.points(view)
    row = torch.arange(rays.bins)[:, None] + view * rays.bins
    left, top = x.floor(), y.floor()
    keys, values = [], []
    for dx in (0, 1):
        for dy in (0, 1):
            column, line = left + dx, top + dy
            value = (1 - (x - column).abs()) * (1 - (y - line).abs()) * length
            seen = (column >= 0) & (column < n) & (line >= 0) & (line < n) & (value > 1e-9)
            keys.append((row * (n * n) + line.long() * n + column.long())[seen])
            values.append(value[seen])
    key, order = torch.cat(keys).sort()
    unique, place = torch.unique_consecutive(key, return_inverse=True)
    value = torch.zeros(len(unique), dtype=torch.float64).index_add_(0, place, torch.cat(values)[order])
    return unique, value.float()


def _rows(row: Tensor, column: Tensor, value: Tensor, height: int, width: int) -> Tensor:
    """Compressed sparse rows of entries that are sorted by row."""
    start = torch.zeros(height + 1, dtype=torch.int32, device=row.device)
    start[1:] = torch.bincount(row, minlength=height).cumsum(0).int()
    return torch.sparse_csr_tensor(start, column.int(), value, (height, width), check_invariants=False)


def _product(matrix: Tensor, dense: Tensor) -> Tensor:
    """(R, C) sparse times (C, *), in the type of the dense factor."""
    flat = dense.reshape(len(dense), -1)
    if dense.dtype != matrix.dtype:
        matrix = torch.sparse_csr_tensor(
            matrix.crow_indices(), matrix.col_indices(), matrix.values().to(dense.dtype), matrix.shape
        )
    product: Tensor = matrix @ flat
    return product.reshape(len(product), *dense.shape[1:])
