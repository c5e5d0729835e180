"""Coordinate networks as functions of their weights, which meta-learning differentiates through, and how they are fit.

Weights are a tuple (W_1, b_1, W_2, b_2, ...). Letters: N points, D dims, C channels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

Weights = tuple[Tensor, ...]
Field = Callable[[Weights, Tensor], Tensor]
Loss = Callable[[Weights], Tensor]
OMEGA = 30.0


def siren_weights(sizes: list[int], seed: int = 0) -> Weights:
    """SIREN's initialisation (Sitzmann et al. 2020b, section 3.2)."""
    g, found = torch.Generator().manual_seed(seed), []
    for number, (a, b) in enumerate(pairwise(sizes)):
        bound = 1 / a if number == 0 else math.sqrt(6 / a) / OMEGA
        found += [(2 * torch.rand(b, a, generator=g) - 1) * bound, (2 * torch.rand(b, generator=g) - 1) / math.sqrt(a)]
    return tuple(found)


def siren(weights: Weights, x_ND: Tensor) -> Tensor:
    """sin(omega (W x + b)) in every layer but the last."""
    h = x_ND
    for number in range(0, len(weights) - 2, 2):
        h = torch.sin(OMEGA * functional.linear(h, weights[number], weights[number + 1]))
    return functional.linear(h, weights[-2], weights[-1])


def relu_weights(sizes: list[int], seed: int = 0) -> Weights:
    """He et al. 2015."""
    g, found = torch.Generator().manual_seed(seed), []
    for a, b in pairwise(sizes):
        found += [torch.randn(b, a, generator=g) * math.sqrt(2 / a), torch.zeros(b)]
    return tuple(found)


def relu(weights: Weights, x_ND: Tensor) -> Tensor:
    """An ordinary network."""
    h = x_ND
    for number in range(0, len(weights) - 2, 2):
        h = torch.relu(functional.linear(h, weights[number], weights[number + 1]))
    return functional.linear(h, weights[-2], weights[-1])


def parameters(weights: Weights) -> int:
    """How many numbers."""
    return sum(weight.numel() for weight in weights)


def flops(weights: Weights, points: int) -> float:
    """Two a weight of a matrix and point."""
    return 2.0 * points * sum(weight.numel() for weight in weights if weight.ndim == 2)


def descend(weights: Weights, loss: Callable[[Weights, int], Tensor], rate: float, steps: int) -> Iterator[Weights]:
    """Adam; yields the weights after every step."""
    own = tuple(weight.detach().clone().requires_grad_() for weight in weights)
    adam = torch.optim.Adam(own, lr=rate)
    for step in range(steps):
        adam.zero_grad()
        loss(own, step).backward()
        adam.step()
        yield own


def fit(
    weights: Weights, loss: Callable[[Weights, int], Tensor], rate: float, *, steps: int = 1 << 30, seconds: float = 1e9
) -> tuple[Weights, int, float]:
    """Adam until either is spent: the weights, the steps and the seconds taken."""
    start, done, last = time.perf_counter(), 0, weights
    for found in descend(weights, loss, rate, steps):
        last, done = found, done + 1
        if time.perf_counter() - start >= seconds:
            break
    return tuple(weight.detach() for weight in last), done, time.perf_counter() - start


def adapt(
    weights: Weights, loss: Loss, rates: tuple[Tensor, ...] | float, steps: int, *, keep_graph: bool = False
) -> Weights:
    """Plain gradient steps (the inner loop of MAML, Finn et al. 2017), with one rate or one for every weight."""
    for _ in range(steps):
        if not keep_graph or not weights[0].requires_grad:
            weights = tuple(weight.detach().clone().requires_grad_() for weight in weights)
        grads = torch.autograd.grad(loss(weights), weights, create_graph=keep_graph)
        each = rates if isinstance(rates, tuple) else (rates,) * len(weights)
        weights = tuple(w - r * g for w, r, g in zip(weights, each, grads, strict=True))
    return weights if keep_graph else tuple(weight.detach() for weight in weights)
