"""What encode, refine and decode have in common."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.artifacts import Artifact
    from nidcli.files.images import Image

MAX_PIXELS = 1 << 30  # of a drawn image, as of one that is read


def load_photo(path: Path, size: int | None) -> Image:
    """A photo from a file, its longer side resized if asked."""
    from nidcli.coding import fitted
    from nidcli.files.images import as_float, read_image, resize

    photo = read_image(path)
    width, height = fitted(photo.width, photo.height, size)
    if (width, height) == (photo.width, photo.height):
        return photo
    return replace(photo, pixels=resize(as_float(photo.pixels), width, height), alpha=None)


def cells_option(text: str) -> int | None:
    """--cells: a number, or None for auto."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--cells is a number of cells along the longer side, or auto, not {text!r}.")
    return int(text)


def drawn_size(width: int, height: int, scale: float | None, size: str | None) -> tuple[int, int]:
    """Pixels to draw: the photo's own, times --scale, or --size."""
    if size is not None:
        wide, high = _size(size)
    elif scale is not None and not 0 < scale <= 64:
        raise UsageError(f"--scale is a factor up to 64, not {scale}.")
    else:
        wide, high = max(1, round(width * (scale or 1))), max(1, round(height * (scale or 1)))
    if wide * high > MAX_PIXELS:
        option = "--scale" if size is None else "--size"
        raise UsageError(f"{wide} x {high} pixels are more than 2^30; give a smaller {option}.")
    return wide, high


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    if not match or 0 in (int(match[1]), int(match[2])):
        raise UsageError(f"--size is a width and a height such as 640x480, not {text!r}.")
    return int(match[1]), int(match[2])


def plan_note(artifact: Artifact) -> str:
    """What --dry-run says about memory: the design that the finest cells share, and a band of their codes."""
    from nidcli.imaging import BAND_CELLS

    level = artifact.model.level(-1).spec
    numbers = level.dictionary.channels * level.window(level.pixels).row_YH.shape[1] ** 2
    experts = level.dictionary.experts
    design, band = 10 * numbers * experts, 4 * BAND_CELLS * (experts + 4 * numbers)
    parts = f"{design / 2**20:.0f} MiB for the measured atoms, up to {band / 2**20:.0f} MiB for codes"
    return f"Memory beyond the photos: {parts}."
