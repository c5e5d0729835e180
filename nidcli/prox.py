"""Proximal operators: prox_t f (v) = argmin_z  t f(z) + |z - v|^2 / 2, elementwise where not said otherwise.

Parikh & Boyd 2014, Proximal Algorithms, chapter 6. `threshold`, `step` and `width` are not negative; each may be a
number or a tensor that broadcasts.
"""

from __future__ import annotations

import torch
from torch import Tensor


def soft_threshold(v: Tensor, threshold: Tensor | float) -> Tensor:
    """prox of threshold |z|: shrink towards zero, exactly zero within the threshold."""
    return v - clip(v, threshold)


def hard_top_k(v_KS: Tensor, k: int) -> Tensor:
    """Nearest matrix with at most k entries in a column that are not zero: its k largest by magnitude."""
    if k >= v_KS.shape[0]:
        return v_KS
    index = v_KS.abs().topk(k, dim=0, sorted=False).indices
    return torch.zeros_like(v_KS).scatter_(0, index, v_KS.gather(0, index))


def nonnegative(v: Tensor) -> Tensor:
    """Nearest point without negative entries."""
    return v.clamp_min(0)


def l1_distance(v: Tensor, target: Tensor, step: Tensor | float) -> Tensor:
    """prox of step |z - target|: the l1 data term."""
    return target + soft_threshold(v - target, step)


def huber(r: Tensor, width: Tensor | float) -> Tensor:
    """|r| with the corner rounded off: r^2 / (2 width) within the width, |r| - width / 2 outside (Huber 1964)."""
    inside = clip(r, width)
    return inside * (r - inside / 2) / width


def huber_slope(r: Tensor, width: Tensor | float) -> Tensor:
    """Derivative of `huber`, between -1 and 1."""
    return (r / width).clamp(-1, 1)


def huber_distance(v: Tensor, target: Tensor, step: Tensor | float, width: Tensor | float) -> Tensor:
    """prox of step huber(z - target, width)."""
    r = v - target
    return v - step * (r / (width + step)).clamp(-1, 1)


def clip(v: Tensor, bound: Tensor | float) -> Tensor:
    """v cut to [-bound, bound]; bound may be a tensor."""
    bound = torch.as_tensor(bound, dtype=v.dtype, device=v.device)
    return torch.minimum(torch.maximum(v, -bound), bound)
