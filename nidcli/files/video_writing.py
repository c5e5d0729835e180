"""Video to files: MP4 with AV1, which browsers play, any size, every frame with its own time.

AV1 is coded by the encoder that OpenCV brings for AVIF pictures (libaom, BSD), a group of frames at a time; the groups
become one file (files/mp4.py). No encoder for H.264 comes without the GPL or a licence of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from nidcli.errors import OutputError
from nidcli.files.atomic import cannot_write, replacing
from nidcli.files.mp4 import Coded, Mp4, samples_of

GROUP = 64  # frames that are coded together, the first of them without reference to others
GROUP_BYTES = 1 << 26  # of such frames, so that large ones come in shorter groups
QUALITY, SPEED = 65, 10  # of AVIF: 0 to 100, and 0 (slow) to 10
_WAITING = 2  # groups that wait to be coded


class VideoWriter:
    """Frames of one size, coded in a thread of their own while the next ones are made."""

    def __init__(self, path: Path, mp4: Mp4) -> None:
        self._path, self._mp4 = path, mp4
        self._group = max(2, min(GROUP, GROUP_BYTES // (3 * mp4.width * mp4.height)))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="nid-video")
        self._coding: list[Future[None]] = []
        self._frames: list[np.ndarray] = []
        self._masks: list[np.ndarray | None] = []
        self._times: list[float] = []

    def add(self, frame_HWC: np.ndarray, seconds: float, mask_HW: np.ndarray | None = None) -> None:
        """A frame, uint8 RGB, and its time, later than that of the one before; black where a mask is False."""
        self._frames.append(frame_HWC)
        self._masks.append(mask_HW)
        self._times.append(seconds)
        if len(self._frames) == self._group:
            self._flush()

    def close(self, last: float) -> None:
        """Wait for the coder and write the index. last : seconds that the last frame is shown."""
        if self._frames:
            self._flush()
        self._pool.shutdown()
        for future in self._coding:
            future.result()
        self._mp4.close(last)

    def abandon(self) -> None:
        """Stop at once."""
        self._pool.shutdown(cancel_futures=True)
        self._mp4.abandon()

    def _flush(self) -> None:
        group = (self._frames, self._masks, self._times)
        self._frames, self._masks, self._times = [], [], []
        while len(self._coding) >= _WAITING:
            self._coding.pop(0).result()
        self._coding.append(self._pool.submit(self._code, *group))

    def _code(self, frames: list[np.ndarray], masks: list[np.ndarray | None], times: list[float]) -> None:
        shown = [f if m is None else cv2.bitwise_and(f, f, mask=m.view(np.uint8)) for f, m in _pairs(frames, masks)]
        self._mp4.add(coded(shown, self._path), times)


def _pairs(frames: list[np.ndarray], masks: list[np.ndarray | None]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    return ((np.ascontiguousarray(frame), mask) for frame, mask in zip(frames, masks, strict=True))


@contextmanager
def writing(path: Path, width: int, height: int, last: float) -> Iterator[VideoWriter]:
    """A writer whose file appears when the block ends well. last : seconds that the last frame is shown."""
    with replacing(path) as temporary:
        writer = VideoWriter(path, Mp4(temporary, width, height))
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.close(last)


def write_mask(path: Path, mask_HW: np.ndarray) -> None:
    """A mask as PNG, 0 or 255."""
    done, data = cv2.imencode(".png", mask_HW.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise OutputError(f"{path} cannot be written: OpenCV does not code it; choose another place with -o.")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise cannot_write(path, error) from error


def coded(frames: list[np.ndarray], path: Path) -> Coded:
    """Frames, uint8 RGB, as AV1. Raises OutputError where this build of OpenCV has no such encoder."""
    animation = cv2.Animation()
    turned = [np.ascontiguousarray(frame[:, :, ::-1]) for frame in frames]
    animation.frames = turned if len(turned) > 1 else turned * 2  # one alone would become a picture
    animation.durations = [40] * len(animation.frames)  # the times are written by the MP4 file
    options = [cv2.IMWRITE_AVIF_QUALITY, QUALITY, cv2.IMWRITE_AVIF_SPEED, SPEED]
    try:
        done, data = cv2.imencodeanimation(".avif", animation, options)
        sequence = samples_of(data.tobytes()) if done else None
    except (cv2.error, ValueError):
        sequence = None
    if sequence is None:
        raise OutputError(f"{path} cannot be written: this OpenCV codes no AV1; install opencv-python-headless 5.")
    return Coded(sequence.samples[: len(frames)], sequence.setup)
