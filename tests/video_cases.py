"""Small clips with known truth: a textured room, a square that crosses it, light that drifts, noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from nidcli.files.images import write_image
from nidcli.files.mp4 import _box, _boxes

H, W, T = 60, 80, 40


@dataclass(frozen=True)
class Case:
    """frames (T, H, W, 3) uint8, masks (T, H, W) bool, backgrounds (T, H, W, 3) floats in 0 ... 1."""

    frames: np.ndarray
    masks: np.ndarray
    backgrounds: np.ndarray


def room(height: int = H, width: int = W, seed: int = 0) -> np.ndarray:
    """(H, W, 3) floats in 0.2 ... 0.8."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3)).astype(np.float32)
    coarse, fine = (cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (8, 1.5))
    texture = coarse / coarse.std() * 0.1 + fine / fine.std() * 0.05
    return np.clip(0.5 + texture, 0.2, 0.8)


def crossing(frames: int = T, height: int = H, width: int = W, sigma: float = 4 / 255, drift: float = 0.1) -> Case:
    """A red square of 14 pixels goes from left to right and back."""
    rng, empty = np.random.default_rng(1), room(height, width)
    masks = np.zeros((frames, height, width), bool)
    backgrounds = np.stack([empty * (1 - drift / 2 + drift * t / max(1, frames - 1)) for t in range(frames)])
    seen = backgrounds.copy()
    for t in range(frames):
        x = int(abs((4 * t) % (2 * (width - 14)) - (width - 14)))
        masks[t, 20:34, x : x + 14] = True
        seen[t][masks[t]] = (0.9, 0.15, 0.1)
    seen += sigma * rng.standard_normal(seen.shape)
    return Case((seen.clip(0, 1) * 255).round().astype(np.uint8), masks, backgrounds)


def write_frames(folder: Path, frames: np.ndarray) -> Path:
    """A folder of numbered frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, 1):
        write_image(folder / f"in{number:04d}.png", frame)
    return folder


def write_clip(path: Path, frames: np.ndarray, fps: float = 25.0) -> Path:
    """An MP4 with MPEG-4 video, which every build of OpenCV can write and read."""
    size = (frames.shape[2], frames.shape[1])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path


def changed(data: bytes, path: tuple[bytes, ...], change: Callable[[bytes], bytes]) -> bytes:
    """An MP4 file, its index at the end, with the body of one box changed."""
    out = b""
    for name, body in _boxes(data):
        if name == path[0]:
            body = changed(body, path[1:], change) if len(path) > 1 else change(body)
        out += _box(name, body)
    return out


def f_measure(found: np.ndarray, truth: np.ndarray) -> float:
    hits = (found & truth).sum()
    return float(2 * hits / (found.sum() + truth.sum()))
