"""Where a run of learning stands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from nidcli.learn_spec import LearnSpec


class OneStage(Protocol):
    """A spec whose steps are those of the whole run."""

    @property
    def steps(self) -> int: ...


@dataclass(frozen=True)
class Progress:
    """One line of `metrics.jsonl`."""

    stage: str
    level: int
    cell: int
    step: int
    steps: int
    seconds: float
    psnr: float | None = None


class Place:
    """Where a run stands: what a checkpoint records besides tensors. It moves as the run goes on."""

    def __init__(
        self, stage: str = "atoms", level: int = 0, cell: int = 0, step: int = 0, seconds: float = 0.0
    ) -> None:
        self.stage, self.level, self.cell, self.step, self.seconds = stage, level, cell, step, seconds


class Running(Protocol):
    """What `runs.drive` drives: a `nidcli.learn.Learner`, or what does as it does."""

    place: Place
    limit: float | None

    @property
    def spec(self) -> LearnSpec | OneStage: ...
    def run(self) -> Iterator[Progress]: ...
    def state(self) -> dict[str, Tensor]: ...
    def restore(self, tensors: dict[str, Tensor], place: Place) -> None: ...


def total_steps(spec: LearnSpec | OneStage) -> int:
    """Steps of a whole run: those of every bank and of the stages after the last."""
    if not isinstance(spec, LearnSpec):
        return spec.steps
    banks = _banks(spec, len(spec.model.levels)) * (spec.steps + spec.polish_steps)
    return banks + sum(last_steps(spec).values())


def steps_done(spec: LearnSpec | OneStage, progress: Progress) -> int:
    """How many of `total_steps` are done."""
    if not isinstance(spec, LearnSpec):
        return progress.step
    bank = spec.steps + spec.polish_steps
    last = last_steps(spec)
    if progress.stage in last:
        before = list(last.values())[: list(last).index(progress.stage)]
        return _banks(spec, len(spec.model.levels)) * bank + sum(before) + progress.step
    done = _banks(spec, progress.level) + progress.cell
    return done * bank + (spec.steps if progress.stage == "polish" else 0) + progress.step


def told(progress: Progress, heard: float) -> str:
    """A line about where the run stands. heard : the last held-out PSNR, or NaN."""
    level = f", level {progress.level + 1}" if progress.level else ""
    judged = "" if math.isnan(heard) else f", held-out psnr {heard:.2f}"
    return f"{progress.stage} {progress.step}/{progress.steps}{level}{judged}"


def last_steps(spec: LearnSpec) -> dict[str, int]:
    """Steps of the stages after the last bank, in their order."""
    model = spec.model
    return {
        "gate": spec.gate_steps if model.gate else 0,
        "whole": 1 if model.whole else 0,
        "mixture": 1 if model.mixture else 0,
        "encoder": spec.encoder_steps if model.encoder else 0,
        "detector": spec.detector_steps if model.detector else 0,
        "finisher": spec.finisher_steps if model.finisher else 0,
        "shape": spec.steps if model.shape else 0,
        "corrector": spec.corrector_steps if model.corrector else 0,
    }


def _banks(spec: LearnSpec, levels: int) -> int:
    """Banks of the first levels."""
    return sum(1 if level.shared else level.cells**2 for level in spec.model.levels[:levels])
