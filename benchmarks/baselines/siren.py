"""SIREN: implicit neural representations with periodic activation functions (Sitzmann et al. 2020b).

Adam on every signal alone. Surfaces: their loss for signed distances, with the eikonal term and normals (section 4.2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.baselines.fields import Weights, siren, siren_weights

HIDDEN, LAYERS, RATE = 128, 3, 1e-4
SURFACE_HIDDEN = 128


def weights(dims: int = 2, channels: int = 3, seed: int = 0, hidden: int = HIDDEN) -> Weights:
    """An untrained network."""
    return siren_weights([dims, *[hidden] * LAYERS, channels], seed)


field = siren


def with_gradient(own: Weights, x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """f (N,) and its gradient (N, D), which can be differentiated again."""
    x = x_ND.clone().requires_grad_()
    f_N = siren(own, x)[:, 0]
    return f_N, torch.autograd.grad(f_N.sum(), x, create_graph=True)[0]


def surface_loss(own: Weights, on_N3: Tensor, normal_N3: Tensor, off_N3: Tensor) -> Tensor:
    """3000 |f| + 100 (1 - cos) on the surface, 100 exp(-100 |f|) off it, 50 ||grad f| - 1| everywhere (eq. 6)."""
    f_on, grad_on = with_gradient(own, on_N3)
    f_off, grad_off = with_gradient(own, off_N3)
    cosine = torch.nn.functional.cosine_similarity(grad_on, normal_N3, dim=1)
    eikonal = (torch.cat([grad_on, grad_off]).norm(dim=1) - 1).abs().mean()
    return (
        3e3 * f_on.abs().mean() + 1e2 * (1 - cosine).mean() + 1e2 * torch.exp(-100 * f_off.abs()).mean() + 50 * eikonal
    )
