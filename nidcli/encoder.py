"""The gate that sees the whole: a small U-Net over a partial observation (Ronneberger, Fischer and Brox 2015).

It looks at everything that was measured at once (the posterior mean of a masked photo with its mask, a back-projection,
an enlarged small photo) and says what the whole looks like; the analysis of that by the dictionary is a code for every
cell, the mean of the prior with which the solver makes the answer agree with the data. The first channels of what it
sees are a first estimate, to which it adds what that misses: untrained it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from nidcli.partial import PartialConv, leaving_out


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Size of the encoder. inputs : channels it sees, of which the first `channels` are the first estimate."""

    inputs: int
    channels: int
    width: int = 32  # channels at full resolution, doubled at every halving up to four times as many
    depth: int = 4  # halvings
    blocks: int = 1  # residual blocks at each resolution, down and up
    fold: int = 1  # pixels a side that become channels first: the network works at so much less than full resolution
    sharpen: int = 0  # rounds in which a slice's own edges guide it at last: for classes of flat parts
    augment: bool = False  # learned from pictures that are also turned, shifted and scaled a little, where few exist
    noisy: float = 1 / 3  # share of the batches of slices whose rays are noisy
    relative: bool = False  # learned by the share of the first estimate's error that is left, however small it was
    partial: int = 0  # so many last inputs say what of a pixel is known, and the way down leaves out what is not

    def __post_init__(self) -> None:
        if not 0 <= self.partial < self.inputs - self.channels or (self.partial and not self.depth):
            raise ValueError(f"{self.partial} of {self.inputs} inputs cannot say what is known")


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(min(8, width), width),
            nn.SiLU(),
            PartialConv(width, width, 3, padding=1),
            nn.SiLU(),
            PartialConv(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        inner = x
        for layer in self.body:
            inner, known = leaving_out(layer, inner, known)
        return x + inner, known


class Encoder(nn.Module):
    """(B, inputs, H, W) -> (B, channels, H, W), any H and W."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * min(4, 2**d) for d in range(spec.depth + 1)]
        blocks = lambda width: nn.ModuleList(_Block(width) for _ in range(spec.blocks))  # noqa: E731
        self.stem = PartialConv(spec.inputs * spec.fold**2, widths[0], 3, padding=1)
        # What partial convolutions leave out, the first estimate in holes, comes in again on the way up.
        self.beside = nn.Conv2d(spec.inputs * spec.fold**2, widths[0], 3, padding=1) if spec.partial else None
        self.down = nn.ModuleList(blocks(width) for width in widths)
        self.halve = nn.ModuleList(PartialConv(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.merge = nn.ModuleList(nn.Conv2d(a + b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(blocks(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], spec.channels * spec.fold**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, seen_BIHW: Tensor) -> Tensor:
        height, width = seen_BIHW.shape[2:]
        unit = 2**self.spec.depth * self.spec.fold
        x = nn.functional.pad(seen_BIHW, (0, -width % unit, 0, -height % unit), mode="replicate")
        known = self._known(x)
        seen, skips = nn.functional.pixel_unshuffle(x, self.spec.fold), []
        x, known = leaving_out(self.stem, seen, known)
        for number, blocks in enumerate(self.down):
            for block in _listed(blocks):
                x, known = block(x, known)
            if number < self.spec.depth:
                skips.append(x)
                x, known = leaving_out(self.halve[number], x, known)
        if self.beside is not None:
            skips[0] = skips[0] + self.beside(seen)
        for number in reversed(range(self.spec.depth)):
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = self.merge[number](torch.cat([skips[number], x], 1))
            for block in _listed(self.up[number]):
                x, _ = block(x)
        whole = nn.functional.pixel_shuffle(self.head(x), self.spec.fold)
        correction_BCHW = whole[:, :, :height, :width].to(seen_BIHW.dtype)
        return seen_BIHW[:, : self.spec.channels] + correction_BCHW

    def _known(self, seen_BIHW: Tensor) -> Tensor | None:
        """(B, 1, H / fold, W / fold): 1 where anything is known, or None where that is not asked."""
        if not self.spec.partial:
            return None
        known = (seen_BIHW[:, -self.spec.partial :].amax(1, keepdim=True) > 0).to(seen_BIHW.dtype)
        return nn.functional.max_pool2d(known, self.spec.fold)


def _listed(blocks: nn.Module) -> nn.ModuleList:
    assert isinstance(blocks, nn.ModuleList)
    return blocks


SMALL_ERROR = 1e-5  # mean square of a first estimate's error: less of it is not worth a share


def encoder_loss(guess_BCHW: Tensor, seen_BIHW: Tensor, truth_BCHW: Tensor, *, relative: bool) -> Tensor:
    """Mean squared error where a truth is given, NaN where none is; `relative` to the first estimate's, per image."""
    asked = truth_BCHW.isfinite()
    truth_BCHW = torch.where(asked, truth_BCHW, 0)
    error_BCHW = torch.where(asked, guess_BCHW.float() - truth_BCHW, 0).square()
    if not relative:
        return error_BCHW.sum() / asked.sum().clamp_min(1)
    first_BCHW = torch.where(asked, seen_BIHW[:, : truth_BCHW.shape[1]] - truth_BCHW, 0).square()
    floor_B = SMALL_ERROR * asked.flatten(1).sum(1).clamp_min(1)
    return (error_BCHW.flatten(1).sum(1) / (first_BCHW.flatten(1).sum(1) + floor_B)).mean()
