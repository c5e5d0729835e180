"""Clips from files: what OpenCV's FFmpeg decodes (H.264, VP9, ...), and folders of frames; frame by frame, never whole.

Frames are numbered from 1 by their place in the clip, and have their own time stamps, so that a variable frame rate is
kept. Frames that cannot be decoded are left out and leave a gap in the numbers. Rotation in the metadata is applied,
audio is ignored.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a damaged packet would print lines of its own

import cv2
import numpy as np

from nidcli.errors import InputError, NidError
from nidcli.files.image_writing import IMAGE_SUFFIXES
from nidcli.files.images import as_integers, read_image

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
FOLDER_FPS = 25.0  # of a folder of frames, which has no times
_RAW = [cv2.CAP_PROP_FORMAT, -1]  # packets as they are: reading them all takes no time


@dataclass(frozen=True, eq=False)
class Frame:
    """number : from 1; seconds : its time stamp; pixels : (H, W, 3) uint8, RGB."""

    number: int
    seconds: float
    pixels: np.ndarray


@dataclass(frozen=True)
class Clip:
    """A video file or a folder of frames. times : of every frame in seconds, rising; width and height as shown."""

    path: Path
    width: int
    height: int
    times: tuple[float, ...]
    fps: float
    files: tuple[Path, ...] = ()  # of a folder

    @property
    def count(self) -> int:
        return len(self.times)

    @property
    def last(self) -> float:
        """Seconds that the last frame is shown."""
        return 1 / self.fps

    @cached_property
    def digest(self) -> str:
        """sha256 of the files' content in their order, never of their names."""
        digest = hashlib.sha256()
        for path in self.files or (self.path,):
            with suppress(OSError), path.open("rb") as file:  # a frame that cannot be read is left out of the clip too
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Every frame that can be decoded, or only those numbered 1, 1 + every, 1 + 2 every, ..."""
        return self._of_folder(every) if self.files else self._of_video(every)

    def _of_folder(self, every: int) -> Iterator[Frame]:
        for i in range(0, self.count, every):
            try:
                pixels = _photo(self.files[i])
            except NidError:
                continue
            if pixels.shape[:2] == (self.height, self.width):
                yield Frame(i + 1, self.times[i], pixels)

    def _of_video(self, every: int) -> Iterator[Frame]:
        capture = _opened(self.path)
        last, wanted = 0, 1
        try:
            while capture.grab():
                seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                number = max(self._place(seconds), last + 1)
                last = number
                if number < wanted:
                    continue
                done, pixels = capture.retrieve()
                if done and pixels is not None and pixels.shape[:2] == (self.height, self.width):
                    wanted = 1 + every * (1 + (number - 1) // every)
                    yield Frame(number, self.times[number - 1] if number <= self.count else seconds, pixels[:, :, ::-1])
        finally:
            capture.release()

    def _place(self, seconds: float) -> int:
        """The number of the frame whose time is nearest."""
        i = bisect_left(self.times, seconds)
        near = [j for j in (i - 1, i) if 0 <= j < self.count]
        return 1 + min(near, key=lambda j: abs(self.times[j] - seconds), default=0)


def open_clip(path: Path) -> Clip:
    """Raises InputError, in one sentence, for what holds no frames that can be decoded."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    capture = _opened(path)
    done, pixels = capture.read()
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    if not done or pixels is None:
        raise InputError(f"{path} holds no frame that can be decoded; give another file, or a folder of its frames.")
    times = _times(path)
    fps = fps if 0.01 < fps < 1000 else (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else FOLDER_FPS
    if len(set(times)) < len(times) or not times:  # no time stamps worth the name
        times = tuple(i / fps for i in range(len(times)))
    return Clip(path, pixels.shape[1], pixels.shape[0], times, fps)


def _opened(path: Path, options: Sequence[int] = ()) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, list(options))
    if not capture.isOpened():
        raise InputError(f"{path} is no video that can be read, or is damaged; convert it to MP4 with H.264 or VP9.")
    return capture


def _times(path: Path) -> tuple[float, ...]:
    """Time stamps of all packets, in the order in which they are shown."""
    capture = _opened(path, _RAW)
    times = []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    capture.release()
    return tuple(sorted(times))


def _folder(path: Path) -> Clip:
    files = frames_in(path)
    first = None
    for file in files:
        try:
            first = _photo(file)
            break
        except NidError:
            continue
    if first is None:
        raise InputError(f"{path} holds no frame that can be read; put images of one size there.")
    times = tuple(i / FOLDER_FPS for i in range(len(files)))
    return Clip(path, first.shape[1], first.shape[0], times, FOLDER_FPS, tuple(files))


def frames_in(folder: Path) -> list[Path]:
    """Images in a folder, sorted by name, numbers in their order."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    return sorted(found, key=lambda p: [int(s) if s.isdigit() else s for s in _split(p.name)])


def _split(name: str) -> list[str]:
    parts = [""]
    for letter in name:
        if parts[-1] and letter.isdigit() != parts[-1][-1].isdigit():
            parts.append("")
        parts[-1] += letter
    return parts if not parts[0].isdigit() else ["", *parts]  # text and numbers alternate, text first


def _photo(path: Path) -> np.ndarray:
    pixels = as_integers(read_image(path).pixels, 8)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, 2)
