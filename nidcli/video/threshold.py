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
FRAMES = 24  # that are looked at
BATCH = 4


def auto_threshold(scene: Scene, precision_HWC: Tensor, samples_THWC: Tensor) -> float:
    """In standard deviations. samples: frames (T, H, W, C), uint8."""
    T, H, W, _ = samples_THWC.shape
    steps = torch.arange(LEAST, MOST + STEP / 2, STEP).tolist()
    lonely, seen = [0] * len(steps), 0
    chosen = samples_THWC[torch.linspace(0, T - 1, min(T, FRAMES)).round().long().to(samples_THWC.device)]
    for batch in chosen.split(BATCH):
        frames_THWC = batch.float() / 255
        background_THWC = render(scene.model, codes(scene.model, frames_THWC), W, H)
        far_THW = distance2(frames_THWC, background_THWC, precision_HWC)
        seen += far_THW.numel()
        for i, threshold in enumerate(steps):
            over_THW = far_THW > threshold**2
            lonely[i] += int((over_THW & (blur(over_THW.float()) < LONELY)).sum())
    rare = [threshold for threshold, count in zip(steps, lonely, strict=True) if count <= RARE * seen]
    return rare[0] if rare else MOST


def scene_precision(scene: Scene, width: int, height: int) -> Tensor:
    """(H, W, C): what `Detector` needs to know of a scene."""
    return precision(scene.deviation_HWC, picture(scene.model, width, height))


def grey_levels(precision_HWC: Tensor) -> float:
    """Grey levels of 255 in one standard deviation of a typical pixel."""
    return 255 / float(precision_HWC.median()) ** 0.5
