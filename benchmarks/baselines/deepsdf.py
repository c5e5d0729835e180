"""DeepSDF: learning continuous signed distance functions for shape representation (Park et al. 2019).

An auto-decoder: one network f(z, x) for a class, a code z for every shape, both learned by Adam on clamped distances;
of an unseen shape the code alone is fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

CODE, HIDDEN, LAYERS, CLAMP, PRIOR = 128, 256, 6, 0.1, 1e-4
Samples = Callable[[int], tuple[Tensor, Tensor]]


class DeepSdf(nn.Module):
    """(z, x) -> f, with the input again in the middle."""

    def __init__(self) -> None:
        super().__init__()
        width = CODE + 3
        self.before = nn.ModuleList(
            nn.Linear(width if i == 0 else HIDDEN, HIDDEN if i < LAYERS // 2 - 1 else HIDDEN - width)
            for i in range(LAYERS // 2)
        )
        self.after = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(LAYERS // 2))
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, code_Z: Tensor, x_N3: Tensor) -> Tensor:
        given = torch.cat([code_Z.expand(len(x_N3), -1), x_N3], 1)
        h = given
        for linear in self.before:
            h = torch.relu(linear(h))
        h = torch.cat([h, given], 1)
        for linear in self.after:
            h = torch.relu(linear(h))
        return torch.tanh(self.head(h))[:, 0]


def misfit(model: DeepSdf, code_Z: Tensor, x_N3: Tensor, d_N: Tensor) -> Tensor:
    """Clamped l1 (their eq. 4) and the prior of the code (eq. 9)."""
    clamped = (model(code_Z, x_N3).clamp(-CLAMP, CLAMP) - d_N.clamp(-CLAMP, CLAMP)).abs().mean()
    return clamped + PRIOR * code_Z.square().sum()


def learn(shapes: int, samples: Samples, seconds: float) -> tuple[DeepSdf, int]:
    """The decoder after `seconds`, and its steps. samples(n) are points of the n-th shape and their distances."""
    torch.manual_seed(0)
    model, codes = DeepSdf(), nn.Embedding(shapes, CODE)
    nn.init.normal_(codes.weight, std=0.01)
    adam = torch.optim.Adam([{"params": model.parameters(), "lr": 5e-4}, {"params": codes.parameters(), "lr": 1e-3}])
    began, step = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        adam.zero_grad()
        for number in range(4):
            shape = (step * 4 + number) % shapes
            (misfit(model, codes.weight[shape], *samples(shape)) / 4).backward()
        adam.step()
        step += 1
    return model, step


def infer(model: DeepSdf, samples: Callable[[], tuple[Tensor, Tensor]], seconds: float, steps: int = 800) -> Tensor:
    """The code of an unseen shape."""
    code_Z = torch.zeros(CODE).requires_grad_()
    adam, began = torch.optim.Adam([code_Z], lr=5e-3), time.perf_counter()
    for _ in range(steps):
        adam.zero_grad()
        misfit(model, code_Z, *samples()).backward()
        adam.step()
        if time.perf_counter() - began >= seconds:
            break
    return code_Z.detach()
