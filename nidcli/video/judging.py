"""How well a background draws frames that it was not learned from, where nothing moves in front of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.training import halved
from nidcli.video.job import Settings
from nidcli.video.masks import Detector
from nidcli.video.scene import Scene, codes, render
from nidcli.video.threshold import auto_threshold, scene_precision

BATCH = 4
MARGIN = 3  # pixels around what moves that are not judged: its soft edges, which masks leave out
LEAST = 1e-10  # mean square that is told from none


@dataclass(frozen=True)
class Judged:
    """psnr : dB over the pixels where and near which nothing moves, mean over frames; moving : share of those that do.
    NaN for no frames."""

    psnr: float
    moving: float


def judged(scene: Scene, samples_THWC: Tensor, held_THWC: Tensor) -> Judged:
    """Of the background as a file holds it. samples, held : uint8 frames that it was learned from, and others.

    Moving is what `decompose-video` would mask by its own threshold. A background that is wrong somewhere shows there
    in `moving`, not in `psnr`.
    """
    _, H, W, _ = samples_THWC.shape
    if not len(held_THWC):
        return Judged(math.nan, math.nan)
    stored = Scene(halved(scene.model, ()), scene.deviation_HWC)
    precision_HWC = scene_precision(stored, W, H)
    threshold = auto_threshold(stored, precision_HWC, samples_THWC)
    detector = Detector(precision_HWC, threshold, Settings().min_area)
    scores, shares = list[float](), list[float]()
    for batch in held_THWC.split(BATCH):
        frames_THWC = batch.float() / 255
        background_THWC = render(stored.model, codes(stored.model, frames_THWC), W, H).clamp(0, 1)
        masks_THW = torch.from_numpy(detector.masks(frames_THWC, background_THWC)).to(frames_THWC)
        shares += masks_THW.double().mean((1, 2)).tolist()
        still_THW = torch.nn.functional.max_pool2d(masks_THW, 2 * MARGIN + 1, 1, MARGIN) == 0
        error2_THW = (frames_THWC - background_THWC).square().mean(-1)
        for error2_HW, still_HW in zip(error2_THW, still_THW, strict=True):
            if still_HW.any():
                scores.append(-10 * math.log10(max(LEAST, float(error2_HW[still_HW].double().mean()))))
    return Judged(_mean(scores), _mean(shares))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
