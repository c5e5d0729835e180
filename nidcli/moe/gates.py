"""Gates that are trained together with their experts, and what makes a code of their answers (section 3.3).

    h       = gate(observation)                 K scores, signed, and C constants (the paper's bias)
    TopK(h) = h where |h| is among the k largest, 0 elsewhere                       eq. 5, by magnitude
    alpha   = TopK(h) / |TopK(h)|_2             no softmax; published code leaves the norm as it is (`normalise: false`)

A gate looks at the samples of a cell at the sampling where it was trained, weighted as the solver weights them. The
convolutions are shared by all blocks of a patch-wise dictionary; each block has an output layer of its own.

Letters: S cells, N samples, C channels, K experts, T training signals, V width, Q = K + C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nidcli.codes import SparseCode
from nidcli.errors import UsageError
from nidcli.moe.encoders import CnnEncoder, Pool, SetEncoder

TINY = 1e-8  # of a norm


@dataclass(frozen=True, kw_only=True)
class MoeGateSpec:
    """Size of a gate that is stored with its dictionary."""

    kind: Literal["cnn", "set"] = "cnn"
    width: int = 64
    stem: int = 32  # maps of the first convolution
    blocks: int = 4  # residual blocks; layers of a set encoder
    kernel: int = 3  # of residual blocks
    halve: int = 2  # times that 2 x 2 samples are averaged: after each of two first convolutions, then after blocks
    pool: Pool = "flatten"  # flatten, position or mean for a CNN; mean (DeepSets) or max (PointNet) for a set
    centred: bool = True  # batch normalisation before the output layer: else every cell calls the same experts at first
    normalise: bool = True  # codes are divided by their l2 norm
    scale: float = 1.0  # of scores: about 1 / sqrt(experts) keeps codes that are not normalised at a norm of 1

    def __post_init__(self) -> None:
        for name in ("width", "stem", "blocks", "kernel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.halve <= self.blocks:
            raise ValueError(f"halve must lie between 0 and the number of blocks, not {self.halve}")
        fits = ("mean", "max") if self.kind == "set" else ("flatten", "position", "mean")
        if self.pool not in fits:
            raise ValueError(f"a {self.kind} gate pools by {' or '.join(fits)}, not {self.pool}")


def largest(score_SK: Tensor, k: int) -> Tensor:
    """TopK by magnitude, signs kept, as a dense code (S, K); gradients reach what is kept."""
    index_SJ = score_SK.detach().abs().topk(min(k, score_SK.shape[1]), 1, sorted=False).indices
    return torch.zeros_like(score_SK).scatter(1, index_SJ, score_SK.gather(1, index_SJ))


def normalised(code_SK: Tensor) -> Tensor:
    """Codes divided by their l2 norm."""
    return code_SK / code_SK.norm(dim=1, keepdim=True).clamp_min(TINY)


class MoeGate(nn.Module):
    """Samples of cells -> scores and constants."""

    def __init__(
        self, spec: MoeGateSpec, experts: int, channels: int, pixels: int, side: int, banks: int, dims: int = 2
    ) -> None:
        super().__init__()
        if spec.kind == "cnn" and dims != 2:
            raise UsageError("A CNN gate looks at pictures; give --gate set or lookup for signals in space.")
        self.spec, self.experts, self.channels = spec, experts, channels
        self.pixels, self.side = pixels, side
        self.encoder: CnnEncoder | SetEncoder
        if spec.kind == "cnn":
            sizes = (spec.width, spec.stem, spec.blocks, spec.kernel, spec.halve, spec.pool)
            self.encoder = CnnEncoder(channels, side, *sizes)
        else:
            self.encoder = SetEncoder(dims, channels, spec.width, spec.blocks, spec.pool)
        self.norm = nn.BatchNorm1d(self.encoder.out, affine=False) if spec.centred else None
        self.heads = nn.ModuleList(nn.Linear(self.encoder.out, experts + channels) for _ in range(banks))

    def forward(
        self, values_SNC: Tensor, coords_ND: Tensor, known_SN: Tensor | None = None, bank: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """(S, K) scores and (S, C) constants. bank : the block that all cells are of; None is one after another."""
        if isinstance(self.encoder, SetEncoder):
            hidden_SV = self.encoder(coords_ND, values_SNC, known_SN)
        else:
            hidden_SV = self.encoder(*self._picture(values_SNC, coords_ND, known_SN))
        if self.norm is not None:
            hidden_SV = self.norm(hidden_SV.float())
        if bank is not None or len(self.heads) == 1:
            raw_SQ = self.heads[bank or 0](hidden_SV)
        else:
            banks = len(self.heads)
            each = [head(hidden_SV[number::banks]) for number, head in enumerate(self.heads)]
            raw_SQ = torch.stack(each, 1).flatten(0, 1)
        return raw_SQ[:, : self.experts] * self.spec.scale, raw_SQ[:, self.experts :]

    def _picture(self, values_SNC: Tensor, coords_ND: Tensor, known_SN: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Samples at their places in the window, and a mask unless everything is there."""
        S, N, C = values_SNC.shape
        if self.side**2 == N:
            whole = values_SNC.transpose(1, 2).reshape(S, C, self.side, self.side)
            mask = None if known_SN is None else known_SN.to(whole.dtype).view(S, 1, self.side, self.side)
            return whole.contiguous(), mask
        place_N = self._places(coords_ND)
        canvas = values_SNC.new_zeros(S, C, self.side**2).index_copy(2, place_N, values_SNC.transpose(1, 2))
        known = values_SNC.new_ones(S, N) if known_SN is None else known_SN.to(values_SNC.dtype)
        mask = values_SNC.new_zeros(S, 1, self.side**2).index_copy(2, place_N, known[:, None])
        return canvas.view(S, C, self.side, self.side), mask.view(S, 1, self.side, self.side)

    def _places(self, coords_ND: Tensor) -> Tensor:
        """(N,) of samples in the window, in reading order. Raises UsageError for another sampling."""
        margin = (self.side - self.pixels) // 2
        exact = ((coords_ND + 1) * self.pixels - 1) / 2 + margin
        index = exact.round().long()
        if bool(((exact - index).abs() > 1e-3).any()) or not 0 <= int(index.min()) <= int(index.max()) < self.side:
            size = f"{self.pixels} x {self.pixels}"
            raise UsageError(f"The gate looks at cells of {size} pixels and not at others; give --solver omp.")
        return index[:, 1] * self.side + index[:, 0]

    def code(self, score_SK: Tensor, k: int | None) -> Tensor:
        """Dense codes (S, K) of scores; without k nothing is dropped, as in the warm-up."""
        code_SK = score_SK if k is None else largest(score_SK, k)
        return normalised(code_SK) if self.spec.normalise else code_SK

    @torch.no_grad()
    def answer(self, values_SNC: Tensor, coords_ND: Tensor, k: int, bank: int = 0) -> SparseCode:
        """Codes of cells at once, with the gate's own constants."""
        score_SK, constant_SC = self(values_SNC.float(), coords_ND, bank=bank)
        code_SK = self.code(score_SK, k)
        index_SJ = code_SK.abs().topk(min(k, self.experts), 1, sorted=False).indices
        return SparseCode(index_SJ, code_SK.gather(1, index_SJ), constant_SC)


class LookupGate(nn.Module):
    """One trainable embedding a training signal (Bojanowski et al. 2017); unseen signals are solved for."""

    def __init__(self, signals: int, experts: int, channels: int, normalise: bool = True) -> None:
        super().__init__()
        self.experts, self.normalise = experts, normalise
        self.table = nn.Embedding(signals, experts + channels)
        nn.init.normal_(self.table.weight[:, :experts], std=experts**-0.5)
        nn.init.zeros_(self.table.weight[:, experts:])

    def forward(self, signal_S: Tensor) -> tuple[Tensor, Tensor]:
        """(S, K) scores and (S, C) constants of signals by number."""
        raw_SQ = self.table(signal_S)
        return raw_SQ[:, : self.experts], raw_SQ[:, self.experts :]

    def code(self, score_SK: Tensor, k: int | None) -> Tensor:
        """Dense codes of scores, as `MoeGate.code`."""
        code_SK = score_SK if k is None else largest(score_SK, k)
        return normalised(code_SK) if self.normalise else code_SK
