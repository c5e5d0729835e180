"""What became of the inputs: the items of a report, for people and as JSON, and the exit status that they amount to."""

from __future__ import annotations

import dataclasses
import errno
import math
from collections.abc import Mapping

from nidcli.errors import NidError, OutputError


@dataclasses.dataclass(frozen=True)
class Item:
    """What became of one input.

    seconds : its own time of reading and writing and its share of its batch's computing; report : a dataclass whose
    fields are the keys that the command adds; bytes : size of the file written; skipped : its output was there
    already; planned : a dry run.
    """

    input: str
    output: str | None = None
    seconds: float = 0.0
    report: object | None = None
    bytes: int | None = None
    skipped: bool = False
    planned: bool = False
    error: NidError | None = None

    def document(self) -> dict[str, object]:
        """The item in the terms of JSON, as the command-line contract has it."""
        if self.error is not None:
            return {"input": self.input, "error": str(self.error)}
        document: dict[str, object] = {"input": self.input, "output": self.output, "seconds": round(self.seconds, 6)}
        if self.skipped or self.planned:
            document["skipped" if self.skipped else "planned"] = True
        document |= keys_of(self.report)
        return document if self.bytes is None else {**document, "bytes": self.bytes}

    def line(self) -> str:
        """The item for people."""
        name = self.input if self.output is None else f"{self.input} -> {self.output}"
        if self.skipped:
            return f"{name}  skipped, exists already"
        keys = keys_of(self.report) | ({} if self.bytes is None else {"bytes": self.bytes})
        shown = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in keys.items() if _is_scalar(v)]
        return "  ".join([name, *shown] if self.planned else [name, *shown, f"{self.seconds:.3f} s"])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of all inputs, in their order."""

    items: tuple[Item, ...] = ()
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some failed, 130 interrupted; if none is done what they failed of, 4 where that differs."""
        codes = {item.error.exit_code for item in self.items if item.error}
        if self.interrupted:
            return 130
        if codes and any(item.error is None for item in self.items):
            return 3
        return 0 if not codes else codes.pop() if len(codes) == 1 else 4


def keys_of(report: object | None) -> dict[str, object]:
    """The fields of a dataclass in the terms of JSON; a number that is not finite becomes null."""
    if report is None:
        return {}
    return {f.name: _plain(getattr(report, f.name)) for f in dataclasses.fields(report)}  # type: ignore[arg-type]


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if dataclasses.is_dataclass(value):
        return keys_of(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return str(value)


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float)) and value != ""


def explain(error: BaseException, subject: str = "") -> NidError:
    """Any error as one sentence for the user; `subject` is the file it concerns, if one is known."""
    where = f"{subject}: " if subject else ""
    if isinstance(error, NidError):
        return error
    # Memory runs out in Python, in torch on the CPU (a RuntimeError) and in torch on the GPU.
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "not enough memory" in str(error)
    ):
        return NidError(f"{where}the memory is not enough; make it smaller with --size, or close other programs.")
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return OutputError(f"{where}the disk is full; free some space or choose another place with -o.")
        name = subject or error.filename or "A file"
        return NidError(f"{name} cannot be used: {error.strerror or error}; check the path.")
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return NidError(f"{where}nid met an unexpected {what}; run again with --debug and report what it prints.")
