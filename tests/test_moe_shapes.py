"""Joint training on surfaces: signed distances to a cloud, and a dictionary of them from meshes."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import yaml
from photo_cases import Nid

from nidcli.artifacts import load_model
from nidcli.errors import InputError
from nidcli.files.datasets import named_shapes
from nidcli.files.surfaces import sample_mesh
from nidcli.moe.learner import MoeProgress
from nidcli.moe.shapes import Preset, ShapeLearner, Shapes, draw_each, open_data
from nidcli.presets import load_preset

SYNSET = "03001627"


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five boxes of other sides."""
    folder = tmp_path_factory.mktemp("meshes")
    for number in range(5):
        trimesh.creation.box((1 + number, 2, 3)).export(folder / f"{number}.ply")
    return folder


def small(name: str = "shapenet-chair-small", **changes: object) -> Preset:
    """A preset of the shapes, but for its size."""
    preset = load_preset(name, Preset)
    level = preset.model.levels[0]
    bank = replace(level.dictionary, experts=24, hidden=16, frequencies=20, width=4)
    model = replace(preset.model, levels=(replace(level, top_k=6, dictionary=bank),))
    sizes = {"epochs": 40, "warm_epochs": 6, "batch": 2, "points": 200, "cloud": 2000, "holdout": 1, "rate": 3e-3}
    return replace(preset, model=model, precision="float32", **{**sizes, **changes})  # type: ignore[arg-type]


def shapes(folder: Path, preset: Preset) -> Shapes:
    return open_data([str(folder)], preset, recursive=False, files_from=None, warn=lambda text: None)


def test_distances_are_those_of_a_sphere_with_the_sign_of_its_normals():
    normals = torch.nn.functional.normalize(torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    sphere = Shapes([(0.5 * normals.numpy(), normals.numpy())], ["sphere"])
    places, distance = sphere.sample(0, 400, torch.Generator().manual_seed(1))
    assert places.shape == (400, 3) and distance.shape == (400, 1)
    assert torch.allclose(places[:200].norm(dim=1), torch.full((200,), 0.5), atol=1e-5)
    assert torch.equal(distance[:200], torch.zeros(200, 1))
    assert torch.allclose(distance[200:, 0], places[200:].norm(dim=1) - 0.5, atol=0.01)
    assert (distance < 0).any() and (distance > 0).any()


def test_a_mesh_is_sampled_on_its_faces_in_a_box_of_its_own(meshes: Path):
    points, normals, digest = sample_mesh(meshes / "0.ply", 3000)
    assert len(digest) == 64 and points.dtype == np.float32
    assert np.abs(points).max(0) == pytest.approx([0.3, 0.6, 0.9], abs=1e-5)
    on_face = np.isclose(np.abs(points), [0.3, 0.6, 0.9], atol=1e-5)
    assert on_face.any(1).all()
    assert ((points * normals).sum(1) > 0).all()  # outwards


@pytest.mark.parametrize("content", [b"words", b""])
def test_what_is_no_mesh_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.ply"):
        sample_mesh(tmp_path / "a.ply", 10)
    with pytest.raises(InputError, match="does not exist"):
        sample_mesh(tmp_path / "b.ply", 10)


@pytest.mark.parametrize("name", ["shapenet-chair", "shapenet-chair-small"])
def test_the_presets_learn_distances(name: str, meshes: Path):
    preset = small(name)
    learner = ShapeLearner(preset.learn, shapes(meshes, preset))

    def error() -> float:
        batch, coords = learner.shapes([0, 1, 2, 3], 7, 6)
        field = draw_each(learner.banks[0], coords, batch.code_SK) + batch.constant_SC
        return float((field.detach() - batch.values_SNC[:, :, 0]).abs().mean())

    before = error()
    lines = [line for line in learner.run() if isinstance(line, MoeProgress)]
    assert error() < 0.9 * before
    assert [stage for stage, _ in itertools.groupby(line.stage for line in lines)] == ["warm-up", "top-k"]
    assert all(line.psnr is None for line in lines)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(meshes: Path):
    preset = small(epochs=6, warm_epochs=2)
    data = shapes(meshes, preset)
    whole, first, second = (ShapeLearner(preset.learn, data) for _ in range(3))
    assert list(whole.run())
    for _ in itertools.islice(first.run(), 5):
        pass
    second.restore({name: tensor.clone() for name, tensor in first.state().items()}, copy.copy(first.place))
    assert list(second.run())
    ours, theirs = whole.state(), second.state()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_every_shape_is_drawn_at_points_of_its_own(heads: str):
    preset = small()
    bank = replace(preset.model.levels[0].dictionary, heads=heads)  # type: ignore[arg-type]
    learner = ShapeLearner(
        replace(preset, model=replace(preset.model, levels=(replace(preset.model.levels[0], dictionary=bank),))).learn,
        Shapes([(np.zeros((4, 3), np.float32),) * 2] * 3, ["a"] * 3),
    )
    coords, code = torch.rand(2, 7, 3), torch.randn(2, 24)
    drawn = draw_each(learner.banks[0], coords, code)
    for s in range(2):
        assert torch.allclose(drawn[s], learner.banks[0].atoms(coords[s])[:, 0] @ code[s], atol=1e-4)


def test_the_command_learns_from_a_folder_and_from_a_shapenet_layout(nid: Nid, meshes: Path, tmp_path: Path):
    root = tmp_path / "shapenet"
    for number, path in enumerate(sorted(meshes.glob("*.ply"))):
        models = root / SYNSET / f"m{number}" / "models"
        models.mkdir(parents=True)
        trimesh.load_mesh(path).export(models / "model_normalized.obj")
    split = {"train": {SYNSET: ["m0", "m1", "m2"]}, "test": {SYNSET: ["m3"]}}
    (root / "R2N2_split.json").write_text(json.dumps(split))
    assert len(named_shapes(str(root), SYNSET, "test", lambda text: None, False)) == 1
    bank = {"experts": 24, "hidden": 16, "frequencies": 20}
    config = {"epochs": 4, "warm_epochs": 1, "batch": 2, "points": 100, "cloud": 500, "holdout": 1,
              "model": {"kind": "sdf", "levels": [{"cells": 1, "top_k": 6, "overlap": 0, "basis": 0, "dictionary": {
                  "dims": 3, "channels": 1, "layers": 2, **bank}}]}}  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    for data, images in ((meshes, 5), (root, 3)):
        for gate in ("lookup", "set"):
            flags = ("--method", "moe", "--kind", "sdf", "--config", tmp_path / "c.yaml", "--gate", gate)
            given = ("learn-dict", "--data", data, "-o", tmp_path / "a.nid", *flags, "--overwrite", "--json")
            code, out, err = nid(*given)
            assert code == 0, err
            (item,) = json.loads(out)["items"]
            assert (item["experts"], item["top_k"], item["samples"], item["psnr"]) == (24, 6, images - 1, None)
            artifact = load_model(tmp_path / "a.nid")
            assert artifact.model.spec.kind == "sdf" and (artifact.model.moe is None) == (gate == "lookup")
    assert nid("info", tmp_path / "a.nid", "--atoms", tmp_path / "atoms.png")[0] == 0
    code, _, err = nid("learn-dict", "--data", meshes, "-o", tmp_path / "b.nid", *flags[:-1], "cnn")
    assert code == 2 and "set or lookup" in err
    (tmp_path / "empty").mkdir()
    assert nid("learn-dict", "--data", tmp_path / "empty", "-o", tmp_path / "b.nid", *flags)[0] == 4


def test_a_glob_names_meshes_to_learn_from(meshes: Path):
    found = named_shapes(str(meshes / "[1-3].ply"), SYNSET, "train", lambda text: None, recursive=False)
    assert [path.name for path in found] == ["1.ply", "2.ply", "3.ply"]
