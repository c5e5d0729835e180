"""Pixel values and sizes: stored integers to floats in 0...1 and back, and resizing without rounding.

Arrays are (H, W, C) or (H, W), row 0 at the top, sRGB values as stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

_BAND_PIXELS = 1 << 22  # pixels converted at a time, so that a large photo needs no second copy in float


def bands(height: int, width: int) -> Iterator[slice]:
    """Row ranges, top to bottom, of some four million pixels each."""
    rows = max(1, _BAND_PIXELS // max(1, width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def as_float(pixels: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float pixels as float32 in 0...1; float32 pixels are returned as they are."""
    if pixels.dtype == np.uint8:
        return np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)
    if pixels.dtype == np.uint16:
        return np.multiply(pixels, np.float32(1 / 65535), dtype=np.float32)
    return pixels.astype(np.float32, copy=False)


def as_integers(values: np.ndarray, bit_depth: int) -> np.ndarray:
    """Floats in 0...1 (clipped) or integers of either depth as uint8 (`bit_depth` 8) or uint16 (16), rounded."""
    kind, top = (np.uint8, 255.0) if bit_depth == 8 else (np.uint16, 65535.0)
    if values.dtype == kind:
        return values
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    out = np.empty(values.shape, kind)
    for rows in bands(*values.shape[:2]):
        out[rows] = np.rint(np.clip(as_float(values[rows]), 0, 1) * np.float32(top))
    return out


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, C) floats to (height, width, C) float32: bicubic, with its support widened when shrinking (antialias).

    Channels are resized in float, so that nothing is rounded; values may overshoot 0...1 a little.
    """
    if image.shape[:2] == (height, width):
        return image.astype(np.float32)
    out = np.empty((height, width, image.shape[2]), np.float32)
    for channel in range(image.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(image[:, :, channel], dtype=np.float32))
        out[:, :, channel] = np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC))
    return out
