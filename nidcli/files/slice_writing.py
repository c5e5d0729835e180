"""Slices to files: .npy and TIFF in float32, PNG through a window; and stacks that grow slice by slice.

A stack is written under a hidden name beside its output, with a note of how many slices are done and of what; a run
that was stopped goes on after them.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from nidcli.errors import OutputError
from nidcli.files.atomic import cannot_write, make_folder, replacing
from nidcli.files.image_writing import write_image

SLICES = (".npy", ".tif", ".tiff", ".png")
_DARKEST, _BRIGHTEST = 0.5, 99.8  # percentiles that become black and white where no window is given


@dataclass(frozen=True)
class Window:
    """Values from level - width / 2 (black) to level + width / 2 (white); None is found from the slice."""

    width: float | None = None
    level: float | None = None

    def grey(self, picture_YX: np.ndarray) -> np.ndarray:
        """(Y, X) float32 in 0 ... 1."""
        low, high = np.percentile(picture_YX, [_DARKEST, _BRIGHTEST])
        width = self.width or max(float(high - low), 1e-12)
        level = self.level if self.level is not None else float(low + high) / 2
        grey: np.ndarray = np.clip((picture_YX - level) / width + 0.5, 0, 1).astype(np.float32)
        return grey


def write_slices(path: Path, slices: np.ndarray, window: Window) -> None:
    """(Y, X), or a stack (n, Y, X) for all but PNG, by the path's suffix. Raises OutputError."""
    suffix = path.suffix.lower()
    if suffix == ".png" and slices.ndim == 2:
        write_image(path, window.grey(slices))
        return
    if suffix not in SLICES or suffix == ".png":
        fits = "a stack of slices fits" if suffix == ".png" else "slices fit"
        raise OutputError(f"{path}: {fits} no {suffix or 'file without a suffix'}; choose .npy or .tif.")
    with replacing(path) as temporary:
        if suffix == ".npy":
            with temporary.open("xb") as file:
                np.save(file, np.asarray(slices, np.float32), allow_pickle=False)
        else:
            tifffile.imwrite(temporary, np.asarray(slices, np.float32), photometric="minisblack", metadata=None)


class Growing:
    """A stack (count, Y, X) float32 that is written slice by slice, next to where it will be.

    key : what the stack is made of; a stack of another key is begun anew. done : slices that are there already.
    """

    def __init__(self, path: Path, count: int, size: int, key: str) -> None:
        self.path, self.key = path, key
        self.part = path.with_name(f".{path.stem[:100]}.part.npy")
        self.note = path.with_name(f".{path.stem[:100]}.part.json")
        self.done = self._found((count, size, size))
        make_folder(path.parent)
        try:
            if self.done:
                self.stack = np.load(self.part, mmap_mode="r+")
            else:
                self.stack = np.lib.format.open_memmap(self.part, "w+", np.float32, (count, size, size))
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, picture_YX: np.ndarray) -> None:
        """The next slice, on the disk before the note says so."""
        try:
            self.stack[self.done] = picture_YX
            self.stack.flush()
            self.done += 1
            temporary = self.note.with_suffix(".tmp")
            temporary.write_text(json.dumps({"key": self.key, "done": self.done}))
            os.replace(temporary, self.note)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def finish(self, path: Path, window: Window) -> None:
        """The stack, whole, at its path."""
        if path.suffix.lower() == ".npy":
            try:
                os.replace(self.part, path)
            except OSError as error:
                raise cannot_write(path, error) from error
        else:
            write_slices(path, self.stack, window)
        for left in (self.part, self.note):
            with suppress(OSError):
                left.unlink()

    def _found(self, shape: tuple[int, int, int]) -> int:
        """Slices of the same stack that an earlier run finished."""
        try:
            noted = json.loads(self.note.read_text())
            known = np.load(self.part, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return 0
        fits = isinstance(noted, dict) and noted.get("key") == self.key and known.shape == shape
        done = noted.get("done") if fits and known.dtype == np.float32 else 0
        return done if isinstance(done, int) and 0 <= done <= shape[0] else 0
