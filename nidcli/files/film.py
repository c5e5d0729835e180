"""Video files as runs of frames to learn from: decoded one after another, with OpenCV."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from nidcli.errors import InputError


class Clip:
    """The frames of a video file, by number; reading them in order costs one pass."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._film, self._next = cv2.VideoCapture(str(path)), 0
        self._count = int(self._film.get(cv2.CAP_PROP_FRAME_COUNT))
        if not self._film.isOpened() or self._count < 1 or not self._film.grab():
            raise InputError(f"{path} is not a video that can be read; give an AVI, MP4, MOV or MKV file.")
        self._next = 1

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """FILE[index]."""
        return f"{self.path}[{index}]"

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8, RGB. Raises InputError for a frame that cannot be decoded."""
        if index < self._next:
            self._film.release()
            self._film, self._next = cv2.VideoCapture(str(self.path)), 0
        while self._next < index and self._film.grab():
            self._next += 1
        whole, frame = self._film.read()
        self._next += 1
        if not whole:
            raise InputError(f"{self.name(index)} cannot be decoded; the file may be cut short.")
        return np.ascontiguousarray(frame[:, :, ::-1])

    def feed(self, update: Callable[[bytes], None]) -> None:
        """The content of the file."""
        update(hashlib.sha256(self.path.read_bytes()).digest())
