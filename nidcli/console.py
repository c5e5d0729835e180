"""What a command tells: results on standard output, progress and messages on standard error.

The only importer of rich, and only on a terminal. Paths and numbers are printed as they are: colour and the bar go to
standard error alone, so that the output of a pipe is always plain.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

from nidcli import __version__
from nidcli.outcome import Item, Outcome, keys_of
from nidcli.outcome import explain as explain

if TYPE_CHECKING:
    from rich.progress import Progress

_REDRAW = 0.1  # seconds between two drawings of the bar
_PLAIN = 5.0  # seconds between two lines of progress where there is no terminal


class Console:
    """The reports of one run of a command; its clock starts when it is made."""

    def __init__(
        self,
        command: str,
        *,
        json: bool = False,
        jsonl: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        debug: bool = False,
    ) -> None:
        self.command, self.verbose, self.debug = command, verbose, debug
        self._json, self._jsonl, self._quiet = json, jsonl, quiet
        self._start = self._shown = time.perf_counter()
        self._bar: Progress | None = None

    def say(self, text: str) -> None:
        """A line of the result; in the JSON modes the document says it instead."""
        if not self._json and not self._jsonl:
            self._print(text)

    def note(self, text: str) -> None:
        """A message on standard error, unless quiet."""
        if not self._quiet:
            self._clear()
            print(text, file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """A message that only -v asks for."""
        if self.verbose:
            self.note(text)

    def item(self, item: Item) -> None:
        """Report an input as it finishes; failures are listed at the end."""
        if self._jsonl:
            self._print(json.dumps(item.document()))
        elif item.error is None:
            self.say(item.line())
        if self.debug and item.error is not None:
            self._clear()
            traceback.print_exception(item.error)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """How far the run is: a bar on a terminal, a line every few seconds elsewhere, nothing when quiet."""
        now = time.perf_counter()
        if self._quiet or now - self._shown < _REDRAW:
            return
        terminal = _is_terminal()
        if not terminal and now - self._shown < _PLAIN:
            return
        self._shown = now
        if not terminal:
            rate = done / (now - self._start)
            left = f", {(total - done) / rate:.0f} s left" if rate else ""
            print(f"{done}/{total}, {rate:.3g}/s{left}{note and ', ' + note}", file=sys.stderr, flush=True)
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.add_task(self.command, total=total, note="")
            self._bar.start()
            atexit.register(self._bar.stop)  # shows the cursor again, however the run ends
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, note=note)
        self._bar.refresh()

    def conclude(
        self,
        outcome: Outcome,
        *,
        dictionary: str | None = None,
        device: str | None = None,
        summary: object | None = None,
    ) -> NoReturn:
        """Print the JSON document and the list of failures, and leave with the exit status.

        summary : a dataclass whose fields become further keys of the document.
        """
        if self._bar is not None:
            self._clear()
            self._bar.stop()
            self._bar = None
        if self._json:
            head = {"command": self.command, "version": __version__, "dictionary": dictionary, "device": device}
            head["seconds"] = round(time.perf_counter() - self._start, 6)  # type: ignore[assignment]
            body = {"items": [item.document() for item in outcome.items]}
            extra = {} if summary is None else keys_of(summary)
            self._print(json.dumps({**head, **extra, **body}, indent=2))
        failed = [item for item in outcome.items if item.error]
        if len(failed) == len(outcome.items) == 1:
            complain(str(failed[0].error))
        elif failed:
            complain(f"{len(failed)} of {len(outcome.items)} inputs failed:")
            print("\n".join(f"  {item.error}" for item in failed), file=sys.stderr)
        if outcome.interrupted:
            complain(f"interrupted after {len(outcome.items) - len(failed)} inputs; what is written is whole.")
        sys.stdout.flush()
        raise SystemExit(outcome.exit_code)

    def _print(self, text: str) -> None:
        self._clear()
        print(text, flush=self._jsonl)

    def _clear(self) -> None:
        """Wipe the bar off its line, so that text can take its place; the next redrawing puts it below."""
        if self._bar is not None:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def complain(sentence: str) -> None:
    """An error on standard error."""
    colour = _is_terminal() and not os.environ.get("NO_COLOR")
    print(f"\x1b[1;31mError:\x1b[0m {sentence}" if colour else f"Error: {sentence}", file=sys.stderr, flush=True)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bar() -> Progress:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Drawn by hand: a drawing thread would write between _clear() and the text that follows it.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Terminal(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
