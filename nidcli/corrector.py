"""What the cells of a solid miss, on a lattice: a small U-Net in three dimensions (Cicek et al. 2016).

Gaussian codes of cells round creases off, blow up solids behind them and tell nothing of what lies further away than a
cell sees. The net looks at the field that they made and at the points it was made of, and says what to add. `fold`
lattice points a side become channels first (Shi et al. 2016), so that it works at so much less than full resolution;
channels are normalised point by point (Ba et al. 2016), so that a part of a field is answered as the whole is.
Untrained it adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

POINT_CHANNELS = 5  # per folded lattice point: how many points, the sum of their normals, and their spacing


@dataclass(frozen=True, kw_only=True)
class CorrectorSpec:
    """Size of the net: channels at folded resolution, doubled at every halving up to four times as many."""

    width: int = 16
    depth: int = 2  # halvings
    blocks: int = 1  # residual blocks at each resolution, down and up
    fold: int = 2

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 0 or self.blocks < 1 or self.fold < 1:
            raise ValueError(f"a corrector needs a width, blocks and fold of 1 or more, not {self}")

    @property
    def unit(self) -> int:
        """Sides of what the net sees are multiples of this, in folded lattice points."""
        return 1 << self.depth


class _Norm(nn.LayerNorm):
    def forward(self, x_BCXYZ: Tensor) -> Tensor:
        return super().forward(x_BCXYZ.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Norm(width), nn.Conv3d(width, width, 3, padding=1), nn.SiLU(), nn.Conv3d(width, width, 3, padding=1)
        )
        for parameter in self.body[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Corrector(nn.Module):
    """(B, 2 fold^3 + POINT_CHANNELS, X, Y, Z) -> (B, fold^3, X, Y, Z), sides multiples of `spec.unit`."""

    def __init__(self, spec: CorrectorSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * min(4, 2**d) for d in range(spec.depth + 1)]
        blocks = lambda width: nn.Sequential(*(_Block(width) for _ in range(spec.blocks)))  # noqa: E731
        self.stem = nn.Conv3d(2 * spec.fold**3 + POINT_CHANNELS, widths[0], 3, padding=1)
        self.down = nn.ModuleList(blocks(width) for width in widths)
        self.halve = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.merge = nn.ModuleList(nn.Conv3d(a + b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(blocks(width) for width in widths[:-1])
        self.head = nn.Sequential(_Norm(widths[0]), nn.SiLU(), nn.Conv3d(widths[0], spec.fold**3, 3, padding=1))
        for parameter in self.head[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, seen_BIXYZ: Tensor) -> Tensor:
        x, skips = self.stem(seen_BIXYZ), []
        for number, block in enumerate(self.down):
            x = block(x)
            if number < self.spec.depth:
                skips.append(x)
                x = self.halve[number](x)
        for number in reversed(range(self.spec.depth)):
            x = self.up[number](_merged(self.merge[number], skips[number], x))
        answer: Tensor = self.head(x)
        return answer


def _merged(conv: nn.Module, fine: Tensor, coarse: Tensor) -> Tensor:
    """The convolution of both side by side, each at its own resolution."""
    assert isinstance(conv, nn.Conv3d)
    own, other = conv.weight.split([fine.shape[1], coarse.shape[1]], 1)
    return nn.functional.conv3d(fine, own, conv.bias) + _doubled(nn.functional.conv3d(coarse, other))


def _doubled(x_BCXYZ: Tensor) -> Tensor:
    """Every value eight times. (Interpolation has no repeatable gradient on CUDA.)"""
    B, C, X, Y, Z = x_BCXYZ.shape
    return x_BCXYZ.view(B, C, X, 1, Y, 1, Z, 1).expand(B, C, X, 2, Y, 2, Z, 2).reshape(B, C, 2 * X, 2 * Y, 2 * Z)


def folded(lattice_BXYZ: Tensor, fold: int) -> Tensor:
    """(B, fold^3, X, Y, Z) of (B, fold X, fold Y, fold Z)."""
    B, X, Y, Z = lattice_BXYZ.shape
    parts = lattice_BXYZ.reshape(B, X // fold, fold, Y // fold, fold, Z // fold, fold)
    return parts.permute(0, 2, 4, 6, 1, 3, 5).flatten(1, 3)


def unfolded(parts_BPXYZ: Tensor, fold: int) -> Tensor:
    """The inverse of `folded`."""
    B, _, X, Y, Z = parts_BPXYZ.shape
    parts = parts_BPXYZ.view(B, fold, fold, fold, X, Y, Z).permute(0, 4, 1, 5, 2, 6, 3)
    return parts.reshape(B, fold * X, fold * Y, fold * Z)
