"""Where the frames of a decomposition go: two videos and a folder of masks, written while the next are computed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree

import numpy as np

from nidcli.files.atomic import make_folder
from nidcli.files.video import Clip, Frame
from nidcli.files.video_writing import VideoWriter, write_mask, writing

MASKS, MASK_BYTES = 64, 1 << 26  # that may wait to be written, and their size


class Sinks:
    """One clip's outputs."""

    def __init__(
        self, folder: Path, background: VideoWriter, foreground: VideoWriter, pool: ThreadPoolExecutor
    ) -> None:
        self._folder, self._background, self._foreground, self._pool = folder, background, foreground, pool
        self._waiting: deque[Future[None]] = deque()

    def add(self, frame: Frame, background_HWC: np.ndarray, mask_HW: np.ndarray) -> None:
        """One frame: its background, uint8, and its mask. The foreground is the frame where the mask is set."""
        self._background.add(background_HWC, frame.seconds)
        self._foreground.add(frame.pixels, frame.seconds, mask_HW)
        path = self._folder / f"{frame.number:06d}.png"
        self._waiting.append(self._pool.submit(write_mask, path, mask_HW))
        self.settle(max(2, min(MASKS, MASK_BYTES // mask_HW.size)))

    def settle(self, leave: int = 0) -> None:
        """Wait until no more than `leave` masks are unwritten, and raise what went wrong."""
        while len(self._waiting) > leave:
            self._waiting.popleft().result()


@contextmanager
def sinks(folder: Path, clip: Clip) -> Iterator[Sinks]:
    """The outputs of a clip in a folder: they appear, in the place of older ones, when the block ends well."""
    masks, fresh = folder / "masks", folder / f".masks.{os.getpid()}.tmp"
    make_folder(fresh)
    try:
        with ExitStack() as stack:
            size = (clip.width, clip.height, clip.last)
            background = stack.enter_context(writing(folder / "background.mp4", *size))
            foreground = stack.enter_context(writing(folder / "foreground.mp4", *size))
            pool = stack.enter_context(ThreadPoolExecutor(2, thread_name_prefix="nid-masks"))
            found = Sinks(fresh, background, foreground, pool)
            yield found
            found.settle()
        if masks.is_dir():
            rmtree(masks)
        fresh.rename(masks)
    finally:
        rmtree(fresh, ignore_errors=True)
