"""Around a run of `--method moe`: the preset with what the command line changes, its plan, and the file it ends in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from nidcli.artifacts import Metadata, save_model
from nidcli.coding import coder
from nidcli.engine import DENSE_BYTES
from nidcli.errors import UsageError
from nidcli.files.collections import PhotoCollection, open_collection
from nidcli.files.datasets import named_split
from nidcli.imaging import encode, render
from nidcli.metadata import Terms, described
from nidcli.metrics import psnr
from nidcli.model import LevelSpec, Model
from nidcli.moe import balance
from nidcli.moe.gates import MoeGateSpec
from nidcli.moe.learner import MoeLearner, used_and_even
from nidcli.moe.spec import MoeSpec
from nidcli.report import rank
from nidcli.sampling import Collection
from nidcli.training import HALF_LOSS, JUDGED, TOGETHER, Changes, Plan, halved, on_terms

STATISTICS = 8  # batches from which the codes' statistics and the use of the experts are told
PURSUED = 8  # held-out photos that are coded by pursuit where there is no gate
SET = MoeGateSpec(kind="set", width=256, blocks=3, pool="mean", halve=0)


@dataclass(frozen=True, kw_only=True)
class Preset(MoeSpec, Terms):
    """A preset of `learn-dict --method moe`: how to learn, and on what terms the photos may be used."""

    method: Literal["moe"] = "moe"

    @property
    def learn(self) -> MoeSpec:
        """How to learn, alone."""
        return self.part(MoeSpec)


@dataclass(frozen=True)
class Trained:
    """The finished dictionary. psnr : of held-out images, from the gate's codes, or with a lookup table from a
    pursuit's; used : share of the experts that training images use."""

    experts: int
    top_k: int
    rank: tuple[int, ...]
    psnr: float
    samples: int
    used: float


def adjusted(preset: Preset, changes: Changes) -> Preset:
    """The preset with the changes, and what follows from them. Raises UsageError where they do not fit together."""
    c, level = changes, preset.model.levels[0]
    size = c.size or preset.size
    if c.cells is not None:
        pixels = -(-size // c.cells) if c.cells else level.pixels
        level = replace(level, cells=c.cells, pixels=pixels, overlap=1 / pixels)
    if c.overlap is not None:
        level = replace(level, overlap=c.overlap)
    if c.experts is not None:
        level = replace(level, dictionary=replace(level.dictionary, experts=c.experts))
    experts = level.dictionary.experts
    if c.top_k is not None and c.top_k > experts:
        raise UsageError(f"--top-k {c.top_k} is more than there are experts ({experts}); ask for fewer.")
    level = replace(level, top_k=min(c.top_k or level.top_k, experts), basis=0)
    model = replace(preset.model, levels=(level,), moe=_gate(preset.model.moe, c.gate))
    return replace(
        on_terms(preset, c),
        model=model,
        size=size,
        steps=c.steps or preset.steps,
    )


def _gate(gate: MoeGateSpec | None, wanted: str | None) -> MoeGateSpec | None:
    if wanted in ("cell", "none"):
        raise UsageError(f"--gate {wanted} is not for --method moe, which trains a gate; give cnn, set or lookup.")
    if wanted is None or (gate is not None and gate.kind == wanted):
        return gate
    return {"cnn": MoeGateSpec(), "set": SET, "lookup": None}[wanted]


def open_data(
    data: Sequence[str], spec: Preset, *, recursive: bool, files_from: Path | None, warn: Callable[[str], None]
) -> PhotoCollection:
    """The photos to learn from; of a data set with a partition file those for training."""
    channels = spec.model.levels[0].dictionary.channels
    data = [path for name in data for path in named_split(name, "train", warn)]
    return open_collection(data, channels, recursive=recursive, files_from=files_from, warn=warn)


def learner(spec: Preset, collection: Collection, device: str, limit: float | None) -> MoeLearner:
    """What learns the dictionary."""
    return MoeLearner(spec.learn, collection, device, limit)


def plan(learner: MoeLearner, budget: int) -> Plan:
    """The size of a run, without a step of it: weights with Adam's moments, and a batch's dense codes and their load.

    budget : bytes of photos that are kept.
    """
    spec, level = learner.spec, learner.level.spec
    numbers = sum(tensor.numel() for tensor in learner.model.state_dict().values())
    table = sum(parameter.numel() for parameter in learner.gate.parameters()) if learner.model.moe is None else 0
    photos = len(learner.collection) * spec.size**2 * level.dictionary.channels * 4
    cells = learner.photos * learner.cells
    batch = 12 * cells * level.dictionary.experts + 64 * cells * level.pixels**2 * level.dictionary.channels
    return Plan(
        images=len(learner.collection),
        held_out=len(learner.held),
        experts=level.dictionary.experts,
        top_k=level.top_k,
        steps=spec.steps,
        memory=min(budget, photos) + 16 * (numbers + table) + 4 * batch,
        file_bytes=2 * numbers,
    )


def save(
    path: Path,
    learner: MoeLearner,
    preset: Preset,
    command: str,
    data_digest: str,
    units: str = Metadata.units,
) -> Trained:
    """Measure the finished dictionary on held-out photos and write it. No clock enters the file."""
    model, spec = learner.model.eval().requires_grad_(False), learner.spec
    level = spec.model.levels[0]
    used, samples = _statistics(learner)
    exact = quality(model, learner.collection, learner.held[:JUDGED], spec.size)
    keep = tuple(name for name in model.state_dict() if "prior_" in name or "wave_DE" in name)
    rounded = quality(halved(model, keep), learner.collection, learner.held[:JUDGED], spec.size)
    half = not exact - rounded > HALF_LOSS
    score = rounded if half else exact
    count = len(learner.collection)
    meta = described(preset, command, data_digest, count, psnr=score, samples=samples, units=units)
    save_model(path, model, meta, half=half, keep_float32=keep)
    return Trained(level.dictionary.experts, level.top_k, rank(model), score, learner.train, used)


@torch.no_grad()
def quality(model: Model, collection: Collection, indices: Sequence[int], size: int) -> float:
    """Mean PSNR in dB of photos coded by the gate, or where there is none by matching pursuit; NaN for no photos, and
    where pursuit would need too large a matrix."""
    level = model.level(-1).spec
    if model.moe is None and _design_bytes(level) > DENSE_BYTES:
        return math.nan
    scores: list[float] = []
    indices = indices if model.moe is not None else indices[:PURSUED]
    code = coder(model, "gate" if model.moe is not None else "omp", level.top_k)
    for start in range(0, len(indices), TOGETHER):
        images = torch.stack([collection.image(index, size) for index in indices[start : start + TOGETHER]])
        codes = encode(model, images.to(model.level(0).prior_mean_BK.device), code)
        drawn = torch.stack([render(model, each, size, size).cpu() for each in codes])
        scores += psnr(drawn, images).tolist()
    return math.fsum(scores) / len(scores) if scores else math.nan


@torch.no_grad()
def _statistics(learner: MoeLearner) -> tuple[float, int]:
    """Mean and variance of training codes into the model's prior; the share of experts in use, and how many codes."""
    level, banks = learner.level, len(learner.banks)
    batches = min(STATISTICS, max(1, learner.train // learner.photos))
    usage_K = torch.zeros_like(learner.usage_K)
    count, total, squares = 0, 0.0 * level.prior_mean_BK.double(), 0.0 * level.prior_mean_BK.double()
    for number in range(batches):
        images = list(range(number * learner.photos, (number + 1) * learner.photos))
        code_SK = learner.code(learner.source.batch(images)[0], level.spec.top_k, images).code_SK
        usage_K += balance.usage(code_SK)
        blocks_SBK = code_SK.view(-1, banks, code_SK.shape[1]).double()
        total, squares, count = total + blocks_SBK.sum(0), squares + blocks_SBK.square().sum(0), count + len(blocks_SBK)
    level.prior_mean_BK.copy_(total / count)
    level.prior_variance_BK.copy_((squares / count - (total / count).square()).clamp_min(0))
    return used_and_even(usage_K)[0], count


def _design_bytes(level: LevelSpec) -> int:
    side = level.window(level.pixels).row_YH.shape[1]
    return 4 * side**2 * level.dictionary.channels * level.dictionary.experts
