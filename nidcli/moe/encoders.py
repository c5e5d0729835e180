"""Encoders of gates: from the samples of a cell, some of which may be missing, to a vector (section 3.3 of the paper).

CNN: convolutions and four residual blocks (He et al. 2016) over the cell as a small picture. What is missing is left
out by partial convolutions (partial.py).

Set: a network on every sample and its place, pooled by a mean (DeepSets, Zaheer et al. 2017) or a maximum (PointNet,
Qi et al. 2017): the order of samples does not matter, nor how many there are.

Letters: S cells, N samples of a cell, H x W samples of a window, C channels, D dims, V width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from nidcli.partial import PartialConv, leaving_out

Pool = Literal["flatten", "position", "mean", "max"]
FREQUENCIES = 4  # octaves of the places that a set encoder sees


def convolution(before: int, after: int, kernel: int) -> PartialConv:
    """With padding that keeps the size."""
    return PartialConv(before, after, kernel, padding=kernel // 2)


class ResidualBlock(nn.Module):
    """x + relu(conv(relu(conv(x)))), and a relu."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convolution(width, width, kernel) for _ in range(2))

    def forward(self, x_SVHW: Tensor, known_S1HW: Tensor | None) -> tuple[Tensor, Tensor | None]:
        inner, known = x_SVHW, known_S1HW
        for conv in self.convs:
            inner, known = leaving_out(conv, inner, known)
            inner = torch.relu(inner)
        return torch.relu(inner + x_SVHW), known


class CnnEncoder(nn.Module):
    """(S, C, side, side) and what is known of it -> (S, out).

    `halve` times 2 x 2 samples are averaged: after each of the first two convolutions, and then after a block.
    "flatten" hands on every place, "position" sums places with weights of their own, one set for all maps (as the
    published code does), "mean" with equal ones.
    """

    def __init__(
        self, channels: int, side: int, width: int, stem: int, blocks: int, kernel: int, halve: int, pool: Pool
    ) -> None:
        super().__init__()
        self.halve, self.pool = halve, pool
        self.stem = nn.ModuleList([convolution(channels, stem, 3), convolution(stem, width, 3)])
        self.blocks = nn.ModuleList(ResidualBlock(width, kernel) for _ in range(blocks))
        self.tail = convolution(width, width, 1)
        places = (side >> halve) ** 2
        self.position = nn.Linear(places, 1) if pool == "position" else None
        self.out = width * places if pool == "flatten" else width

    def forward(self, x_SCHW: Tensor, known_S1HW: Tensor | None = None) -> Tensor:
        x, known = x_SCHW, known_S1HW
        for number, conv in enumerate(self.stem):
            x, known = leaving_out(conv, x, known)
            x, known = _halved(torch.relu(x), known, number < self.halve)
        for number, block in enumerate(self.blocks, 2):
            x, known = block(x, known)
            x, known = _halved(x, known, number < self.halve)
        x, _ = leaving_out(self.tail, x, known)
        x_SVP = torch.relu(x).flatten(2)
        if self.position is not None:
            return torch.relu(self.position(x_SVP).squeeze(-1))
        return x_SVP.mean(2) if self.pool == "mean" else x_SVP.flatten(1)


def _halved(x: Tensor, known: Tensor | None, wanted: bool) -> tuple[Tensor, Tensor | None]:
    if not wanted:
        return x, known
    # sums of slices: several times faster than pooling in half precision
    x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    return x, None if known is None else nn.functional.max_pool2d(known, 2)


class SetEncoder(nn.Module):
    """(N, D) or (S, N, D) places, (S, N, C) values and which of them are known (S, N) -> (S, out)."""

    def __init__(self, dims: int, channels: int, width: int, layers: int, pool: Pool) -> None:
        super().__init__()
        self.pool = "max" if pool == "max" else "mean"
        sizes = [dims * (1 + 2 * FREQUENCIES) + channels] + [width] * layers
        self.each = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = width

    def forward(self, coords_ND: Tensor, values_SNC: Tensor, known_SN: Tensor | None = None) -> Tensor:
        waves = [(2**octave * torch.pi * coords_ND) for octave in range(FREQUENCIES)]
        place = torch.cat([coords_ND, *(f(wave) for wave in waves for f in (torch.sin, torch.cos))], -1)
        x = torch.cat([place.expand(len(values_SNC), -1, -1), values_SNC], 2)
        for linear in self.each:
            x = torch.relu(linear(x))
        if known_SN is None:
            return x.amax(1) if self.pool == "max" else x.mean(1)
        if self.pool == "max":  # what relu leaves is never below 0, so an unknown sample cannot win
            return (x * known_SN[:, :, None]).amax(1)
        return (x * known_SN[:, :, None]).sum(1) / known_SN.sum(1, keepdim=True).clamp_min(1)
