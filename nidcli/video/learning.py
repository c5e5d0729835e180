"""The empty scene from frames with people in it: densest values over time, with the change of light taken out.

At a pixel the values of the background lie close together and those of passers-by do not. The shortest interval that
holds a share of the values (the shorth of Andrews et al. 1972, for share 1/2) gives both centre and spread; a share
below a half finds the background also where something stands in front of it most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.model import Model
from nidcli.video.scene import Scene, codes, render_rows, scene_model

SHARE = 0.4  # of the frames that a pixel's background must show at least
INLIER, LEAST = 2.5, 1e-4  # standard deviations, and what rounding adds
GUESS = 20  # samples of the first guess
BAND = 1 << 22  # numbers that are sorted at once


def learn(samples_THWC: Tensor, picture_HWC: Tensor | None = None) -> Scene:
    """The scene of sampled frames, uint8 (T, H, W, C). picture : a first guess, without one the median of some."""
    if picture_HWC is None:
        few_THWC = samples_THWC[:: max(1, len(samples_THWC) // GUESS)]
        picture_HWC = over_rows(few_THWC, lambda rows, values: (median(values),))[0]
    model = scene_model(picture_HWC)
    centre_HWC, spread_HWC = around(model, samples_THWC)
    return Scene(scene_model((picture_HWC + centre_HWC).clamp(0, 1)), spread_HWC)


def around(model: Model, samples_THWC: Tensor) -> tuple[Tensor, Tensor]:
    """(H, W, C) centre and spread of what the frames have beyond the background of a model."""
    _, height, width, _ = samples_THWC.shape
    code: SparseCode = codes(model, samples_THWC)

    def residual(rows: tuple[int, int], values_TYXC: Tensor) -> tuple[Tensor, ...]:
        return shorth(values_TYXC - render_rows(model, code, width, height, rows))

    centre_HWC, spread_HWC = over_rows(samples_THWC, residual)
    return centre_HWC, spread_HWC


def over_rows(
    samples_THWC: Tensor, function: Callable[[tuple[int, int], Tensor], tuple[Tensor, ...]]
) -> tuple[Tensor, ...]:
    """A function of bands of rows, given (first, last + 1) and the values as floats; its results put together."""
    parts = [function(rows, samples_THWC[:, rows[0] : rows[1]].float() / 255) for rows in _bands(samples_THWC)]
    return tuple(torch.cat(found) for found in zip(*parts, strict=True))


def _bands(samples_THWC: Tensor) -> Iterator[tuple[int, int]]:
    T, H, W, C = samples_THWC.shape
    step = max(1, BAND // (T * W * C))
    for low in range(0, H, step):
        yield low, min(low + step, H)


def median(values: Tensor) -> Tensor:
    """Over the first axis; of an even number the mean of the middle two."""
    ordered, T = ascending(values), len(values)
    return (ordered[..., (T - 1) // 2] + ordered[..., T // 2]) / 2


def shorth(values: Tensor, share: float = SHARE) -> tuple[Tensor, Tensor]:
    """Centre and standard deviation, over the first axis, from the shortest interval that holds a share of the values.

    The deviation is that of a Gaussian with the share in an interval as short; the centre is the mean of all values
    within INLIER of them around the interval's own mean, which has less noise (one step of an M-estimate, Huber 1964).
    """
    ordered = ascending(values)
    T = ordered.shape[-1]
    n = min(T, max(2, round(share * T)))
    width = ordered[..., n - 1 :] - ordered[..., : T - n + 1] if T > 1 else torch.zeros_like(ordered)
    first = width.argmin(-1, keepdim=True)
    total = torch.nn.functional.pad(ordered.cumsum(-1), (1, 0))
    upper = (first + n).clamp_max(T)
    centre = (total.gather(-1, upper) - total.gather(-1, first)) / (upper - first)
    spread = width.gather(-1, first) / (2 * NormalDist().inv_cdf(0.5 + share / 2))
    inside = (ordered - centre).abs() <= INLIER * spread + LEAST
    return (ordered * inside).sum(-1) / inside.sum(-1), spread[..., 0]


def ascending(values: Tensor) -> Tensor:
    """The first axis sorted, and made the last."""
    moved = values.movedim(0, -1).contiguous()
    if moved.device.type == "cpu":  # NumPy sorts short rows with vector instructions, an order of magnitude faster
        return torch.from_numpy(np.sort(moved.numpy(), -1))
    return moved.sort(-1).values
