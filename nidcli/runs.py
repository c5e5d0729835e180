"""The folder of a run: progress in `metrics.jsonl`, and a checkpoint from which an interrupted run goes on.

A checkpoint is a safetensors file, written under a temporary name and renamed, with one JSON document under the
metadata key `nid`: where the run stands, and what it is a run of. Loading runs no code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import safetensors
import safetensors.torch

from nidcli.errors import ArtifactError, NidError, OutputError, UsageError
from nidcli.files.atomic import cannot_write, make_folder, replacing
from nidcli.files.plots import Curve, draw_plot
from nidcli.learn_spec import LearnSpec
from nidcli.outcome import keys_of
from nidcli.progress import OneStage, Place, Running, steps_done, told, total_steps
from nidcli.structure import from_plain, to_plain

EVERY = 60.0  # seconds between two checkpoints


class Interrupted(NidError):
    """The user stopped the run; its checkpoint is written."""

    exit_code = 130


@dataclass(frozen=True)
class _Mark:
    """The document of a checkpoint. metrics : bytes of metrics.jsonl that belong to it."""

    stage: str
    level: int
    cell: int
    step: int
    seconds: float
    spec_digest: str
    data_digest: str
    metrics: int


@dataclass(frozen=True)
class RunFolder:
    """Where a run leaves its traces. spec_digest, data_digest : what a run must share with the checkpoint it goes on
    from."""

    path: Path
    spec_digest: str
    data_digest: str

    @staticmethod
    def of(path: Path, spec: LearnSpec | OneStage, data_digest: str) -> RunFolder:
        """The folder of a run of that spec on those data."""
        text = json.dumps(to_plain(spec), sort_keys=True)
        return RunFolder(path, hashlib.sha256(text.encode()).hexdigest(), data_digest)

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def start(self, learner: Running, *, resume: bool, overwrite: bool) -> None:
        """Begin anew, or bring the learner to where the checkpoint stands (`resume`, and there is one).

        Raises OutputError for a checkpoint that neither is to be used nor may be lost.
        """
        make_folder(self.path, probe=True)
        if resume and self.checkpoint.exists():
            self._restore(learner)
            return
        if self.checkpoint.exists() and not overwrite:
            raise OutputError(f"{self.path} holds an unfinished run; give --resume to go on, or --overwrite.")
        self.checkpoint.unlink(missing_ok=True)
        self.metrics.write_bytes(b"")

    def log(self, line: object) -> None:
        """One line of `metrics.jsonl`: the fields of a dataclass."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(keys_of(line)) + "\n")
        except OSError as error:
            raise cannot_write(self.metrics, error) from error

    def save(self, learner: Running) -> None:
        """Write the checkpoint, whole or not at all."""
        size = self.metrics.stat().st_size if self.metrics.exists() else 0
        p = learner.place
        mark = _Mark(p.stage, p.level, p.cell, p.step, p.seconds, self.spec_digest, self.data_digest, size)
        tensors = {name: tensor.contiguous() for name, tensor in learner.state().items()}
        with replacing(self.checkpoint) as temporary:
            safetensors.torch.save_file(tensors, temporary, {"nid": json.dumps(to_plain(mark))})

    def finish(self, line: object) -> None:
        """The last line, `progress.png`, and away with the checkpoint."""
        self.log(line)
        self._plot()
        self.checkpoint.unlink(missing_ok=True)

    def _plot(self) -> None:
        """What was measured over time: the held-out PSNR, and the use of experts where it is logged."""
        plain = [json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in plain if "seconds" in line]
        names: tuple[tuple[str, str, tuple[float, ...]], ...] = (
            ("psnr", "held-out PSNR, dB", ()),
            ("used", "experts used", (0, 1)),
            ("even", "evenness of use", (0, 1)),
        )
        curves = [
            Curve(label, tuple(sorted((line["seconds"], line[key]) for line in lines if line.get(key))), shows=shows)
            for key, label, shows in names
        ]
        if any(curve.points for curve in curves):
            draw_plot(self.path / "progress.png", [curve for curve in curves if curve.points], "seconds")

    def _restore(self, learner: Running) -> None:
        damaged = ArtifactError(f"{self.checkpoint} is damaged; delete it and start again with --overwrite.")
        try:
            with safetensors.safe_open(self.checkpoint, "pt") as file:
                plain = json.loads((file.metadata() or {})["nid"])
            tensors = safetensors.torch.load_file(self.checkpoint)
        except (safetensors.SafetensorError, OSError, KeyError, ValueError):
            raise damaged from None
        mark = from_plain(_Mark, plain, str(self.checkpoint), ArtifactError)
        for what, theirs, ours in (
            ("other options", mark.spec_digest, self.spec_digest),
            ("other data", mark.data_digest, self.data_digest),
        ):
            if theirs != ours:
                raise UsageError(
                    f"{self.path} is a run with {what}; give the same as then, or --overwrite to start again."
                )
        if self.metrics.exists():
            os.truncate(self.metrics, min(mark.metrics, self.metrics.stat().st_size))
        try:
            learner.restore(tensors, Place(mark.stage, mark.level, mark.cell, mark.step, mark.seconds))
        except (KeyError, RuntimeError):
            raise damaged from None


def drive(learner: Running, folder: RunFolder, tell: Callable[[int, int, str], None], every: float = EVERY) -> None:
    """Run to the end, with a checkpoint at the first step of every stage and every so many seconds.

    tell : is told the steps done, those of the whole run (with a time limit its share, if that is more), and a note.
    The first Ctrl-C lets the step at hand finish, saves, and raises Interrupted; a second one stops at once.
    """
    saved, stage, heard, total = time.monotonic(), "", math.nan, total_steps(learner.spec)
    with _stopping() as stop:
        for progress in learner.run():
            folder.log(progress)
            heard = heard if progress.psnr is None else progress.psnr
            share = min(1, progress.seconds / learner.limit) if learner.limit else 0
            tell(max(steps_done(learner.spec, progress), int(total * share)), total, told(progress, heard))
            here = f"{progress.stage} {progress.level} {progress.cell}"
            if stop.is_set() or here != stage or time.monotonic() - saved >= every:
                folder.save(learner)
                saved, stage = time.monotonic(), here
            if stop.is_set():
                where = f"step {progress.step} of {progress.steps} ({progress.stage})"
                raise Interrupted(f"Interrupted at {where}; go on with the same command and --resume.")


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second acts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def first(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
