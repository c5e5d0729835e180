"""Around a run of learning from a clip: the preset with what the command line changes, its plan, and the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nidcli.errors import InputError, UsageError
from nidcli.files.clips import expand_clips
from nidcli.files.video import open_clip
from nidcli.metadata import Terms, described
from nidcli.report import rank
from nidcli.training import Changes, on_terms
from nidcli.video.keeping import save_background
from nidcli.video.learner import Camera, SceneLearner, SceneSpec
from nidcli.video.scene import MEASURED_BYTES, scene_model

MEANINGLESS = ("experts", "top_k", "cells", "overlap", "size", "gate", "steps")
FRAME_FLOATS = 64  # numbers a pixel, of what is computed beside the frames of a window


@dataclass(frozen=True, kw_only=True)
class Preset(SceneSpec, Terms):
    """A preset of `learn-dict --kind video`: how to learn, and on what terms the clip may be used."""

    @property
    def learn(self) -> SceneSpec:
        """How to learn, alone."""
        return self.part(SceneSpec)


@dataclass(frozen=True)
class Plan:
    """What a dry run tells. window : frames of one; memory : bytes at the most, about; file_bytes : likewise."""

    frames: int
    width: int
    height: int
    windows: int
    window: int
    held_out: int
    experts: int
    memory: int
    file_bytes: int


@dataclass(frozen=True)
class Learned:
    """The finished dictionary. psnr : dB of the background where nothing moves, mean over the held-out frames of the
    latest window, NaN if none are; moving : share of the other pixels; samples : frames that were learned from."""

    experts: int
    top_k: int
    rank: tuple[int, ...]
    psnr: float
    moving: float
    samples: int


def adjusted(preset: Preset, changes: Changes) -> Preset:
    """The preset with the changes. Raises UsageError for options that a background has no use for."""
    c = changes
    given = [f"--{name.replace('_', '-')}" for name in MEANINGLESS if getattr(c, name) is not None]
    if given:
        has, it = ("has", "it") if len(given) == 1 else ("have", "them")
        why = "whose experts are an empty scene and its light at the clip's own size"
        raise UsageError(f"{' and '.join(given)} {has} no meaning for --kind video, {why}; leave {it} out.")
    return on_terms(preset, c)


def open_data(
    data: Sequence[str], spec: Preset, *, recursive: bool, files_from: Path | None, warn: Callable[[str], None]
) -> Camera:
    """The clip to learn from: a video file, or a folder of frames."""
    found = expand_clips(data, recursive=recursive, files_from=files_from)
    if len(found) > 1:
        told = f"A dictionary of --kind video is the background of one camera, but {len(found)} clips are given"
        raise UsageError(f"{told}; name one clip, or one folder of frames.")
    (item,) = found
    if item.problem:
        raise InputError(item.problem)
    return Camera(open_clip(item.path), warn)


def learner(spec: Preset, collection: Camera, device: str, limit: float | None) -> SceneLearner:
    """What learns the dictionary."""
    return SceneLearner(spec.learn, collection, device, limit)


def plan(learner: SceneLearner, budget: int) -> Plan:
    """The size of a run, without a step of it. budget : not used, frames are few and kept by window."""
    clip = learner.camera.clip
    numbers = 3 * clip.width * clip.height
    model = scene_model(torch.zeros(clip.height, clip.width, 3))
    return Plan(
        frames=clip.count,
        width=clip.width,
        height=clip.height,
        windows=learner.spec.steps,
        window=learner.window,
        held_out=len(learner.held),
        experts=model.spec.levels[0].dictionary.experts,
        memory=2 * learner.window * numbers + 4 * FRAME_FLOATS * numbers + 2 * MEASURED_BYTES,
        file_bytes=2 * sum(tensor.numel() for tensor in model.state_dict().values()),
    )


def save(path: Path, learner: SceneLearner, preset: Preset, command: str, data_digest: str) -> Learned:
    """Write the background of the latest window. No clock enters the file."""
    background = learner.background
    assert background is not None
    model, judged = background.model, background.judged
    # rounded: the last digits depend on where in memory it is computed
    psnr, moving = round(judged.psnr, 3), round(judged.moving, 6)
    meta = described(preset, command, data_digest, learner.camera.clip.count, psnr=psnr, samples=0)
    save_background(path, model, meta)
    bank = model.spec.levels[0]
    return Learned(bank.dictionary.experts, bank.top_k, rank(model), psnr, moving, learner.samples)
