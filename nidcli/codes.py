"""Sparse codes: the answer of every solver, and what a `.nidc` file holds.

f(x) = sum_k a_k b_k(x) + c, with few a_k different from zero and c the coefficients of the C constant atoms.
Letters: S signals, J slots, K experts, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseCode:
    """Codes of S signals with at most J experts each.

    index_SJ : (S, J) int64, the experts; value_SJ : (S, J) float, their coefficients, zero marks an empty slot;
    constant_SC : (S, C) float, the coefficients of the constant atoms.
    """

    index_SJ: Tensor
    value_SJ: Tensor
    constant_SC: Tensor

    def __len__(self) -> int:
        return len(self.index_SJ)

    def __getitem__(self, rows: slice | Tensor) -> SparseCode:
        return SparseCode(self.index_SJ[rows], self.value_SJ[rows], self.constant_SC[rows])

    def dense(self, experts: int) -> Tensor:
        """The same coefficients as a (K, S) matrix; a repeated expert adds up."""
        code_SK = self.value_SJ.new_zeros(len(self), experts)
        return code_SK.scatter_add_(1, self.index_SJ, self.value_SJ).T

    def count(self) -> Tensor:
        """(S,) int64: occupied slots of each signal."""
        return (self.value_SJ != 0).sum(1)

    def to(self, device: torch.device | str) -> SparseCode:
        return SparseCode(self.index_SJ.to(device), self.value_SJ.to(device), self.constant_SC.to(device))

    @staticmethod
    def top(dense_KS: Tensor, k: int, constant_SC: Tensor) -> SparseCode:
        """Keep the k largest by magnitude of each column of a dense code, signs kept (section 3.3 of the paper)."""
        k = min(k, dense_KS.shape[0])
        index_SJ = dense_KS.T.abs().topk(k, dim=1, sorted=False).indices
        return SparseCode(index_SJ, dense_KS.T.gather(1, index_SJ), constant_SC)

    @staticmethod
    def cat(codes: Sequence[SparseCode]) -> SparseCode:
        """Signals one after another; narrower codes get empty slots."""
        width = max(code.index_SJ.shape[1] for code in codes)
        padded = [torch.nn.functional.pad(c.index_SJ, (0, width - c.index_SJ.shape[1])) for c in codes]
        values = [torch.nn.functional.pad(c.value_SJ, (0, width - c.value_SJ.shape[1])) for c in codes]
        return SparseCode(torch.cat(padded), torch.cat(values), torch.cat([c.constant_SC for c in codes]))


@dataclass(frozen=True)
class LevelCode:
    """One level of an image's code: a signal for each of nx x ny cells, in reading order."""

    cells: tuple[int, int]
    code: SparseCode


@dataclass(frozen=True)
class ImageCode:
    """The code of one image: its size in pixels, and its levels from coarse to fine.

    `pitch` is the side of a finest cell in pixels of the photo; the field's domain [-1, 1]^2 is the whole grid of
    cells, so a photo whose sides are not multiples of the pitch fills its upper left part.
    """

    width: int
    height: int
    pitch: int
    levels: tuple[LevelCode, ...]

    @property
    def coefficients(self) -> int:
        """Numbers that the code consists of, constants included."""
        return sum(int(level.code.count().sum()) + level.code.constant_SC.numel() for level in self.levels)
