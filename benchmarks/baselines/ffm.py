"""FFM: Fourier features let networks learn high frequency functions in low dimensional domains (Tancik et al. 2020).

gamma(x) = (cos 2 pi B x, sin 2 pi B x), B ~ N(0, sigma^2), then a relu network; Adam on every signal alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.baselines.fields import Weights, relu, relu_weights

FEATURES, HIDDEN, LAYERS, SIGMA, RATE = 256, 128, 3, 5.0, 1e-3


def weights(dims: int = 2, channels: int = 3, seed: int = 0) -> Weights:
    """An untrained network behind its features."""
    return relu_weights([FEATURES, *[HIDDEN] * LAYERS, channels], seed)


def features(x_ND: Tensor, sigma: float = SIGMA, seed: int = 7) -> Tensor:
    """gamma(x), (N, FEATURES), for x in [-1, 1]; the frequencies are a part of the network, drawn once."""
    g = torch.Generator().manual_seed(seed)
    phase = math.pi * x_ND @ (sigma * torch.randn(x_ND.shape[-1], FEATURES // 2, generator=g)).to(x_ND)
    return torch.cat([phase.cos(), phase.sin()], -1)


def field(own: Weights, x_ND: Tensor) -> Tensor:
    """The network at points."""
    return relu(own, features(x_ND))
