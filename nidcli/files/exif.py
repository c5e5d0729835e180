"""EXIF: which way up a photo is, and what of its description is written again."""

from __future__ import annotations

import numpy as np
from PIL.Image import Exif
from PIL.Image import Image as PilImage

_ORIENTATION = 0x0112
_EXIF_KEYS = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # where Pillow looks for an orientation
_SUB_BLOCKS = {0x8769, 0x8825}  # of the camera and of the place
# Description, make, model, resolution (three), software, date, artist, copyright (TIFF 6.0, section 8)
_TIFF_TAGS = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33432} | _SUB_BLOCKS


def exif_of(photo: PilImage) -> tuple[int, bytes]:
    """Orientation (1 to 8) of a loaded photo, and the EXIF block to write again with its pixels turned upright.

    Of a TIFF only those tags are kept that do not describe the layout of that very file.
    """
    if photo.format != "TIFF" and not photo.info.keys() & _EXIF_KEYS:
        return 1, b""
    exif = photo.getexif()
    orientation = exif.get(_ORIENTATION, 1)
    if photo.format == "TIFF":
        kept = Exif()
        for tag in _TIFF_TAGS & exif.keys():
            kept[tag] = exif.get_ifd(tag) if tag in _SUB_BLOCKS else exif[tag]
        exif = kept
    elif "exif" not in photo.info:
        return orientation, b""
    if _ORIENTATION in exif:
        exif[_ORIENTATION] = 1
    return orientation, exif.tobytes() if exif else b""


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the eight EXIF orientations (EXIF 2.3, tag 0x0112)."""
    turned = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[::-1].swapaxes(0, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[:, ::-1].swapaxes(0, 1),
    }
    return np.ascontiguousarray(turned[orientation](pixels)) if orientation in turned else pixels
