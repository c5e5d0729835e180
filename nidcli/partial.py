"""Partial convolutions (Liu et al. 2018): with M the mask, W the weights and 1 the window inside the picture,

    (W * (M x)) (1 * 1) / (1 * M) + b   where any sample of the window is known, 0 elsewhere;     M' = [1 * M > 0]

which is an ordinary convolution with zero padding where nothing is missing.

Letters: S pictures, V channels, H x W samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PartialConv(nn.Conv2d):
    """A convolution with zero padding that leaves missing samples out."""

    def masked(self, x_SVHW: Tensor, known_S1HW: Tensor) -> tuple[Tensor, Tensor]:
        """What it answers, and where that rests on at least one known sample."""
        ones = self.weight.new_ones(1, 1, *self.kernel_size)
        count = nn.functional.conv2d(known_S1HW, ones, stride=self.stride, padding=self.padding)
        everything = torch.ones_like(known_S1HW[:1])
        window = nn.functional.conv2d(everything, ones, stride=self.stride, padding=self.padding)
        seen = (count > 0).to(x_SVHW.dtype)
        raw = nn.functional.conv2d(x_SVHW * known_S1HW, self.weight, stride=self.stride, padding=self.padding)
        answer = raw * (window / count.clamp_min(1))
        if self.bias is not None:
            answer = answer + self.bias.view(1, -1, 1, 1)
        return answer * seen, seen


def leaving_out(layer: nn.Module, x_SVHW: Tensor, known_S1HW: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A layer of a network: a partial convolution leaves out what is missing, where anything is."""
    if known_S1HW is None or not isinstance(layer, PartialConv):
        return layer(x_SVHW), known_S1HW
    return layer.masked(x_SVHW, known_S1HW.to(x_SVHW.dtype))
