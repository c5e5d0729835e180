"""The threshold, from the residuals themselves.

Objects hang together and noise does not: where a pixel exceeds a threshold while most of its neighbours do not, it is
most likely a false alarm. The threshold is the least at which such lonely pixels are rare.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nidcli.video.masks import blur, distance2, precision
from nidcli.video.scene import Scene, codes, picture, render

LEAST, MOST, STEP = 3.0, 8.0, 0.25  # standard deviations
LONELY = 0.2  # share of the neighbourhood that exceeds the threshold, at most
RARE = 2e-3  # share of lonely pixels that is accepted
FRAMES = 16  # that are looked at
BATCH = 4


def auto_threshold(scene: Scene, precision_HWC: Tensor, samples_THWC: Tensor) -> float:
    """In standard deviations. samples: frames (T, H, W, C), uint8."""
    T, H, W, _ = samples_THWC.shape
    chosen = samples_THWC[torch.linspace(0, T - 1, min(T, FRAMES)).round().long().to(samples_THWC.device)]
    far = []
    for batch in chosen.split(BATCH):
        frames_THWC = batch.float() / 255
        background_THWC = render(scene.model, codes(scene.model, frames_THWC), W, H)
        far.append(distance2(frames_THWC, background_THWC, precision_HWC))
    threshold = LEAST
    while threshold < MOST and sum(_lonely(part, threshold) for part in far) > RARE * len(chosen) * H * W:
        threshold += STEP
    return threshold


def _lonely(distance2_THW: Tensor, threshold: float) -> int:
    """Pixels that exceed a threshold among neighbours that do not."""
    over_THW = distance2_THW > threshold**2
    return int((over_THW & (blur(over_THW.float()) < LONELY)).sum())


def scene_precision(scene: Scene, width: int, height: int) -> Tensor:
    """(H, W, C): what `Detector` needs to know of a scene."""
    return precision(scene.deviation_HWC, picture(scene.model, width, height))


def grey_levels(precision_HWC: Tensor) -> float:
    """Grey levels of 255 in one standard deviation of a typical pixel."""
    return 255 / float(precision_HWC.median()) ** 0.5
