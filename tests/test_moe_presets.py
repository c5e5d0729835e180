"""The presets of `--method moe` say what the paper says, and each of them learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nidcli.artifacts import load_model
from nidcli.files.collections import open_collection
from nidcli.kinds import METHODS, prepare, teaching
from nidcli.moe.training import Preset
from nidcli.presets import kind_of, load_preset, method_of, preset_names
from nidcli.progress import Running
from nidcli.runs import RunFolder, drive
from nidcli.training import Changes

IMAGES = [name for name in preset_names() if method_of(name) == "moe" and kind_of(name) in ("image", "ct")]
PAPER = ["celeba", "shepp-logan", "surveillance", "shapenet-chair"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "photos.npy"
    y, x = np.mgrid[-1:1:16j, -1:1:16j]
    shifts = np.random.default_rng(0).uniform(-1, 1, (8, 1, 1))
    np.save(path, (0.5 + 0.4 * np.tanh(5 * (x + shifts * y))).astype(np.float32))
    return path


@pytest.mark.parametrize("name", IMAGES)
def test_every_preset_learns(name: str, photos: Path, tmp_path: Path):
    """As it is but for its size."""
    taught, preset = prepare(None, name, None, Changes())
    assert isinstance(preset, Preset)
    level, gate = preset.model.levels[0], preset.model.moe
    bank = replace(level.dictionary, experts=24, hidden=16, frequencies=20, width=4)
    whole = level.cells == 1
    level = replace(level, pixels=16 if whole else 8, overlap=0.0 if whole else 1 / 8, top_k=4, dictionary=bank)
    gate = gate and replace(gate, width=8, stem=4, blocks=2)
    model = replace(preset.model, levels=(level,), moe=gate)
    spec = replace(preset, model=model, size=16, epochs=3, warm_epochs=1, batch=16, holdout=2, precision="float32")
    spec = replace(spec, compiled=False)
    collection = open_collection([str(photos)], bank.channels)
    learner: Running = taught.learner(spec, collection, "cpu", None)
    folder = RunFolder.of(tmp_path / "run", spec.learn, collection.digest)
    folder.start(learner, resume=False, overwrite=False)
    drive(learner, folder, lambda done, total, note: None)
    report = taught.save(tmp_path / "a.nid", learner, spec, "nid learn-dict", collection.digest)
    folder.finish(report)
    artifact = load_model(tmp_path / "a.nid")
    assert artifact.model.spec == model and report.experts == 24
    assert (artifact.model.moe is None) == (preset.model.moe is None)
    assert artifact.meta.provenance.data_licence == preset.data_licence


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_settings_are_those_of_the_paper(name: str):
    preset = load_preset(name, teaching(kind_of(name) or "image", "moe")[0].Preset)
    level, bank = preset.model.levels[0], preset.model.levels[0].dictionary
    assert (preset.epochs, preset.sparsity) == (5000, 0.01)
    assert preset.warm_epochs == (20 if name == "shapenet-chair" else 10)
    assert (bank.layers, bank.hidden, bank.heads, bank.width, bank.activated) == (4, 256, "own", 32, True)
    assert bank.experts == (1024 if name == "shepp-logan" else 4096)
    assert level.top_k in (128, 256)
    if name == "shepp-logan":
        assert preset.model.moe is None and level.cells == 1 and preset.size == 128
    elif name == "shapenet-chair":
        assert preset.model.moe is None and bank.dims == 3 and preset.loss == "l1"
    else:
        assert preset.model.moe is not None and preset.model.moe.blocks == 4
    if name == "surveillance":
        assert (preset.loss, preset.decay, preset.balance) == ("l1", 0.5, 0.0)
    assert f"{name}-small" in preset_names()


def test_every_method_starts_from_a_preset_of_its_own():
    for (kind, method), (_, name) in METHODS.items():
        assert kind_of(name) == kind and method_of(name) == method


def test_lookup_codes_of_random_heads(tmp_path: Path):
    """The paper's CT: slices, a table of codes, no gate that sees the true image."""
    taught, preset = prepare("ct", None, None, Changes(experts=24, size=16), "moe")
    bank = replace(preset.model.levels[0].dictionary, hidden=16, frequencies=20)
    model = replace(preset.model, levels=(replace(preset.model.levels[0], pixels=16, top_k=4, dictionary=bank),))
    spec = replace(preset, model=model, epochs=3, warm_epochs=1, batch=8, holdout=2, precision="float32")
    heads = taught.open_data(["phantoms:10"], spec, recursive=False, files_from=None, warn=lambda note: None)
    learner = taught.learner(spec, heads, "cpu", None)
    folder = RunFolder.of(tmp_path / "run", spec.learn, heads.digest)
    folder.start(learner, resume=False, overwrite=False)
    drive(learner, folder, lambda done, total, note: None)
    report = taught.save(tmp_path / "a.nid", learner, spec, "nid learn-dict", heads.digest)
    found = load_model(tmp_path / "a.nid")
    assert (report.samples, found.model.moe) == (8, None)
    assert (found.model.spec.kind, found.meta.units) == ("ct", "attenuation, relative")
