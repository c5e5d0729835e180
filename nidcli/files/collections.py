"""Collections of photos that are read, not held: folders and globs of images, stacks of arrays, tar shards.

Every photo becomes its middle square, resized bicubically in float, (side, side, C) float32 in 0...1. What has been
read is kept up to a budget of bytes, exactly as it was returned; photos beyond the budget are decoded every time. So
memory does not follow the number of photos, and no epoch differs from another.

Letters: n photos, H rows, W columns, C channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nidcli.errors import InputError, NidError, UsageError
from nidcli.files.datasets import CLIPS
from nidcli.files.film import Clip
from nidcli.files.images import as_float, read_image, resize
from nidcli.files.inputs import Input, expand
from nidcli.files.shards import identified, open_shards
from nidcli.files.stacks import open_stack

BUDGET = 1 << 30  # bytes of photos that are kept
_NAMED = 8  # files that a message names one by one
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's conversion to grey


class Part(Protocol):
    """A run of photos: one file, a stack, or a shard."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What messages call a photo."""
        ...

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, C) uint8, uint16 or float32, C = 1 or 3. Raises InputError."""
        ...

    def feed(self, update: Callable[[bytes], None]) -> None:
        """Hand over the content of all its photos, in chunks."""
        ...


class _File:
    """One image file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        return str(self.path)

    def pixels(self, index: int) -> np.ndarray:
        return read_image(self.path).pixels

    def feed(self, update: Callable[[bytes], None]) -> None:
        update(hashlib.sha256(self.path.read_bytes()).digest())


class PhotoCollection:
    """Photos by number, in the order of their names. Numbers keep their meaning when a photo turns out to be broken:
    the one before it takes its place."""

    def __init__(
        self,
        parts: Sequence[Part],
        channels: int = 3,
        *,
        skipped: Sequence[str] = (),
        warn: Callable[[str], None] = lambda text: None,
        budget: int = BUDGET,
    ) -> None:
        if channels not in (1, 3):
            raise UsageError(f"Photos have 1 or 3 channels, not {channels}; change `channels` of the preset.")
        self.channels, self.skipped = channels, tuple(skipped)
        self._parts, self._warn, self._left = list(parts), warn, budget
        self._ends = np.cumsum([len(part) for part in parts])
        self._kept: dict[tuple[int, int], np.ndarray] = {}
        self._broken: set[int] = set()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def image(self, index: int, side: int) -> Tensor:
        """(side, side, C) float32 in 0...1."""
        kept = self._kept.get((index, side))
        if kept is None:
            kept = self._square(index, side)
            if kept.nbytes <= self._left:
                self._left -= kept.nbytes
                self._kept[index, side] = kept
        # stored integers are kept where nothing was resized, a quarter of the bytes for the same values
        values = as_float(kept)
        return torch.from_numpy(np.repeat(values, self.channels, 2) if values.shape[2] < self.channels else values)

    @cached_property
    def digest(self) -> str:
        """sha256 of the photos' content in their order, never of their names: bytes of files, values of arrays."""
        digest = hashlib.sha256()
        for part in self._parts:
            part.feed(digest.update)
        return digest.hexdigest()

    def _square(self, index: int, side: int) -> np.ndarray:
        """The middle square as it is kept: integers of the file where nothing was resized, or float32."""
        pixels = self._decoded(index)
        height, width, channels = pixels.shape
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        square = pixels[top : top + edge, left : left + edge]
        if channels > self.channels:
            square = (as_float(square) @ _LUMA)[:, :, None]
        if edge == side:
            return np.ascontiguousarray(np.clip(square, 0, 1) if square.dtype.kind == "f" else square)
        resized: np.ndarray = np.clip(resize(as_float(square), side, side), 0, 1)
        return resized

    def _decoded(self, index: int) -> np.ndarray:
        for step in range(len(self)):
            number = (index - step) % len(self)
            if number in self._broken:
                continue
            which = int(np.searchsorted(self._ends, number, side="right"))
            part = self._parts[which]
            inside = number - int(self._ends[which]) + len(part)
            try:
                return part.pixels(inside)
            except NidError as error:
                self._broken.add(number)
                self._warn(f"{str(error).rstrip('.')}; the photo before it takes its place.")
        raise InputError("None of the photos can be read; look at the messages above.")


def open_collection(
    arguments: Sequence[str],
    channels: int = 3,
    *,
    recursive: bool = False,
    files_from: Path | None = None,
    warn: Callable[[str], None] = lambda text: None,
    budget: int = BUDGET,
) -> PhotoCollection:
    """Open what `learn-dict --data` names: folders, globs, images, .npy and .npz stacks, .tar shards, video files.

    Only headers are read. Files that are none of these are skipped and named in one warning; raises InputError where
    nothing is left, and for a named file that does not exist or a stack of a wrong shape.
    """
    parts: list[Part] = []
    skipped: list[str] = []
    for item in expand(arguments, recursive=recursive, files_from=files_from):
        if item.problem:
            raise InputError(item.problem)
        parts += _open(item, skipped)
    if skipped:
        more = f" and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
        count = "1 file is no image" if len(skipped) == 1 else f"{len(skipped)} files are no images"
        warn(f"{count} and left out: {', '.join(skipped[:_NAMED])}{more}.")
    collection = PhotoCollection(
        [part for part in parts if len(part)], channels, skipped=skipped, warn=warn, budget=budget
    )
    if not len(collection):
        raise InputError(f"{', '.join(map(str, arguments))} holds no image that can be read; name another folder.")
    return collection


def _open(item: Input, skipped: list[str]) -> list[Part]:
    """The parts of one file; names of what it holds besides are added to `skipped`."""
    suffix = item.path.suffix.lower()
    try:
        if suffix in (".npy", ".npz"):
            return [open_stack(item.path)]
        if suffix == ".tar":
            return [open_shards(item.path, skipped)]
        if suffix in CLIPS:
            return [Clip(item.path)]
    except InputError:
        if item.named:
            raise
        skipped.append(str(item.path))
        return []
    if item.path.is_file() and identified(item.path):
        return [_File(item.path)]
    skipped.append(str(item.path))
    return []
