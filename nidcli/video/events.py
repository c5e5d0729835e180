"""Events: stretches of a clip in which something moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nidcli.video.components import Box, boxes

GAP = 1.0  # seconds of stillness that end an event


@dataclass(frozen=True)
class Event:
    """start and end in seconds, of its first and last moving frame; their numbers; its largest box and where it is."""

    start: float
    end: float
    first_frame: int
    last_frame: int
    largest_box: Box
    largest_frame: int


class EventLog:
    """Events from masks that come one by one."""

    def __init__(self) -> None:
        self._done: list[Event] = []
        self._open: Event | None = None

    def add(self, number: int, seconds: float, mask_HW: np.ndarray) -> None:
        """The mask of a frame."""
        found = boxes(mask_HW) if mask_HW.any() else []
        if self._open is not None and seconds - self._open.end > GAP:
            self._done.append(self._open)
            self._open = None
        if not found:
            return
        largest = max(found, key=lambda box: box.area)
        if self._open is None:
            self._open = Event(seconds, seconds, number, number, largest, number)
            return
        known = self._open
        better = largest.area > known.largest_box.area
        box, frame = (largest, number) if better else (known.largest_box, known.largest_frame)
        self._open = Event(known.start, seconds, known.first_frame, number, box, frame)

    @property
    def events(self) -> tuple[Event, ...]:
        """All events so far, in their order."""
        return (*self._done, *([self._open] if self._open is not None else []))
