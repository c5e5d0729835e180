"""MetaSDF: meta-learning signed distance functions (Sitzmann et al. 2020a).

MAML on a relu network of signed distances, with a learned rate for every weight (Meta-SGD, Li et al. 2017); an unseen
shape is fit by the same few steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.baselines.fields import Loss, Weights, adapt, relu, relu_weights

HIDDEN, LAYERS, STEPS, RATE, OUTER = 128, 5, 5, 5e-3, 1e-4
Samples = Callable[[int], tuple[Tensor, Tensor]]


def loss_of(x_N3: Tensor, d_N: Tensor) -> Loss:
    """l1 on signed distances."""
    return lambda weights: (relu(weights, x_N3)[:, 0] - d_N).abs().mean()


def learn(shapes: int, samples: Samples, seconds: float) -> tuple[Weights, tuple[Tensor, ...], int]:
    """Initial weights, their rates, and the outer steps taken."""
    own = tuple(w.requires_grad_() for w in relu_weights([3, *[HIDDEN] * LAYERS, 1]))
    rates = tuple(torch.full_like(w, RATE).requires_grad_() for w in own)
    adam, began, step = torch.optim.Adam([*own, *rates], lr=OUTER), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        adam.zero_grad()
        x_N3, d_N = samples(step % shapes)
        half = len(x_N3) // 2
        fitted = adapt(own, loss_of(x_N3[:half], d_N[:half]), rates, STEPS, keep_graph=True)
        loss_of(x_N3[half:], d_N[half:])(fitted).backward()
        torch.nn.utils.clip_grad_norm_([*own, *rates], 1.0)
        adam.step()
        step += 1
    return tuple(w.detach() for w in own), tuple(r.detach() for r in rates), step


def infer(own: Weights, rates: tuple[Tensor, ...], x_N3: Tensor, d_N: Tensor, steps: int = STEPS) -> Weights:
    """The weights of an unseen shape."""
    start = tuple(w.clone() for w in own)
    return adapt(start, loss_of(x_N3, d_N), rates, steps)


field = relu
