"""Progress of decompose-video: in frames, not in clips."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nidcli.console import Console
    from nidcli.outcome import Item


class FrameProgress:
    """Progress in frames, of this clip and those before it, instead of in clips."""

    def __init__(self, console: Console) -> None:
        self._console, self._before, self._total = console, 0, 0

    def of(self, name: str, count: int) -> Callable[[int], None]:
        """What is told how many frames of the next clip are done."""
        self._before, self._total = self._total, self._total + count
        start = perf_counter()

        def tell(done: int) -> None:
            rate = f"{done / (perf_counter() - start):.0f} frames/s  {name}"
            self._console.progress(self._before + done, self._total, rate)

        return tell

    def item(self, item: Item) -> None:
        """A clip is done."""
        self._console.item(item)

    def progress(self, done: int, total: int) -> None:
        """Clips are not counted."""
