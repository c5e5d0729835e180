"""Meta: learned initialisations for optimizing coordinate-based neural representations (Tancik et al. 2021).

MAML (Finn et al. 2017) over SIREN: the initial weights from which a few plain gradient steps fit a signal of the class.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.baselines.fields import Weights, adapt, siren, siren_weights

INNER_RATE, INNER_STEPS, OUTER_RATE, TASKS = 1e-2, 2, 1e-4, 2
Task = Callable[[int], Callable[[Weights], Tensor]]


def learn(start: Weights, task: Task, seconds: float, inner_steps: int = INNER_STEPS) -> tuple[Weights, int]:
    """Initial weights after `seconds`, and how many outer steps. task(n) is the loss of the n-th training signal."""
    own = tuple(weight.clone().requires_grad_() for weight in start)
    adam, began, step = torch.optim.Adam(own, lr=OUTER_RATE), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        adam.zero_grad()
        for number in range(TASKS):
            loss = task(step * TASKS + number)
            fitted = adapt(own, loss, INNER_RATE, inner_steps, keep_graph=True)
            (loss(fitted) / TASKS).backward()
        adam.step()
        step += 1
    return tuple(weight.detach() for weight in own), step


def weights(dims: int = 2, channels: int = 3, hidden: int = 128) -> Weights:
    """SIREN's initialisation, where learning begins."""
    return siren_weights([dims, hidden, hidden, hidden, channels])


field = siren
