"""Cast shadows: the background's own colours and texture, darker by one factor over a small window.

With g = <frame, background> / <background, background> over a window and all channels, a shadow leaves

    residual = |frame - g background|^2 / |background|^2

near the noise: colour and texture are those of the background (normalised cross-correlation, Jacques, Jung and Musse
2005), and g lies below one. What is darker than DARKEST is not told from a dark object, and stays.
"""

from __future__ import annotations

import torch
from torch import Tensor

DARKEST, BRIGHTEST = 0.35, 0.98  # of g
UNLIKE = 0.0035  # residual at most
NOISE = (2.5 / 255) ** 2  # and what the noise adds to it, absolute
AREA = 3  # pixels a side of the window


def shadows(frames_THWC: Tensor, background_THWC: Tensor, found_THW: Tensor) -> Tensor:
    """(T, H, W) bool: the pixels of `found` that are shadow. Looks only at the rows and columns with any."""
    rows, columns = (_span(found_THW.any(0).any(axis)) for axis in (1, 0))
    out_THW = torch.zeros_like(found_THW)
    part = (slice(None), rows, columns)
    out_THW[part] = _shadows(frames_THWC[part], background_THWC[part], found_THW[part])
    return out_THW


def _span(any_N: Tensor) -> slice:
    """The stretch that holds all that is true, and a window around."""
    index = any_N.nonzero()[:, 0]
    return slice(max(0, int(index[0]) - AREA), int(index[-1]) + 1 + AREA) if len(index) else slice(0, AREA)


def _shadows(frames_THWC: Tensor, background_THWC: Tensor, found_THW: Tensor) -> Tensor:
    cross_THW = box(over_channels(frames_THWC * background_THWC))
    power_THW = box(over_channels(background_THWC.square())).clamp_min_(1e-6)
    own_THW = box(over_channels(frames_THWC.square()))
    gain_THW = cross_THW / power_THW
    residual_THW = own_THW - gain_THW * cross_THW
    channels = frames_THWC.shape[-1]
    alike_THW = residual_THW <= UNLIKE * power_THW + channels * NOISE
    shadow_THW = alike_THW & (gain_THW > DARKEST) & (gain_THW < BRIGHTEST) & found_THW
    return found_THW & (box(shadow_THW.float()) > 0.5)


def over_channels(values_THWC: Tensor) -> Tensor:
    """The sum over the last axis, as a product: sums over a few neighbouring numbers are slow."""
    return values_THWC @ values_THWC.new_ones(values_THWC.shape[-1])


def box(planes_THW: Tensor) -> Tensor:
    """Mean over a window, borders repeated."""
    r = AREA // 2
    x = torch.nn.functional.pad(planes_THW[:, None], (r, r, r, r), mode="replicate")[:, 0]
    x = sum((x[..., i : x.shape[-1] - AREA + 1 + i] for i in range(1, AREA)), x[..., : x.shape[-1] - AREA + 1])
    H = x.shape[-2] - AREA + 1
    return sum((x[..., i : H + i, :] for i in range(1, AREA)), x[..., :H, :]) / AREA**2
