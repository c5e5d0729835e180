"""A dictionary so small that it is learned in a moment, and photos to learn it from."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from nidcli.errors import UsageError
from nidcli.files.collections import open_collection
from nidcli.learn import Learner
from nidcli.runs import RunFolder, drive
from nidcli.structure import from_plain
from nidcli.training import Preset, save

GATE = {"rounds": 1, "picks": 2, "candidates": 4, "components": 16, "width": 16}
BANK = {"experts": 32, "hidden": 32, "frequencies": 60}
LEVEL = {"pixels": 8, "overlap": 0.125, "top_k": 4, "basis": 16, "dictionary": BANK}
TINY = {
    "size": 32,
    "fine_pixels": 12,
    "steps": 4,
    "batch": 64,
    "sparsity": [2, 3],
    "components": 16,
    "polish_steps": 4,
    "gate_steps": 3,
    "holdout": 3,
    "model": {"gate": GATE, "levels": [LEVEL]},
}


def edges(path: Path) -> Path:
    """A stack of 20 photos of 40 x 40 pixels, edges at random places and angles."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:40j, -1:1:40j]
    angle, offset = random.uniform(0, 6.3, (2, 20, 1, 1))
    sides = np.cos(angle) * x + np.sin(angle) * y + offset / 10 - 0.3 > 0
    colours = random.uniform(0, 1, (2, 20, 1, 1, 3))
    np.save(path, np.where(sides[..., None], colours[0], colours[1]).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edges(tmp_path_factory.mktemp("data") / "photos.npy")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def tiny_preset(shared: bool = True) -> Preset:
    spec = from_plain(Preset, TINY, "tiny", UsageError)
    if not shared:
        level = replace(spec.model.levels[0], shared=False, cells=2)
        spec = replace(spec, size=16, model=replace(spec.model, levels=(level,), gate=None))
    return spec


def learned(photos: Path, folder: Path, preset: Preset, stop: int | None = None, resume: bool = False) -> bytes:
    """Bytes of the dictionary; `stop` presses Ctrl-C at that line of progress."""
    collection = open_collection([str(photos)])
    learner, run = Learner(preset.learn, collection), RunFolder.of(folder, preset.learn, collection.digest)
    run.start(learner, resume=resume, overwrite=False)
    lines: list[str] = []

    def tell(done: int, total: int, note: str) -> None:
        assert 0 < done <= total
        lines.append(note)
        if len(lines) == stop:
            signal.raise_signal(signal.SIGINT)

    drive(learner, run, tell)
    run.finish(save(folder / "d.nid", learner, preset, "nid learn-dict", collection.digest))
    return (folder / "d.nid").read_bytes()
