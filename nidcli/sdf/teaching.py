"""Around a run of learning from meshes: the preset with what the command line changes, its plan, and the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nidcli.artifacts import save_model
from nidcli.errors import UsageError
from nidcli.files.solids import MeshCollection, open_meshes
from nidcli.metadata import described
from nidcli.model import LevelSpec
from nidcli.progress import total_steps
from nidcli.report import rank
from nidcli.sdf.learning import KEPT, SurfaceLearner
from nidcli.sdf.levels import held_out_psnr
from nidcli.sdf.observing import piece_bytes
from nidcli.sdf.pieces import draw_pieces
from nidcli.sdf.spec import Preset as Preset
from nidcli.training import Changes, on_terms

JUDGED = 8  # held-out solids on which the finished dictionary is measured
SOLID_BYTES = 3 << 20  # of a watertight shell
UNITS = "signed distance, negative inside, in half cells"


@dataclass(frozen=True)
class Plan:
    """What a dry run tells. memory : bytes at the most, about; file_bytes : likewise."""

    meshes: int
    held_out: int
    experts: int
    levels: int
    steps: int
    memory: int
    file_bytes: int


@dataclass(frozen=True)
class Learned:
    """The finished dictionary. psnr : dB of a half cell above the error of held-out pieces of the finest level, NaN if
    none are; samples : meshes; hard : of them, those that are more than a bare surface, or have no shell."""

    experts: int
    top_k: int
    rank: tuple[int, ...]
    psnr: float
    samples: int
    hard: int


def adjusted(preset: Preset, changes: Changes) -> Preset:
    """The preset with the changes. Raises UsageError for options that solids have no use for."""
    c = changes
    for flag, value in (("--size", c.size), ("--gate", None if c.gate == "none" else c.gate), ("--top-k", c.top_k)):
        if value is not None:
            raise UsageError(f"{flag} has no meaning for --kind sdf; leave it out.")
    levels = tuple(_changed(level, c) for level in preset.model.levels)
    if c.cells is not None:
        if c.cells < 1:
            raise UsageError("--cells of --kind sdf is a number of cells a side, 1 or more.")
        levels = (*levels[:-1], replace(levels[-1], cells=c.cells))
    return replace(
        on_terms(preset, c),
        model=replace(preset.model, levels=levels),
        steps=c.steps or preset.steps,
    )


def open_data(
    data: Sequence[str], spec: Preset, *, recursive: bool, files_from: Path | None, warn: Callable[[str], None]
) -> MeshCollection:
    """The meshes to learn from."""
    return open_meshes(data, recursive=recursive, files_from=files_from, warn=warn)


def learner(spec: Preset, collection: MeshCollection, device: str, limit: float | None) -> SurfaceLearner:
    """What learns the dictionary."""
    return SurfaceLearner(spec.learn, collection, device, limit)


def plan(learner: SurfaceLearner, budget: int) -> Plan:
    """The size of a run, without a step of it. budget : not used, shells are few and kept by number."""
    spec, levels = learner.spec, learner.spec.model.levels
    numbers = sum(tensor.numel() for tensor in learner.model.state_dict().values())
    seen = (*levels, spec.model.shape) if spec.model.shape else levels
    samples, net = max(level.pixels for level in seen) ** 3, spec.model.corrector
    again = spec.corrector_memory * spec.corrector_batch * piece_bytes(net) if net else 0
    return Plan(
        meshes=len(learner.collection),
        held_out=len(learner.held),
        experts=sum(level.dictionary.experts for level in levels),
        levels=len(levels),
        steps=total_steps(spec),
        memory=min(KEPT, len(learner.collection)) * SOLID_BYTES
        + max(6 * 8 * samples**2 + 24 * spec.batch * samples, again),
        file_bytes=4 * numbers,
    )


def save(path: Path, learner: SurfaceLearner, preset: Preset, command: str, data_digest: str) -> Learned:
    """Measure the finished dictionary on held-out solids and write it. No clock enters the file."""
    model, spec = learner.model.eval(), learner.spec
    scores = [_judged(learner, index) for index in learner.held[:JUDGED]]
    # rounded: the last digits of a factorisation depend on where in memory it is done
    score = round(math.fsum(scores) / len(scores), 3) if scores else math.nan
    samples, reach = spec.steps * spec.batch, (-2.0, 2.0)
    count = len(learner.collection)
    meta = described(preset, command, data_digest, count, psnr=score, samples=samples, units=UNITS, value_range=reach)
    save_model(path, model, meta)
    experts = sum(level.dictionary.experts for level in spec.model.levels)
    top_k = max(level.top_k for level in spec.model.levels)
    return Learned(experts, top_k, rank(model), score, learner.train, len(learner.hard))


def _judged(learner: SurfaceLearner, index: int) -> float:
    level = learner.model.level(-1)
    chance = learner.chance(1 << 21)
    pieces_PN = draw_pieces(learner.solid(index), level.spec, learner.spec.batch, learner.spec.reach, chance)
    return held_out_psnr(level, pieces_PN)


def _changed(level: LevelSpec, changes: Changes) -> LevelSpec:
    experts = changes.experts or level.dictionary.experts
    overlap = level.overlap if changes.overlap is None else changes.overlap
    hidden = max(level.dictionary.hidden, experts)
    bank = replace(level.dictionary, experts=experts, hidden=hidden, period=2.5 * (1 + overlap))
    return replace(level, dictionary=bank, basis=experts, top_k=experts, overlap=overlap)
