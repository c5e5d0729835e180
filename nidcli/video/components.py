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
    around = _around(mask_HW)
    label_YX, count = ndimage.label(mask_HW[around], _EIGHT)
    if not count:
        return mask_HW
    kept = np.bincount(label_YX.ravel()) >= least
    kept[0] = False
    out_HW = np.zeros_like(mask_HW)
    out_HW[around] = kept[label_YX]
    return out_HW


def without_holes(mask_HW: np.ndarray, most: int) -> np.ndarray:
    """Holes (four neighbours, not open to the border) of at most so many pixels filled."""
    around = _around(mask_HW)
    label_YX, count = ndimage.label(~mask_HW[around])
    if count < 2:
        return mask_HW
    filled = np.bincount(label_YX.ravel()) <= most
    # what is around a mask goes on to the border of the frame, unless that is where it ends
    for edge in (label_YX[0], label_YX[-1], label_YX[:, 0], label_YX[:, -1]):
        filled[edge] = False
    filled[0] = False
    out_HW = mask_HW.copy()
    out_HW[around] |= filled[label_YX]
    return out_HW


def boxes(mask_HW: np.ndarray) -> list[Box]:
    """Boxes around the parts of a mask."""
    around = _around(mask_HW)
    top, left = around[0].start, around[1].start
    found = ndimage.find_objects(ndimage.label(mask_HW[around], _EIGHT)[0])
    return [
        Box(int(left + x.start), int(top + y.start), int(x.stop - x.start), int(y.stop - y.start)) for y, x in found
    ]


def _around(mask_HW: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold all of a mask, and one more on every side: the rest need not be looked at."""
    rows, columns = (np.flatnonzero(mask_HW.any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2)
