"""LPIPS v0.1 with AlexNet (Zhang et al. 2018), from weights beside the data; None where they are absent."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

WEIGHTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "lpips" / "alexnet.safetensors"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
CONVS = ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))  # number, stride, padding


class Lpips:
    """The distance of pictures (B, H, W, 3) in 0 ... 1."""

    def __init__(self, path: Path = WEIGHTS) -> None:
        self.tensors = safetensors.torch.load_file(path)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """(B,) distances."""
        total = torch.zeros(len(a))
        for number, (x, y) in enumerate(zip(self._features(a), self._features(b), strict=True)):
            unit = [z / (z.square().sum(1, keepdim=True).sqrt() + 1e-10) for z in (x, y)]
            weight = self.tensors[f"lin{number}.weight"].view(1, -1, 1, 1)
            total = total + ((unit[0] - unit[1]).square() * weight).sum(1).mean((1, 2))
        return total

    def _features(self, images: Tensor) -> list[Tensor]:
        shift, scale = (torch.tensor(value).view(1, 3, 1, 1) for value in (SHIFT, SCALE))
        x = (images.clamp(0, 1).permute(0, 3, 1, 2) * 2 - 1 - shift) / scale
        found = []
        for place, (number, stride, padding) in enumerate(CONVS):
            if place in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            weight, bias = (self.tensors[f"features.{number}.{part}"] for part in ("weight", "bias"))
            x = torch.relu(functional.conv2d(x, weight, bias, stride=stride, padding=padding))
            found.append(x)
        return found


def lpips() -> Lpips | None:
    """The measure, or None without its weights."""
    return Lpips() if WEIGHTS.is_file() else None
