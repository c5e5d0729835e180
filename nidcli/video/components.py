"""Connected parts of masks: specks, holes and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_EIGHT = np.ones((3, 3), int)


@dataclass(frozen=True)
class Box:
    """In pixels of the frame: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height


def without_specks(mask_HW: np.ndarray, least: int) -> np.ndarray:
    """The parts (eight neighbours) of at least so many pixels."""
    label_HW, count = ndimage.label(mask_HW, _EIGHT)
    if not count:
        return mask_HW
    kept = np.bincount(label_HW.ravel()) >= least
    kept[0] = False
    return kept[label_HW]


def without_holes(mask_HW: np.ndarray, most: int) -> np.ndarray:
    """Holes (four neighbours, not open to the border) of at most so many pixels filled."""
    label_HW, count = ndimage.label(~mask_HW)
    if count < 2:
        return mask_HW
    filled = np.bincount(label_HW.ravel()) <= most
    for edge in (label_HW[0], label_HW[-1], label_HW[:, 0], label_HW[:, -1]):
        filled[edge] = False
    filled[0] = False
    return mask_HW | filled[label_HW]


def boxes(mask_HW: np.ndarray) -> list[Box]:
    """Boxes around the parts of a mask."""
    found = ndimage.find_objects(ndimage.label(mask_HW, _EIGHT)[0])
    return [Box(int(x.start), int(y.start), int(x.stop - x.start), int(y.stop - y.start)) for y, x in found]
