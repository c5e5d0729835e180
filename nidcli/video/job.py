"""One clip from its first frame to its last: background, masks and foreground, written as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from nidcli.errors import InputError, UsageError
from nidcli.files.image_writing import write_image
from nidcli.files.video import Clip, Frame
from nidcli.model import Model
from nidcli.video.events import Event, EventLog
from nidcli.video.masks import Detector
from nidcli.video.scene import change2, codes, picture, rank, render
from nidcli.video.sinks import sinks
from nidcli.video.threshold import auto_threshold, grey_levels, scene_precision
from nidcli.video.windows import Window, windows

Item = TypeVar("Item")
BATCH, BATCH_PIXELS = 16, 1 << 20  # frames that are computed together, and their pixels
AHEAD, AHEAD_BYTES = 24, 1 << 27  # frames that are read while others are computed, and their size


@dataclass(frozen=True)
class Settings:
    """threshold : in grey levels of 255 at a typical pixel, None from the residuals; min_area : pixels of the smallest
    part of a mask; roi : x, y, width and height in pixels, None the whole frame."""

    threshold: float | None = None
    min_area: int = 40
    roi: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Decomposition:
    """What became of a clip. skipped : frames that could not be decoded; fps : of the clip; speed : frames a second of
    the work; threshold : in grey levels; rank : experts that carry the background; moving : share of moving pixels,
    mean over frames."""

    frames: int
    skipped: int
    width: int
    height: int
    fps: float
    speed: float
    threshold: float
    rank: int
    moving: float
    events: tuple[Event, ...]


@dataclass(frozen=True, eq=False)
class Result:
    """The report, the number and the share of moving pixels of every frame, and the latest background."""

    report: Decomposition
    numbers: tuple[int, ...]
    shares: tuple[float, ...]
    model: Model


def decompose(
    clip: Clip,
    folder: Path,
    settings: Settings,
    device: str,
    known: Model | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Result:
    """Write background.png, background.mp4, foreground.mp4 and masks/NNNNNN.png into a folder.

    known : a background to start from, which then is not learned; progress : told how many frames are done.
    Raises UsageError where the region lies outside the frame, InputError where no frame can be decoded.
    """
    start = time.perf_counter()
    finder = _Finder(clip, settings, device)
    size = max(1, min(BATCH, BATCH_PIXELS // (clip.width * clip.height)))
    log, shares, numbers, changes_K = EventLog(), list[float](), list[int](), torch.zeros(1, dtype=torch.float64)
    work = None
    with sinks(folder, clip) as out, ThreadPoolExecutor(1, thread_name_prefix="nid-finder") as pool:
        depth = max(2, min(AHEAD, AHEAD_BYTES // (3 * clip.width * clip.height)))
        batches = scheduled(ahead(clip.frames(), depth), windows(clip, device, known), size)
        for work in one_behind(finder.separate(window, batch, pool) for window, batch in batches):
            changes_K = changes_K + work.change2_K
            for frame, background_HWC, mask_HW in zip(
                work.batch, work.background_THWC, work.masks.result(), strict=True
            ):
                out.add(frame, background_HWC, mask_HW)
                log.add(frame.number, frame.seconds, mask_HW)
                shares.append(float(mask_HW.mean()))
                numbers.append(frame.number)
            progress(len(shares))
        if work is None:
            raise InputError(f"{clip.path} holds no frame that can be decoded; give another file.")
    model = work.model
    write_image(folder / "background.png", picture(model, clip.width, clip.height).clamp(0, 1).cpu().numpy())
    report = Decomposition(
        frames=len(shares),
        skipped=max(0, clip.count - len(shares)),
        width=clip.width,
        height=clip.height,
        fps=clip.fps,
        speed=len(shares) / (time.perf_counter() - start),
        threshold=finder.threshold or 0.0,
        rank=rank(changes_K, len(shares)),
        moving=float(np.mean(shares)),
        events=log.events,
    )
    return Result(report, tuple(numbers), tuple(shares), model)


@dataclass(frozen=True, eq=False)
class _Work:
    """A batch under way. background : uint8; masks : (T, H, W) bool, to come; change2 : of `scene`."""

    batch: list[Frame]
    background_THWC: np.ndarray
    masks: Future[np.ndarray]
    change2_K: Tensor
    model: Model


class _Finder:
    """Background and masks of batches of frames; what depends on a window alone is computed once for it."""

    def __init__(self, clip: Clip, settings: Settings, device: str) -> None:
        self.clip, self.settings, self.device = clip, settings, device
        self.roi_HW = region(settings.roi, clip.width, clip.height, device)
        self.threshold = settings.threshold
        self._window: Window | None = None
        self._detector: Detector | None = None
        self._typical = 0.0  # grey levels in a standard deviation, in the first window

    def separate(self, window: Window, batch: list[Frame], pool: ThreadPoolExecutor) -> _Work:
        """Background of a batch; its masks are found in another thread, beside the background of the next."""
        detector, model = self._prepared(window), window.scene.model
        frames_THWC = torch.from_numpy(np.stack([frame.pixels for frame in batch])).to(self.device).float() / 255
        code = codes(model, frames_THWC)
        background_THWC = render(model, code, self.clip.width, self.clip.height)
        masks = pool.submit(detector.masks, frames_THWC, background_THWC)
        stored = (background_THWC * 255 + 0.5).clamp_(0, 255).to(torch.uint8).cpu().numpy()
        return _Work(batch, stored, masks, change2(code, model.level(0).prior_mean_BK[0]), model)

    def _prepared(self, window: Window) -> Detector:
        if self._detector is None or window is not self._window:
            precision_HWC = scene_precision(window.scene, self.clip.width, self.clip.height)
            self._typical = self._typical or grey_levels(precision_HWC)
            if self.threshold is None:
                self.threshold = self._typical * auto_threshold(window.scene, precision_HWC, window.samples_THWC)
            deviations = self.threshold / self._typical
            self._detector = Detector(precision_HWC, deviations, self.settings.min_area, self.roi_HW)
            self._window = window
        return self._detector


def scheduled(frames: Iterable[Frame], found: Iterator[Window], size: int) -> Iterator[tuple[Window, list[Frame]]]:
    """Frames in batches of up to `size`, each with the window that holds for all of it."""
    window, batch = next(found, None), list[Frame]()
    for frame in frames:
        while window is not None and window.until is not None and frame.number > window.until:
            if batch:
                yield window, batch
                batch = []
            window = next(found, window)
        if window is None:
            return
        batch.append(frame)
        if len(batch) == size:
            yield window, batch
            batch = []
    if batch and window is not None:
        yield window, batch


def one_behind(works: Iterator[Item]) -> Iterator[Item]:
    """The same items, each when the next has been made."""
    held: deque[Item] = deque()
    for work in works:
        held.append(work)
        if len(held) > 1:
            yield held.popleft()
    yield from held


def ahead(frames: Iterator[Frame], depth: int) -> Iterator[Frame]:
    """The same frames, read in another thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="nid-frames") as pool:
        waiting: deque[Future[Frame | None]] = deque(pool.submit(next, frames, None) for _ in range(depth))
        while (frame := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, frames, None))
            yield frame


def region(roi: tuple[int, int, int, int] | None, width: int, height: int, device: str) -> Tensor | None:
    """(H, W) bool, True inside x, y, width, height. Raises UsageError where that holds no pixel of the frame."""
    if roi is None:
        return None
    x, y, w, h = roi
    inside_HW = torch.zeros(height, width, dtype=torch.bool, device=device)
    inside_HW[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = True
    if not bool(inside_HW.any()):
        raise UsageError(f"--roi {x},{y},{w},{h} holds no pixel of a frame of {width} x {height}; give another.")
    return inside_HW
