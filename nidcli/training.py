"""Around a run of learning: the preset with what the command line changes, its plan, and the file that it ends in."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from nidcli.artifacts import Metadata, save_model
from nidcli.errors import UsageError
from nidcli.files.collections import PhotoCollection, open_collection
from nidcli.gates import GateSpec
from nidcli.imaging import encode, render
from nidcli.learn import Learner
from nidcli.learn_spec import LearnSpec
from nidcli.metadata import Terms, described
from nidcli.metrics import psnr
from nidcli.model import LevelSpec, Model
from nidcli.progress import total_steps
from nidcli.report import rank
from nidcli.sampling import Collection, omp_coder

JUDGED = 32  # held-out photos on which the finished dictionary is measured
TOGETHER = 8  # of them coded at once
HALF_LOSS = 0.05  # dB; with less the file stores its networks in half precision
KEPT = re.compile(r"prior_|left_|rough_|misfit_")  # statistics that a file keeps in single precision
MOST_PIXELS = 32  # samples a cell side, at most, that --cells asks for: a cell's signal is a vector of their square


@dataclass(frozen=True, kw_only=True)
class Preset(LearnSpec, Terms):
    """A preset of `learn-dict`: how to learn, and on what terms the photos may be used."""

    @property
    def learn(self) -> LearnSpec:
        """How to learn, alone."""
        return self.part(LearnSpec)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What the command line changes; None leaves a value as it is. Of levels the finest is meant, for top_k all."""

    experts: int | None = None
    top_k: int | None = None
    cells: int | None = None
    overlap: float | None = None
    size: int | None = None
    steps: int | None = None
    holdout: int | None = None
    seed: int | None = None
    gate: str | None = None
    licence: str | None = None
    attribution: str | None = None


AnyPreset = TypeVar("AnyPreset", bound=Terms)


def on_terms(preset: AnyPreset, changes: Changes) -> AnyPreset:
    """The preset with what means the same for every kind: what is held out, the seed, and the terms of the data."""
    c = changes
    given = {"holdout": c.holdout, "seed": c.seed, "data_licence": c.licence, "data_attribution": c.attribution}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(preset, **changed)


@dataclass(frozen=True)
class Plan:
    """What a dry run tells. memory : bytes at the most, about; file_bytes : likewise."""

    images: int
    held_out: int
    experts: int
    top_k: int
    steps: int
    memory: int
    file_bytes: int


@dataclass(frozen=True)
class Learned:
    """The finished dictionary. rank : of each level; psnr : of held-out photos, NaN if none are; samples : photos."""

    experts: int
    top_k: int
    rank: tuple[int, ...]
    psnr: float
    samples: int


def adjusted(preset: Preset, changes: Changes) -> Preset:
    """The preset with the changes, and what follows from them. Raises UsageError where they do not fit together."""
    c = changes
    if c.gate not in (None, "cell", "none"):
        raise UsageError(f"--gate {c.gate} is for --method moe; give cell or none.")
    spec = replace(
        on_terms(preset, c),
        size=c.size or preset.size,
        steps=c.steps or preset.steps,
    )
    *coarse, finest = spec.model.levels
    if c.cells is not None:
        pixels = min(MOST_PIXELS, -(-spec.size // c.cells)) if c.cells else finest.pixels
        spec = replace(spec, fine_pixels=round(spec.fine_pixels * pixels / finest.pixels))
        finest = replace(finest, cells=c.cells, pixels=pixels, overlap=1 / pixels)
    if c.overlap is not None:
        finest = replace(finest, overlap=c.overlap)
    if c.experts is not None:
        bank = replace(finest.dictionary, experts=c.experts)
        finest = replace(finest, dictionary=bank, basis=min(finest.basis, c.experts // 2))
    levels = tuple(_coded(level, c.top_k) for level in (*coarse, finest))
    gate = spec.model.gate if c.gate is None else None if c.gate == "none" else spec.model.gate or GateSpec()
    return replace(spec, model=replace(spec.model, levels=levels, gate=_fitting(gate, levels[-1])))


def open_data(
    data: Sequence[str], spec: Preset, *, recursive: bool, files_from: Path | None, warn: Callable[[str], None]
) -> PhotoCollection:
    """The photos to learn from."""
    channels = spec.model.levels[0].dictionary.channels
    return open_collection(data, channels, recursive=recursive, files_from=files_from, warn=warn)


def learner(spec: Preset, collection: Collection, device: str, limit: float | None) -> Learner:
    """What learns the dictionary."""
    return Learner(spec.learn, collection, device, limit)


def plan(learner: Learner, budget: int) -> Plan:
    """The size of a run, without a step of it. budget : bytes of photos that are kept."""
    spec, model = learner.spec, learner.model
    levels = spec.model.levels
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    photos = len(learner.collection) * spec.size**2 * levels[-1].dictionary.channels * 4
    memory = min(budget, photos) + 8 * numbers + max(_work(level, spec) for level in levels)
    return Plan(
        images=len(learner.collection),
        held_out=len(learner.held),
        experts=sum(level.dictionary.experts for level in levels),
        top_k=max(level.top_k for level in levels),
        steps=total_steps(spec),
        memory=memory,
        file_bytes=2 * numbers,
    )


def save(
    path: Path,
    learner: Learner,
    preset: Preset,
    command: str,
    data_digest: str,
    *,
    units: str = Metadata.units,
    always_half: bool = False,
) -> Learned:
    """Measure the finished dictionary on held-out photos and write it. No clock enters the file.

    units : of the field; always_half : store networks in half precision whatever that costs.
    """
    model, spec = learner.model.eval(), learner.spec
    levels = spec.model.levels
    exact = quality(model, learner.collection, learner.held[:JUDGED], spec.size)
    keep = tuple(name for name in model.state_dict() if KEPT.search(name))
    rounded = quality(halved(model, keep), learner.collection, learner.held[:JUDGED], spec.size)
    half = always_half or not exact - rounded > HALF_LOSS
    score = rounded if half else exact
    samples = learner.statistics * learner.photos * _cells(levels[-1], spec.size)
    count = len(learner.collection)
    meta = described(preset, command, data_digest, count, psnr=score, samples=samples, units=units)
    save_model(path, model, meta, half=half, keep_float32=keep)
    experts = sum(level.dictionary.experts for level in levels)
    return Learned(experts, max(level.top_k for level in levels), rank(model), score, learner.train)


@torch.no_grad()
def quality(model: Model, collection: Collection, indices: Sequence[int], size: int) -> float:
    """Mean PSNR in dB of some photos coded by matching pursuit with each level's top_k; NaN for no photos."""
    device = model.level(0).prior_mean_BK.device
    scores: list[float] = []
    for start in range(0, len(indices), TOGETHER):
        images = torch.stack([collection.image(index, size) for index in indices[start : start + TOGETHER]])
        codes = encode(model, images.to(device), omp_coder)
        drawn = torch.stack([render(model, code, size, size).cpu() for code in codes])
        scores += psnr(drawn, images).tolist()
    return math.fsum(scores) / len(scores) if scores else math.nan


def halved(model: Model, keep: tuple[str, ...]) -> Model:
    """A copy whose values are those that a file in half precision brings back."""
    half = copy.deepcopy(model)
    state = half.state_dict()
    half.load_state_dict({name: t if name in keep else t.half().to(t.dtype) for name, t in state.items()})
    return half


def _coded(level: LevelSpec, top_k: int | None) -> LevelSpec:
    experts = level.dictionary.experts
    if top_k is not None and top_k > experts:
        raise UsageError(f"--top-k {top_k} is more than there are experts ({experts}); ask for fewer.")
    return replace(level, top_k=min(top_k or level.top_k, experts))


def _fitting(gate: GateSpec | None, level: LevelSpec) -> GateSpec | None:
    """Without rounds where there are too few learned experts to choose candidates from."""
    if gate is None:
        return None
    if not level.basis:
        raise UsageError("A gate needs orthonormal experts; give --gate none, or `basis` and more experts.")
    learned = level.dictionary.experts - level.orthonormal
    return gate if learned >= 2 * gate.rounds * gate.candidates else replace(gate, rounds=0)


def _cells(level: LevelSpec, size: int) -> int:
    """Cells of a training photo that share a bank."""
    return ((level.cells or -(-size // level.pixels)) ** 2) if level.shared else 1


def _work(level: LevelSpec, spec: LearnSpec) -> int:
    """Bytes that learning a level needs beside its weights: statistics, a design, the batch at both resolutions."""
    K, C = level.dictionary.experts, level.dictionary.channels
    M = C * level.window(level.pixels).row_YH.shape[1] ** 2
    fine = spec.fine_pixels * level.pixels // spec.model.levels[-1].pixels
    P = C * level.window(fine).row_YH.shape[1] ** 2 if fine else 0
    learning = 4 * (2 * K * K + 3 * K * min(spec.components, M)) + 16 * M * M
    fitting = 4 * K * (3 * M + P) + 8 * (M + P) * max(M, K) // 3
    return 4 * spec.batch * (2 * M + P) + max(learning, fitting)
