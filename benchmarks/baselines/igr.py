"""IGR: implicit geometric regularization for learning shapes (Gropp et al. 2020).

A softplus network that begins as a sphere (Atzmon and Lipman 2020), |f| + |grad f - n| on the cloud and
(|grad f| - 1)^2 around it and in space.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HIDDEN, LAYERS, RATE, BETA, SKIP = 128, 6, 5e-4, 100.0, 3
NORMALS, EIKONAL = 1.0, 0.1


class Igr(nn.Module):
    """x -> f(x), with a connection from the input to the middle."""

    def __init__(self, radius: float = 0.5) -> None:
        super().__init__()
        sizes = [3] + [HIDDEN] * LAYERS + [1]
        self.maps = nn.ModuleList()
        for number in range(len(sizes) - 1):
            out = sizes[number + 1] - 3 if number + 1 == SKIP else sizes[number + 1]
            linear = nn.Linear(sizes[number], out)
            if number == len(sizes) - 2:
                nn.init.normal_(linear.weight, math.sqrt(math.pi / sizes[number]), 1e-5)
                nn.init.constant_(linear.bias, -radius)
            else:
                nn.init.normal_(linear.weight, 0, math.sqrt(2 / out))
                nn.init.zeros_(linear.bias)
            self.maps.append(linear)

    def forward(self, x_N3: Tensor) -> Tensor:
        h = x_N3
        for number, linear in enumerate(self.maps):
            if number == SKIP:
                h = torch.cat([h, x_N3], 1) / math.sqrt(2)
            h = linear(h)
            if number < len(self.maps) - 1:
                h = nn.functional.softplus(h, BETA)
        return h[:, 0]


def loss(model: Igr, on_N3: Tensor, normal_N3: Tensor, off_N3: Tensor) -> Tensor:
    """Their equation 1, with normals."""
    on, off = on_N3.clone().requires_grad_(), off_N3.clone().requires_grad_()
    f_on, f_off = model(on), model(off)
    grad_on = torch.autograd.grad(f_on.sum(), on, create_graph=True)[0]
    grad_off = torch.autograd.grad(f_off.sum(), off, create_graph=True)[0]
    eikonal = (grad_off.norm(dim=1) - 1).square().mean()
    return f_on.abs().mean() + NORMALS * (grad_on - normal_N3).norm(dim=1).mean() + EIKONAL * eikonal
