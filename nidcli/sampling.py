"""From a collection of images to batches of cells, for learning: the same cells at two resolutions.

Letters: B images, X cells of a batch, N samples of a cell, P fine points of a cell, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nidcli.codes import ImageCode, SparseCode
from nidcli.imaging import Coder, encode, render_all
from nidcli.model import Level, LevelSpec, Model
from nidcli.problem import Design, Problem
from nidcli.solvers import Omp


class Collection(Protocol):
    """A collection of images that is read, not held."""

    def __len__(self) -> int: ...

    def image(self, index: int, side: int) -> Tensor:
        """(side, side, C) float32 in 0 ... 1: the middle square of an image, resized."""
        ...


@dataclass(frozen=True)
class CellSource:
    """Cells of one level, of what the levels before it leave over."""

    collection: Collection
    model: Model
    number: int
    size: int
    fine: int  # samples a side of a cell at the finer resolution, 0 for none
    coder: Coder
    device: str = "cpu"

    @property
    def spec(self) -> LevelSpec:
        return self.model.level(self.number).spec

    @property
    def cells(self) -> int:
        """Cells a side of a training image."""
        return self.spec.cells or -(-self.size // self.spec.pixels)

    def images(self, indices: list[int], pixels: int, flip: bool, codes: list[ImageCode] | None) -> Tensor:
        """(B, H, W, C) at `pixels` samples a cell, coarser levels taken off."""
        side = self.cells * pixels
        images = torch.stack([self.collection.image(i, side) for i in indices]).to(self.device)
        images = images.flip(2) if flip else images
        if codes:
            images = images - render_all(self.model, codes, side, side)
        return images

    def batch(
        self, indices: list[int], cell: int | None = None, flip: bool = False, fine: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Cells of some images, all or only the one at a place: (X, N, C) samples, and the same cells at the finer
        resolution, (X, P, C), P = 0 unless asked for."""
        codes = None
        if self.number:
            whole = torch.stack([self.collection.image(i, self.size) for i in indices]).to(self.device)
            whole = whole.flip(2) if flip else whole
            codes = encode(self.model, whole, self.coder, levels=self.number)
        samples_XNC = self._cut(self.images(indices, self.spec.pixels, flip, codes), self.spec.pixels)
        fine_XPC = samples_XNC[:, :0]
        if fine and self.fine:
            fine_XPC = self._cut(self.images(indices, self.fine, flip, codes), self.fine)
        if cell is not None:
            samples_XNC, fine_XPC = samples_XNC[cell :: self.cells**2], fine_XPC[cell :: self.cells**2]
        return samples_XNC, fine_XPC

    def _cut(self, images_BHWC: Tensor, pixels: int) -> Tensor:
        """Windows of cells as one in the middle sees them, the border of the image repeated where they overlap it."""
        side = self.spec.window(pixels).row_YH.shape[1]
        margin = (side - pixels) // 2
        C = images_BHWC.shape[-1]
        image = images_BHWC.permute(0, 3, 1, 2)
        if margin:
            image = nn.functional.pad(image, (margin,) * 4, mode="replicate")
        windows = image.unfold(2, side, pixels).unfold(3, side, pixels)  # (B, C, Y, X, side, side)
        return windows.permute(0, 2, 3, 4, 5, 1).reshape(-1, side * side, C)


@dataclass(frozen=True)
class CellSpace:
    """What a cell's samples are as a signal: rows weighted by sqrt(w), constants taken off, (N, C) flattened to M."""

    coords_ND: Tensor
    weight_N: Tensor
    fine_PD: Tensor
    channels: int

    @staticmethod
    def of(spec: LevelSpec, fine: int, device: str) -> CellSpace:
        """The window of a cell at the level's own sampling and at a finer one."""
        window = spec.window(spec.pixels)
        fine_PD = spec.window(fine).coords_ND if fine else window.coords_ND[:0]
        weight_N = window.weight_N.to(device)
        return CellSpace(window.coords_ND.to(device), weight_N, fine_PD.to(device), spec.dictionary.channels)

    @property
    def numbers(self) -> int:
        """M."""
        return len(self.weight_N) * self.channels

    def means(self, samples_XNC: Tensor) -> Tensor:
        """(X, 1, C): the constants that fit the samples best."""
        return torch.einsum("xnc,n->xc", samples_XNC, self.weight_N / self.weight_N.sum())[:, None]

    def signals(self, samples_XNC: Tensor) -> Tensor:
        """(X, N, C) -> (X, M)."""
        return ((samples_XNC - self.means(samples_XNC)) * self.weight_N.sqrt()[:, None]).flatten(1)

    def values(self, signals_MK: Tensor) -> Tensor:
        """Columns of signals back to values: (M, K) -> (K, C, N)."""
        values_NCK = signals_MK.view(len(self.weight_N), self.channels, -1) / self.weight_N.sqrt()[:, None, None]
        return values_NCK.permute(2, 1, 0)


def omp_coder(
    level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None
) -> SparseCode:
    """Codes of coarser levels while the next one is learned."""
    return Omp(level.spec.top_k).solve(Problem(design, target_MS)).code
