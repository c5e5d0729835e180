"""Line integrals of a field: p(theta, s) = integral of f(s cos theta - t sin theta, s sin theta + t cos theta) dt.

x runs right and y up, theta counter-clockwise. The integral is a midpoint sum: every ray looks at T points, about a
pixel of the picture apart. Two operators share the rays: `Radon` looks at the field at those very points, and so knows
of no pixels; `PixelRadon` looks at the pixel centres and takes what lies between them for bilinear, a sparse matrix.
"""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from nidcli.operators.base import Operator

TINY = 1e-6  # shares of a point that are left out


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
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            matrix = sparse.vstack(list(pool.map(lambda view: _view(rays, view), range(rays.views))), format="csr")
        return PixelRadon._of(matrix, coords_ND)

    @staticmethod
    def _of(matrix: sparse.csr_matrix, coords_ND: Tensor) -> PixelRadon:
        device = coords_ND.device
        return PixelRadon(coords_ND, _rows(matrix).to(device), _rows(matrix.T.tocsr()).to(device))

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.matrix_MN.shape[0],)

    def forward(self, samples: Tensor) -> Tensor:
        return _product(self.matrix_MN, samples)

    def adjoint(self, measured: Tensor) -> Tensor:
        return _product(self.transposed_NM, measured)

    def __getitem__(self, rows: slice) -> PixelRadon:
        return self.rows(rows)

    def rows(self, which: slice | np.ndarray) -> PixelRadon:
        """Some of the rays: a slice of them, or their numbers."""
        crow, column, value = (part.cpu().numpy() for part in _parts(self.matrix_MN))
        matrix = sparse.csr_matrix((value, column, crow), shape=tuple(self.matrix_MN.shape))
        return PixelRadon._of(matrix[which], self.coords_ND)


def _parts(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return matrix.crow_indices(), matrix.col_indices(), matrix.values()


def _view(rays: Rays, view: int) -> sparse.csr_matrix:
    """The rows of one view, float32; what falls on one pixel of a ray is summed."""
    n = rays.size
    x, y, length = rays.points(view)
    left, top = x.floor().int(), y.floor().int()
    right, low = (x - left).float(), (y - top).float()
    row = torch.arange(rays.bins, dtype=torch.int32)[:, None].expand(left.shape)
    entries = []
    for dx, across in ((0, 1 - right), (1, right)):
        for dy, along in ((0, 1 - low), (1, low)):
            column, line, value = left + dx, top + dy, across * along * length
            seen = (column >= 0) & (column < n) & (line >= 0) & (line < n) & (value > TINY)
            entries.append((value[seen], row[seen], (line * n + column)[seen]))
    values, lines, columns = (torch.cat(parts).numpy() for parts in zip(*entries, strict=True))
    matrix = sparse.coo_matrix((values.astype(np.float32), (lines, columns)), shape=(rays.bins, n * n)).tocsr()
    matrix.sum_duplicates()
    return matrix


def _rows(matrix: sparse.csr_matrix) -> Tensor:
    """A scipy matrix as one of torch."""
    start, column = (torch.from_numpy(part.astype(np.int32)) for part in (matrix.indptr, matrix.indices))
    value = torch.from_numpy(matrix.data.astype(np.float32))
    return _compressed(start, column, value, torch.Size(matrix.shape))


def _compressed(start: Tensor, column: Tensor, value: Tensor, shape: torch.Size) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")  # torch calls them beta, which is nothing to tell users
        return torch.sparse_csr_tensor(start, column, value, shape, check_invariants=False)


def _product(matrix: Tensor, dense: Tensor) -> Tensor:
    """(R, C) sparse times (C, *), in the type of the dense factor."""
    flat = dense.reshape(len(dense), -1)
    if dense.dtype != matrix.dtype:
        crow, column, value = _parts(matrix)
        matrix = _compressed(crow, column, value.to(dense.dtype), matrix.shape)
    product: Tensor = matrix @ flat
    return product.reshape(len(product), *dense.shape[1:])
