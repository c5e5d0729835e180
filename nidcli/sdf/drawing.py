"""Many codes of a bank on a lattice of a cell, whose points are all combinations of coordinates along the axes.

On Fourier features a field is a short sum over frequencies along each axis in turn, f = sum over k of
Re (a_k - i b_k) e^(i kx x) e^(i ky y) e^(i kz z): three small products instead of one over all experts.

Letters: S codes, K experts, E width of the embedding, X, Y, Z lattice points along the axes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nidcli.dictionary import Dictionary

PLACES = 1 << 14  # of a lattice that a network is asked for at a time


def drawn(bank: Dictionary, code_SK: Tensor, x_X: Tensor, y_Y: Tensor, z_Z: Tensor) -> Tensor:
    """(S, X, Y, Z) values of one-channel codes in three dimensions."""
    spec = bank.spec
    if not (spec.embedding == "fourier" and spec.layers == 1 and spec.heads == "linear" and spec.frequencies % 2 == 0):
        places_N3 = torch.cartesian_prod(x_X, y_Y, z_Z).to(code_SK)
        values = torch.cat([bank.field(part, code_SK.T)[:, 0] for part in places_N3.split(PLACES)])
        return values.T.reshape(len(code_SK), len(x_X), len(y_Y), len(z_Z))
    weight_ES = bank.derivatives(bank.head_KCF[:, 0].T @ code_SK.T)[:, : len(code_SK)]
    cos_ES, sin_ES = weight_ES[:-1].chunk(2)
    wave = (bank.trunk.wave_DE * (spec.period / (2 * math.pi))).round().long()
    most = int(wave.abs().max())
    first = wave[0]  # of the first component only one sign occurs
    assert int(first.min()) >= 0
    grid = torch.zeros(len(code_SK), most + 1, 2 * most + 1, 2 * most + 1, dtype=torch.complex64, device=code_SK.device)
    grid[:, first, wave[1] + most, wave[2] + most] = torch.complex(cos_ES, -sin_ES).T
    along = [
        _waves(axis.to(code_SK), torch.arange(low, most + 1), spec.period)
        for axis, low in ((x_X, 0), (y_Y, -most), (z_Z, -most))
    ]
    part = torch.einsum("sabc,cz->sabz", grid, along[2])
    part = torch.einsum("sabz,by->sayz", part, along[1])
    flat = part.flatten(2)  # the last product is real: Re (p q) = Re p Re q - Im p Im q
    both = torch.cat([flat.real, flat.imag], 1)
    last = torch.cat([along[0].real, -along[0].imag]).T
    values = torch.matmul(last, both).view(len(code_SK), len(x_X), len(y_Y), len(z_Z))
    return values + weight_ES[-1].view(-1, 1, 1, 1)


def _waves(place_X: Tensor, frequency_W: Tensor, period: float) -> Tensor:
    """(W, X) e^(i k x)."""
    phase = frequency_W.to(place_X)[:, None] * (2 * math.pi / period) * place_X
    return torch.polar(torch.ones_like(phase), phase)
