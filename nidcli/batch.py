"""Many inputs through one computation: reading and writing in threads while the main thread computes.

A folder goes on when one of its inputs fails. An interrupt keeps what is finished and leaves nothing half-written.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from nidcli.errors import InputError, OutputError
from nidcli.files.atomic import cannot_write, disk_is_full, make_folder
from nidcli.files.inputs import Input
from nidcli.files.outputs import Job
from nidcli.outcome import Item, Outcome, explain

_BUDGET = 1 << 29  # bytes of inputs read ahead of the computation
_FULL = "the disk is full; free some space and go on with --skip-existing"
_WORKERS = max(2, min(8, os.cpu_count() or 2))
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")


class Reporter(Protocol):
    """Who is told what becomes of the inputs: the console."""

    def item(self, item: Item) -> None: ...

    def progress(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Done:
    """The result for one input.

    report : a dataclass whose fields are the keys of the item, or None; write : puts the result at the path it is
    given, whole or not at all, in another thread, where torch should not be asked to compute.
    """

    report: object | None = None
    write: Callable[[Path], object] | None = None


def run(
    jobs: Sequence[Job],
    load: Callable[[Input], Loaded],
    compute: Callable[[list[Loaded]], list[Done]],
    console: Reporter,
    *,
    size: int = 1,
    key: Callable[[Loaded], Hashable] = lambda loaded: None,
) -> Outcome:
    """Load, compute and write every job, reporting each as it finishes.

    load : called in threads; its results may have `nbytes`, by which reading ahead is limited.
    compute : called in this thread with up to `size` results of equal `key`; gives one Done for each, in their order.
    If it fails, every one of them is tried alone, so that one bad input does not take others with it.
    """
    return _Run(jobs, load, compute, console, size, key).outcome()


def dry_run(jobs: Sequence[Job], console: Reporter) -> Outcome:
    """The same report of what would be done, without doing it."""
    items = []
    for job in jobs:
        error = InputError(job.input.problem) if job.input.problem else None
        output = None if job.output is None else str(job.output)
        items.append(Item(str(job.input.path), output, skipped=job.skip, planned=not job.skip, error=error))
        console.item(items[-1])
    return Outcome(tuple(items))


@dataclass(frozen=True)
class _Task(Generic[Loaded]):
    """A job on its way."""

    number: int
    job: Job
    loaded: Loaded
    seconds: float
    report: object | None = None


class _Run(Generic[Loaded]):
    def __init__(
        self,
        jobs: Sequence[Job],
        load: Callable[[Input], Loaded],
        compute: Callable[[list[Loaded]], list[Done]],
        console: Reporter,
        size: int,
        key: Callable[[Loaded], Hashable],
    ) -> None:
        self.jobs, self.load, self.compute, self.console, self.size, self.key = jobs, load, compute, console, size, key
        self.pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="nid-files")
        self.items: dict[int, Item] = {}
        self.writes: deque[tuple[_Task[Loaded], Future[tuple[int | None, float]]]] = deque()
        self.typical = 0.0  # bytes of a loaded input, leaning to the large ones
        self.full = False  # the disk

    def outcome(self) -> Outcome:
        interrupted = False
        try:
            self._work()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            # Files that are being written become whole, those that wait are dropped.
            self.pool.shutdown(wait=True, cancel_futures=True)
        if interrupted:
            self._collect(0)
        return Outcome(tuple(self.items[number] for number in sorted(self.items)), interrupted)

    def _work(self) -> None:
        groups: dict[Hashable, list[_Task[Loaded]]] = {}
        waiting = 0
        for task in self._read():
            name = self.key(task.loaded)
            groups.setdefault(name, []).append(task)
            waiting += 1
            if len(groups[name]) < self.size:
                if waiting < self._ahead():
                    continue
                name = max(groups, key=lambda other: len(groups[other]))
            group = groups.pop(name)
            waiting -= len(group)
            self._compute(group)
        for group in groups.values():
            self._compute(group)
        self._collect(0)

    def _ahead(self) -> int:
        """How many inputs may be in memory before they are computed."""
        return max(1, min(4 * self.size + 2 * _WORKERS, int(_BUDGET / max(self.typical, 1))))

    def _read(self) -> Iterator[_Task[Loaded]]:
        """Loaded inputs in their order; the first few tell how large they are before more are read ahead."""
        coming = deque(enumerate(self.jobs))
        reading: deque[tuple[int, Job, Future[tuple[Loaded, float]]]] = deque()
        while coming or reading:
            self._read_ahead(coming, reading)
            if not reading:
                continue
            number, job, future = reading.popleft()
            if self.full:
                future.cancel()
                self._finish(number, job, error=OutputError(f"{job.input.path} is not done: {_FULL}."))
                continue
            try:
                loaded, seconds = future.result()
            except Exception as error:
                self._finish(number, job, error=error)
                continue
            self.typical = max(float(getattr(loaded, "nbytes", 1)), 0.9 * self.typical)
            self._read_ahead(coming, reading)  # so that threads read while this one is computed
            yield _Task(number, job, loaded, seconds)

    def _read_ahead(
        self, coming: deque[tuple[int, Job]], reading: deque[tuple[int, Job, Future[tuple[Loaded, float]]]]
    ) -> None:
        while coming and len(reading) < (self._ahead() if self.typical else _WORKERS):
            number, job = coming.popleft()
            if job.skip or job.input.problem:
                self._finish(number, job, error=InputError(job.input.problem) if job.input.problem else None)
            else:
                reading.append((number, job, self.pool.submit(_timed, self.load, job.input)))

    def _compute(self, tasks: list[_Task[Loaded]]) -> None:
        try:
            results, seconds = _timed(self.compute, [task.loaded for task in tasks])
            if len(results) != len(tasks):
                raise ValueError(f"{len(results)} results for {len(tasks)} inputs")
        except Exception as error:
            if len(tasks) == 1:
                self._finish(tasks[0].number, tasks[0].job, error=error)
            else:
                for task in tasks:
                    self._compute([task])
            return
        share = seconds / len(tasks)
        for loaded, done in zip(tasks, results, strict=True):
            task = replace(loaded, seconds=loaded.seconds + share, report=done.report)
            if done.write is None or task.job.output is None:
                self._finish(task.number, task.job, task)
            else:
                self.writes.append((task, self.pool.submit(_timed, _write, task.job.output, done.write)))
        self._collect(min(self.size + _WORKERS, self._ahead()))

    def _collect(self, leave: int) -> None:
        """Report the writes that are finished, and wait until no more than `leave` are under way."""
        while self.writes and (self.writes[0][1].done() or len(self.writes) > leave):
            task, future = self.writes[0]
            if not future.cancelled():
                future.exception()  # waits; an interrupt of that leaves it to be reported
            self.writes.popleft()
            if future.cancelled():
                continue
            try:
                size, seconds = future.result()
            except Exception as error:
                self.full = self.full or disk_is_full(error)
                self._finish(task.number, task.job, error=error)
                continue
            self._finish(task.number, task.job, replace(task, seconds=task.seconds + seconds), size)

    def _finish(
        self,
        number: int,
        job: Job,
        task: _Task[Loaded] | None = None,
        size: int | None = None,
        error: Exception | None = None,
    ) -> None:
        told = None if error is None else explain(error, str(job.input.path))
        if told is not None and told is not error:
            told.__cause__ = error
        output = None if job.output is None else str(job.output)
        seconds, report = (0.0, None) if task is None else (task.seconds, task.report)
        item = Item(str(job.input.path), output, seconds, report, size, skipped=job.skip, error=told)
        self.items[number] = item
        self.console.item(item)
        self.console.progress(len(self.items), len(self.jobs))


def _timed(function: Callable[..., Result], *arguments: object) -> tuple[Result, float]:
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def _write(path: Path, write: Callable[[Path], object]) -> int | None:
    """Write one output; its size in bytes if it is a file."""
    try:
        make_folder(path.parent)
        write(path)
        return path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise cannot_write(path, error) from error
