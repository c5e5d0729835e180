"""Slices to learn from: arrays, 16-bit images, DICOM and NIfTI, brought to one scale.

Files that say what they hold (DICOM, NIfTI) come in Hounsfield units or as plain numbers; for arrays and images the
scale says what their numbers mean. Slices end up as floats in 0 ... 1, values beyond are cut off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nidcli.errors import InputError, UsageError
from nidcli.files.collections import Part, PhotoCollection
from nidcli.files.images import read_image
from nidcli.files.inputs import Input, expand
from nidcli.files.shards import identified
from nidcli.files.volumes import dicom_slice, is_dicom, nifti_slices

_NAMES = ("images", "slices", "data")  # arrays of an .npz that are preferred to the first
AIR, WIDTH = -1000.0, 2000.0  # Hounsfield units: air is 0 and bone of +1000 is 1


@dataclass(frozen=True, kw_only=True)
class SliceScale:
    """What numbers of slices mean.

    units : of the dictionary, "attenuation" (relative, 1 is the most) or "hu" (0 is -1000, 1 is +1000 Hounsfield
    units, linear in attenuation); white : what integers of arrays and images hold for attenuation 1; zero : what they
    hold for 0 Hounsfield units.
    """

    units: Literal["attenuation", "hu"] = "attenuation"
    white: float = 65535.0
    zero: float = 1024.0

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Numbers of a file that does not say what they are; floats are in the dictionary's units already."""
        if self.units == "hu":
            return self.hounsfield(
                values.astype(np.float32) - np.float32(self.zero if values.dtype.kind in "ui" else 0)
            )
        scaled = values.astype(np.float32)
        return scaled / np.float32(self.white) if values.dtype.kind in "ui" else scaled

    def hounsfield(self, values: np.ndarray) -> np.ndarray:
        """Hounsfield units. In a dictionary of attenuation water is 1 / 2 too, which keeps it linear."""
        scaled: np.ndarray = (values.astype(np.float32) - np.float32(AIR)) / np.float32(WIDTH)
        return scaled


class SliceStack:
    """Slices (n, H, W) that are in memory or mapped, or one (H, W)."""

    def __init__(self, path: Path, array: np.ndarray, scale: Callable[[np.ndarray], np.ndarray]) -> None:
        self.path, self.array, self.scale = path, array if array.ndim == 3 else array[None], scale

    def __len__(self) -> int:
        return len(self.array)

    def name(self, index: int) -> str:
        """FILE[index]."""
        return f"{self.path}[{index}]"

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, 1) float32."""
        return _checked(self.name(index), self.scale(np.asarray(self.array[index])))

    def feed(self, update: Callable[[bytes], None]) -> None:
        """The type, the shape and the values."""
        digest = hashlib.sha256(f"{self.array.dtype.str}{self.array.shape}".encode())
        for plane in self.array:
            digest.update(np.ascontiguousarray(plane).data)
        update(digest.digest())


class SliceFile:
    """One file with one slice, decoded when it is asked for."""

    def __init__(self, path: Path, decode: Callable[[Path], np.ndarray]) -> None:
        self.path, self.decode = path, decode

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        """FILE."""
        return str(self.path)

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, 1) float32."""
        return _checked(str(self.path), self.decode(self.path))

    def feed(self, update: Callable[[bytes], None]) -> None:
        """The file's own bytes."""
        update(hashlib.sha256(self.path.read_bytes()).digest())


def open_slices(
    arguments: Sequence[str],
    scale: SliceScale,
    *,
    more: Sequence[Part] = (),
    recursive: bool = False,
    files_from: Path | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> PhotoCollection:
    """Slices of folders, globs and files (.npy, .npz, images, DICOM, .nii), after those of `more`.

    Files in folders that hold no slice are left out and counted in one warning. Raises InputError where nothing is
    left, and for a named file that cannot be used.
    """
    parts, skipped = list(more), list[str]()
    if arguments or files_from is not None or not more:
        for item in expand(arguments, recursive=recursive, files_from=files_from):
            if item.problem:
                raise InputError(item.problem)
            try:
                parts.append(_open(item, scale))
            except InputError:
                if item.named:
                    raise
                skipped.append(str(item.path))
    if skipped:
        warn(f"{len(skipped)} of the files hold no slice and are left out, the first of them {skipped[0]}.")
    if not sum(map(len, parts)):
        raise InputError(f"{', '.join(map(str, arguments))} holds no slice that can be read; name another folder.")
    return PhotoCollection(parts, 1, skipped=skipped, warn=warn)


def _open(item: Input, scale: SliceScale) -> Part:
    path = item.path
    suffixes = "".join(path.suffixes[-2:]).lower()
    if path.suffix.lower() in (".npy", ".npz"):
        return SliceStack(path, _array(path), scale.stored)
    if suffixes.endswith((".nii", ".nii.gz")):
        slices, hounsfield = nifti_slices(path)
        return SliceStack(path, slices, scale.hounsfield if hounsfield else scale.stored)
    if is_dicom(path):
        return SliceFile(path, lambda file: _dicom(file, scale))
    if path.is_file() and identified(path):
        return SliceFile(path, lambda file: scale.stored(read_image(file).pixels[:, :, 0]))
    raise InputError(f"{path} holds no slice: it is no array, image, DICOM or NIfTI file.")


def _dicom(path: Path, scale: SliceScale) -> np.ndarray:
    values, hounsfield = dicom_slice(path)
    return scale.hounsfield(values) if hounsfield else scale.stored(values)


def _array(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                names = [name for name in _NAMES if name in arrays.files] or arrays.files
                array: np.ndarray = arrays[names[0]] if names else np.zeros(0)
        else:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{path} is not an array that can be read ({reason}); save it again.") from error
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "uif":
        raise InputError(f"{path} is {array.dtype} of the shape {array.shape}; slices are numbers (n, height, width).")
    return array


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError(f"{name} has values that are not finite; mend or leave out the slice.")
    return np.ascontiguousarray(np.clip(values, 0, 1), np.float32)[:, :, None]


def phantom_count(argument: str) -> int | None:
    """N of `phantoms:N`, None for another argument. Raises UsageError for what is no number."""
    kind, colon, count = argument.partition(":")
    if kind != "phantoms" or not colon:
        return None
    if not count.isdigit() or not int(count):
        raise UsageError(f"--data {argument} asks for no number of phantoms; write it as phantoms:1024.")
    return int(count)
