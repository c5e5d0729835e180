"""Restored photos and their maps to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nidcli.files.atomic import make_folder
from nidcli.files.images import Image, as_float, resize, write_image
from nidcli.restore.photo import Restored


def write_restored(
    path: Path, *, photo: Image, result: Restored, opaque: bool, damage: Path | None, unsure: Path | None
) -> None:
    """The photo in its own depth, with its own transparency and description; `opaque` where it was filled.

    damage : a PNG, 255 where a pixel was replaced; unsure : a 16-bit PNG, 65535 times the standard deviation.
    """
    alpha = photo.alpha
    if opaque and alpha is not None:
        full = 1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
        alpha = np.where(result.damaged_HW, alpha.dtype.type(full), alpha)
    write_image(path, result.pixels, bit_depth=photo.bit_depth, alpha=alpha, exif=photo.exif, icc=photo.icc)
    if damage is not None:
        make_folder(damage.parent)
        write_image(damage, result.damaged_HW.astype(np.uint8) * np.uint8(255))
    if unsure is not None and result.deviation_HW is not None:
        make_folder(unsure.parent)
        write_image(unsure, np.clip(result.deviation_HW, 0, 1), bit_depth=16)


def write_enlarged(path: Path, *, photo: Image, values: np.ndarray) -> None:
    """An enlarged photo in the depth of the small one, with its transparency and description."""
    alpha = None
    if photo.alpha is not None:
        height, width = values.shape[:2]
        alpha = np.clip(resize(as_float(photo.alpha)[:, :, None], width, height)[:, :, 0], 0, 1)
    write_image(path, values, bit_depth=photo.bit_depth, alpha=alpha, exif=photo.exif, icc=photo.icc)
