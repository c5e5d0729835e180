"""What moves and is nothing: rain, swaying leaves, shaking light, compression."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from video_cases import Case, crossing, f_measure

from nidcli.video.learning import learn
from nidcli.video.masks import Detector
from nidcli.video.scene import codes, render
from nidcli.video.threshold import auto_threshold, scene_precision

T, H, W = 48, 90, 120


@pytest.fixture(scope="module")
def case() -> Case:
    return crossing(T, H, W)


def masks(frames: np.ndarray) -> np.ndarray:
    """With the threshold chosen from the residuals."""
    frames_THWC = torch.from_numpy(frames)
    scene = learn(frames_THWC)
    precise = scene_precision(scene, W, H)
    threshold = auto_threshold(scene, precise, frames_THWC)
    background = render(scene.model, codes(scene.model, frames_THWC), W, H)
    return Detector(precise, threshold, 40).masks(frames_THWC.float() / 255, background)


def test_rain_is_not_seen(case: Case):
    rng, frames = np.random.default_rng(0), case.frames.astype(np.int16)
    for frame in frames:
        for _ in range(35):
            x, y, length = rng.integers(W), rng.integers(H - 16), rng.integers(6, 16)
            frame[y : y + length, x] += 45
    found = masks(frames.clip(0, 255).astype(np.uint8))
    assert (found & ~case.masks).mean() < 1e-3 and f_measure(found, case.masks) > 0.95


def test_swaying_leaves_are_not_seen(case: Case):
    rng, frames = np.random.default_rng(0), case.frames.copy()
    noise = cv2.GaussianBlur(rng.standard_normal((H, 60, 3)).astype(np.float32), (0, 0), 1.2)
    leaves, rows = np.clip(127 + 180 * noise, 0, 255), np.repeat(np.arange(H, dtype=np.float32)[:, None], 40, 1)
    for t, (frame, mask) in enumerate(zip(frames, case.masks, strict=True)):
        sway = 1.5 * np.sin(2 * np.pi * t / 11 + np.linspace(0, 3, H)[:, None])
        columns = (np.arange(10, 50)[None] + sway).astype(np.float32)
        drawn = cv2.remap(leaves, columns, rows, cv2.INTER_LINEAR) + rng.normal(0, 4, (H, 40, 3))
        part = frame[:, W - 40 :]
        part[:] = np.where(mask[:, W - 40 :, None], part, drawn.clip(0, 255).astype(np.uint8))
    found = masks(frames)
    assert (found & ~case.masks).mean() < 1e-3 and f_measure(found, case.masks) > 0.95


def test_light_that_jumps_is_not_seen(case: Case):
    light = np.where(np.arange(T) % 2, 1.0, 0.85)[:, None, None, None]
    found = masks((case.frames * light).astype(np.uint8))
    assert (found & ~case.masks).mean() < 1e-3 and f_measure(found, case.masks) > 0.95


def test_compression_is_not_seen(case: Case):
    coded = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 40])[1] for frame in case.frames]
    found = masks(np.stack([np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)) for data in coded]))
    around = np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((33, 33))) > 0 for mask in case.masks])
    assert (found & ~around).mean() < 1e-3 and found[case.masks].mean() > 0.98  # blocks bleed their colour
