"""Masks: which pixels of a photo are to be filled, from a picture or from the photo's own transparency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nidcli.errors import InputError
from nidcli.files.images import Image, as_float, read_image
from nidcli.files.inputs import Input, Pair, expand, match


def read_mask(pair: Pair, photo: Image, *, invert: bool = False) -> np.ndarray:
    """(H, W) bool, true where the partner of a photo is white. Raises InputError for a mask of another size."""
    if pair.problem:
        raise InputError(pair.problem)
    mask = read_image(pair.partner)
    if (mask.width, mask.height) != (photo.width, photo.height):
        sizes = f"{mask.width} x {mask.height} pixels and its photo {pair.input.path} {photo.width} x {photo.height}"
        raise InputError(f"The mask {pair.partner} has {sizes}; bring them to one size.")
    return _checked(as_float(mask.pixels).mean(2) >= 0.5, invert, str(pair.partner))


def mask_from_alpha(photo: Image, name: Path, *, invert: bool = False) -> np.ndarray:
    """(H, W) bool, true where the photo is more transparent than not."""
    if photo.alpha is None:
        raise InputError(f"{name} has no transparency; give --mask, or leave --mask-from-alpha out.")
    return _checked(as_float(photo.alpha) < 0.5, invert, f"transparency of {name}")


def masks_of(inputs: Sequence[Input], mask: Path, *, recursive: bool = False) -> dict[Path, Pair]:
    """The mask of every photo: one file for all, or those of a folder with the photos' stems.

    A photo without one has a pair with a problem. Raises InputError for a mask that does not exist.
    """
    found = expand([str(mask)], recursive=recursive)
    if len(found) == 1 and found[0].named:
        if found[0].problem:
            raise InputError(found[0].problem)
        return {item.path: Pair(item, found[0].path) for item in inputs}
    return {pair.input.path: pair for pair in match(inputs, found)}


def _checked(hole: np.ndarray, invert: bool, name: str) -> np.ndarray:
    """Refuses a mask of nothing or of everything: it is most often the wrong way round."""
    hole = ~hole if invert else hole
    share = float(hole.mean())
    if share in (0.0, 1.0):
        what = "nothing" if share == 0 else "everything, and leaves nothing to know"
        turn = "without" if invert else "with"
        raise InputError(f"The mask {name} marks {what} ({share:.0%}); white is filled, so try {turn} --invert-mask.")
    return hole
