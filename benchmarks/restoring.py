"""What the benchmarks of restoring share: damage as the targets have it, PSNR inside a hole, and the peers."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.restoration import inpaint_biharmonic

from benchmarks.common import SIDE, faces, reduced

HOLE = 36


def photos(count: int) -> list[np.ndarray]:
    """Held-out faces at 128 x 128, uint8."""
    return [np.rint(255 * image).astype(np.uint8) for image in reduced(faces(count)).clamp(0, 1).numpy()]


def square(index: int, side: int = HOLE) -> np.ndarray:
    """(H, W) bool: a square hole anywhere within the photo."""
    top, left = np.random.default_rng(index).integers(0, SIDE - side + 1, 2)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[top : top + side, left : left + side] = True
    return hole


def missing(index: int, share: float) -> np.ndarray:
    """(H, W) bool: pixels missing at random."""
    return np.random.default_rng(index).random((SIDE, SIDE)) < share


def decibels(result: np.ndarray, truth: np.ndarray, where: np.ndarray | None = None) -> float:
    """PSNR of uint8 photos, of all pixels or of some."""
    error = (result.astype(float) - truth) / 255
    return float(-10 * np.log10(np.square(error if where is None else error[where]).mean() + 1e-12))


def telea(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return cv2.inpaint(photo, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def navier_stokes(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return cv2.inpaint(photo, hole.astype(np.uint8), 3, cv2.INPAINT_NS)


def biharmonic(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    filled = inpaint_biharmonic(photo / 255, hole, channel_axis=2)
    return np.rint(255 * np.clip(filled, 0, 1)).astype(np.uint8)


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    """Intersection over union."""
    return float((found & true).sum() / max(1, (found | true).sum()))
