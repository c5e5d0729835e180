"""The one place that knows where pixels and cells lie.

Domain [-1, 1] along each axis of the field; pixel centres at (2 i + 1) / n - 1; for images x runs right, y down, and
points are listed in reading order. A cell has local coordinates that run from -1 to 1 across it as well.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_centres(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(n,) centres of n equal pixels of [-1, 1]."""
    return ((2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1).to(dtype)


def grid_coords(x_W: Tensor, y_H: Tensor) -> Tensor:
    """(W,), (H,) -> (H W, 2): every (x, y), in reading order."""
    y_HW, x_HW = torch.meshgrid(y_H, x_W, indexing="ij")
    return torch.stack([x_HW, y_HW], dim=-1).reshape(-1, 2)


def image_coords(width: int, height: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(H W, 2): the pixel centres of an image."""
    return grid_coords(pixel_centres(width, dtype), pixel_centres(height, dtype))
