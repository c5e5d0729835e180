"""Values carried smoothly into holes: min sum |u_i - u_j|^2 over neighbours, known values as they are.

The minimiser is harmonic: continuous at the border of a hole, and between the values there (Dirichlet's problem on a
grid). Averages of the known values at ever coarser scales give the start, conjugate gradients (Hestenes & Stiefel
1952) the rest. Applied to what a prior leaves over it makes the prior's fill meet its surroundings without a seam.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS, TOLERANCE = 400, 1e-4


def harmonic(values_BHWC: Tensor, known_BHW: Tensor, steps: int = STEPS, tolerance: float = TOLERANCE) -> Tensor:
    """(B, H, W, C): the values where known, a harmonic function elsewhere. tolerance : a share of the start's slope.

    A photo of which nothing is known becomes zero.
    """
    known = known_BHW[:, None].to(values_BHWC)
    values = values_BHWC.permute(0, 3, 1, 2)
    u = torch.where(known > 0, values, pyramid(values * known, known))
    hole = 1 - known
    r = -_laplacian(u) * hole
    p, rr = r, r.square().sum((1, 2, 3), keepdim=True)
    goal = tolerance**2 * _laplacian(u * known).mul_(hole).square().sum((1, 2, 3), keepdim=True)
    for _ in range(steps):
        going = rr > goal
        if not bool(going.any()):
            break
        q = _laplacian(p) * hole
        step = torch.where(going, rr / (p * q).sum((1, 2, 3), keepdim=True).clamp_min(1e-30), 0)
        u, r = torch.addcmul(u, step, p), torch.addcmul(r, step, q, value=-1)
        new = r.square().sum((1, 2, 3), keepdim=True)
        p = torch.addcmul(r, torch.where(going, new / rr.clamp_min(1e-30), 0), p)
        rr = new
    return u.permute(0, 2, 3, 1)


def pyramid(weighted_BCHW: Tensor, weight_B1HW: Tensor) -> Tensor:
    """Averages of known values, taken from the finest scale that has some (push and pull, Gortler et al. 1996)."""
    height, width = weighted_BCHW.shape[2:]
    if max(height, width) == 1:
        return weighted_BCHW / weight_B1HW.clamp_min(1e-12)
    odd = (0, width % 2, 0, height % 2)
    pool = lambda x: nn.functional.avg_pool2d(nn.functional.pad(x, odd), 2)  # noqa: E731
    coarse_weight = pool(weight_B1HW)
    share = (4 * coarse_weight).clamp_max(1) / coarse_weight.clamp_min(1e-12)
    coarse = pyramid(pool(weighted_BCHW) * share, (4 * coarse_weight).clamp_max(1))
    grown = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")[:, :, :height, :width]
    return weighted_BCHW + (1 - weight_B1HW) * grown


def _laplacian(u_BCHW: Tensor) -> Tensor:
    """Sum of the differences with the up to four neighbours: the gradient of half the energy."""
    out = torch.zeros_like(u_BCHW)
    across, down = u_BCHW.diff(dim=3), u_BCHW.diff(dim=2)
    out[..., :-1] -= across
    out[..., 1:] += across
    out[:, :, :-1] -= down
    out[:, :, 1:] += down
    return out
