"""Learning from meshes: shells and their distances, pieces, resuming, and the file that it ends in."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import trimesh
from solid_cases import box_mesh, level_spec, small_model

from nidcli.artifacts import load_model
from nidcli.corrector import CorrectorSpec
from nidcli.errors import InputError, NidError
from nidcli.files.meshes import Mesh, write_mesh
from nidcli.files.solids import open_meshes
from nidcli.model import Model, ModelSpec
from nidcli.progress import Progress, total_steps
from nidcli.sdf.learning import SurfaceLearner
from nidcli.sdf.observatory import Observatory
from nidcli.sdf.pieces import draw_pieces, turned
from nidcli.sdf.solids import solid
from nidcli.sdf.spec import SurfaceSpec, cell_samples

pytest.importorskip("point_cloud_utils", reason="learning from meshes needs the extra `mesh`")
Nid = Callable[..., tuple[int, str, str]]
CONFIG = """
steps: 3
batch: 8
holdout: 1
model:
  kind: sdf
  levels:
    - {cells: 4, pixels: 5, overlap: 1.0, top_k: 12, basis: 12,
       dictionary: {dims: 3, channels: 1, experts: 12, hidden: 12, frequencies: 124, period: 5.0}}
  shape: {cells: 1, pixels: 5, overlap: 0, top_k: 12, basis: 12,
          dictionary: {dims: 3, channels: 1, experts: 12, hidden: 12, frequencies: 124, period: 3.0}}
"""


@pytest.fixture
def meshes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three boxes; their shells are coarse, and made in no time."""
    monkeypatch.setattr("nidcli.sdf.solids.RESOLUTION", 500)
    monkeypatch.setattr("nidcli.sdf.solids._PROBE", 2000)
    folder = tmp_path / "meshes"
    folder.mkdir()
    for number, size in enumerate(((1, 1, 1), (2, 1, 1), (1, 2, 0.5))):
        write_mesh(folder / f"box{number}.ply", box_mesh((0, 0, 0), size))
    return folder


def test_the_distance_of_a_box_is_exact_and_negative_inside():
    found = solid(box_mesh((10, 10, 10), (12, 12, 12)), "box")
    assert found.remark == "" and np.abs(found.vertices_V3).max() == pytest.approx(0.9, abs=1e-5)
    points = np.array([[0, 0, 0], [0.95, 0, 0], [0, -0.6, 0], [0.95, 0.95, 0]])
    assert found.distance(points) == pytest.approx([-0.9, 0.05, -0.3, 0.05 * 2**0.5], abs=0.02)


def test_signs_of_distances_are_those_of_the_winding_number_beside_edges_and_corners_too():
    import point_cloud_utils

    inner, outer = box_mesh((0.5, 0.2, 0.4), (0.95, 1.4, 0.6)), box_mesh()
    both = Mesh(
        np.concatenate([outer.vertices_V3, inner.vertices_V3]), np.concatenate([outer.faces_F3, inner.faces_F3 + 8])
    )
    found = solid(both, "both")  # with creases inwards as well
    points = np.random.default_rng(0).uniform(-1, 1, (8000, 3)).astype(np.float32)
    signed = point_cloud_utils.signed_distance_to_mesh(points, found.vertices_V3, found.faces_F3)[0]
    distance = found.distance(points)
    sure = np.abs(distance) > 1e-3
    assert sure.mean() > 0.95 and (np.sign(distance) == np.sign(signed))[sure].all()
    assert found.distance(points[:1]) == pytest.approx(distance[:1])
    corners = found.vertices_V3[found.faces_F3]
    for point, value in zip(points[:20], distance, strict=False):
        nearest = trimesh.triangles.closest_point(corners, np.repeat(point[None], len(corners), 0))
        assert abs(value) == pytest.approx(np.linalg.norm(nearest - point, axis=1).min(), abs=1e-5)


def test_a_process_that_dies_ends_the_run_with_a_sentence(meshes: Path):
    net = CorrectorSpec(width=4, depth=1)
    model = Model(ModelSpec(kind="sdf", levels=small_model().spec.levels, corrector=net))
    box = solid(box_mesh(), "box")

    def asked_of_the_dying(seen: Observatory) -> None:
        for step in range(9):
            for process in multiprocessing.active_children():
                process.kill()
            seen.pairs(step)

    with (
        Observatory(model, lambda number: box, 1, iter(range(9)), 0, 1) as seen,
        pytest.raises(NidError, match="ended from outside"),
    ):
        asked_of_the_dying(seen)


def test_an_open_and_overlapping_mesh_becomes_a_closed_solid_and_is_remarked():
    inner, outer = box_mesh((0.3, 0.3, 0.3), (0.6, 0.6, 0.6)), box_mesh()
    both = Mesh(
        np.concatenate([outer.vertices_V3, inner.vertices_V3]), np.concatenate([outer.faces_F3, inner.faces_F3 + 8])
    )
    found = solid(both, "both")
    assert "lies inside" in found.remark
    assert found.distance(np.zeros((1, 3)))[0] < -0.7


def test_pieces_have_the_slope_one_and_their_surface_is_near():
    level = level_spec(8)
    pieces = draw_pieces(solid(box_mesh(), "box"), level, 6, 1.6, np.random.default_rng(0))
    assert pieces.shape == (6, 343) and pieces.abs().amin(1).max() < 1.2
    cubes, step = pieces.view(6, 7, 7, 7), 4 / 6
    slope = torch.stack(torch.gradient(cubes, spacing=step, dim=(1, 2, 3))).norm(dim=0)
    assert slope.median() == pytest.approx(1, abs=0.05)
    samples = cell_samples(level)
    assert samples[0].tolist() == [-2, -2, -2] and samples[1].tolist() == pytest.approx([-2, -2, -2 + step])


def test_turned_pieces_are_the_same_values_in_one_of_48_orders():
    pieces = torch.arange(27.0)[None].repeat(200, 1)
    found = turned(pieces, 3, np.random.default_rng(0))
    assert (found.sort(1).values == pieces).all() and (found[:, 13] == 13).all()
    assert len({tuple(row) for row in found.tolist()}) > 40


def test_the_command_learns_resumes_to_the_same_file_and_tells_of_other_files(nid: Nid, meshes: Path, tmp_path: Path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    (meshes / "notes.txt").write_text("no mesh")
    (meshes / "broken.ply").write_bytes(b"ply")
    common = ("learn-dict", "--kind", "sdf", "--data", meshes, "--config", tmp_path / "c.yaml", "--licence", "CC0 1.0")
    code, out, err = nid(*common, "-o", tmp_path / "a.nid", "--json")
    assert code == 0, err
    assert "1 files are no meshes" in err and "broken.ply" in err
    (item,) = json.loads(out)["items"]
    assert {"experts", "top_k", "rank", "psnr", "samples"} <= item.keys() and item["samples"] == 2
    assert nid(*common, "-o", tmp_path / "b.nid")[0] == 0
    assert (tmp_path / "a.nid").read_bytes() == (tmp_path / "b.nid").read_bytes()
    artifact = load_model(tmp_path / "a.nid")
    assert artifact.meta.provenance.data_licence == "CC0 1.0" and artifact.model.spec.kind == "sdf"
    assert artifact.model.shape is not None and (artifact.model.shape.prior_variance_BK[0, 1:10] > 0).all()
    assert nid("info", tmp_path / "a.nid", "--atoms", tmp_path / "atoms.png")[0] == 0
    assert nid(*common, "-o", tmp_path / "c.nid", "--dry-run")[0] == 0
    assert nid(*common, "-o", tmp_path / "c.nid", "--size", "64")[0] == 2


SHAPE = replace(level_spec(1), pixels=5, overlap=0)


@pytest.mark.parametrize("done", [3, 5])  # in the second level, and among whole shapes
def test_a_run_goes_on_from_its_checkpoint_to_the_same_moments(meshes: Path, done: int):
    model = ModelSpec(kind="sdf", levels=(level_spec(4), level_spec(8)), shape=SHAPE)
    spec = SurfaceSpec(model=model, steps=2, batch=4, holdout=1)
    assert total_steps(spec) == 3 * 2
    whole = SurfaceLearner(spec, open_meshes([str(meshes)]))
    list(whole.run())
    first = SurfaceLearner(spec, open_meshes([str(meshes)]))
    running = first.run()
    while first.place.step + 2 * (first.place.level + (first.place.stage == "shape")) < done:
        next(running)
    assert first.place.stage == ("shape" if done == 5 else "atoms")
    second = SurfaceLearner(spec, open_meshes([str(meshes)]))
    second.restore({name: tensor.clone() for name, tensor in first.state().items()}, first.place)
    list(second.run())
    for mine, theirs in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_corrector_is_learned_and_its_run_goes_on_to_the_same_weights(meshes: Path):
    net = CorrectorSpec(width=4, depth=1)
    spec = SurfaceSpec(
        model=ModelSpec(kind="sdf", levels=(level_spec(4), level_spec(8)), corrector=net),
        steps=2,
        batch=4,
        corrector_steps=4,
        corrector_batch=9,
        corrector_replay=3,
        corrector_memory=1,
    )
    assert total_steps(spec) == 2 * 2 + 4
    whole = SurfaceLearner(spec, open_meshes([str(meshes)]))
    told = list(whole.run())
    assert [line.step for line in told if line.stage == "corrector"] == [1, 2, 3, 4]
    first = SurfaceLearner(spec, open_meshes([str(meshes)]))
    running = first.run()
    while next(running).stage != "corrector" or first.place.step < 2:
        pass
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    cast(Generator[Progress, None, None], running).close()  # ends the processes that make clouds
    second = SurfaceLearner(spec, open_meshes([str(meshes)]))
    second.restore(state, first.place)
    list(second.run())
    assert second.model.corrector is not None
    assert any(parameter.abs().sum() > 0 for parameter in second.model.corrector.head[-1].parameters())
    for mine, theirs in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_run_that_is_out_of_time_still_learns_every_level_from_something(meshes: Path):
    model = ModelSpec(kind="sdf", levels=(level_spec(4), level_spec(8)), shape=SHAPE)
    learner = SurfaceLearner(SurfaceSpec(model=model, steps=5, batch=4), open_meshes([str(meshes)]), limit=1e-6)
    assert [line.step for line in learner.run() if line.psnr is None] == [1, 1, 1]
    assert all(tensor.isfinite().all() for tensor in learner.model.state_dict().values())


def test_a_folder_without_meshes_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("no mesh")
    with pytest.raises(InputError, match="no mesh"):
        open_meshes([str(tmp_path)])


def test_the_level_of_whole_shapes_is_one_cell_of_a_solid():
    for wrong in (replace(SHAPE, cells=2), replace(SHAPE, overlap=0.5)):
        with pytest.raises(ValueError, match="one cell and no overlap"):
            ModelSpec(kind="sdf", levels=(level_spec(4),), shape=wrong)
    with pytest.raises(ValueError, match="for solids"):
        ModelSpec(kind="image", shape=SHAPE)
