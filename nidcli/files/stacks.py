"""Stacks of photos in one array: .npy, mapped into memory, and .npz, held in it.

(n, H, W) or (n, H, W, C); an array of three axes whose last is 4 at most, or of two, is a single photo.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nidcli.errors import InputError

_NAMES = ("images", "data")  # arrays of an .npz that are preferred to the first
_CHUNK = 1 << 24  # bytes hashed at a time


class Stack:
    """n photos in one array (n, H, W, C), C = 1 to 4, of which the second and fourth channels are alpha."""

    def __init__(self, path: Path, array: np.ndarray) -> None:
        self.path, self.array = path, array

    def __len__(self) -> int:
        return len(self.array)

    def name(self, index: int) -> str:
        """FILE[index]."""
        return f"{self.path}[{index}]"

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, C) of one photo without its alpha. Raises InputError for floats outside 0...1."""
        photo = self.array[index]
        photo = photo[:, :, : 1 if photo.shape[2] < 3 else 3]
        if photo.dtype == np.bool_:
            return photo * np.uint8(255)
        if photo.dtype.kind == "f":
            photo = photo.astype(np.float32)
            if not (photo.min() >= -0.5 and photo.max() <= 1.5):  # also refuses NaN
                raise InputError(f"{self.name(index)} has floats outside 0...1; divide them by the value of white.")
        return np.ascontiguousarray(photo, dtype=photo.dtype.newbyteorder("="))

    def feed(self, update: Callable[[bytes], None]) -> None:
        """The type, the shape and the values, photo by photo."""
        digest = hashlib.sha256(f"{self.array.dtype.str}{self.array.shape}".encode())
        rows = max(1, _CHUNK // max(1, self.array[0].nbytes)) if len(self.array) else 1
        for start in range(0, len(self.array), rows):
            digest.update(np.ascontiguousarray(self.array[start : start + rows]).data)
        update(digest.digest())


def open_stack(path: Path) -> Stack:
    """Raises InputError, in one sentence that names the file, for what is no stack of photos."""
    try:
        array = _npz(path) if path.suffix.lower() == ".npz" else np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{path} is not an array that can be read ({reason}); save it again.") from error
    shape = array.shape
    if array.ndim == 2:
        array = array[None, :, :, None]
    elif array.ndim == 3:
        array = array[None] if 1 <= shape[2] <= 4 else array[:, :, :, None]
    if array.ndim != 4 or not 1 <= array.shape[3] <= 4 or array.size == 0:
        raise InputError(
            f"{path} has the shape {shape}; a stack is (n, height, width) or (n, height, width, channels)."
        )
    if array.dtype.kind != "f" and array.dtype.newbyteorder("=") not in (np.bool_, np.uint8, np.uint16):
        raise InputError(f"{path} holds {array.dtype} values; save uint8, uint16, or floats in 0...1.")
    stack = Stack(path, array)
    stack.pixels(0)  # a scale that is wrong for one is wrong for all
    return stack


def _npz(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in _NAMES if name in arrays.files] or arrays.files
        if not names:
            raise InputError(f"{path} holds no array; save one called images.")
        found: np.ndarray = arrays[names[0]]
        return found
