"""What is unseen, by the level of whole shapes: where a shape lies, and where it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from solid_cases import normals_of, small_model
from stools import stool, stool_model

from nidcli.artifacts import Metadata, save_model
from nidcli.errors import UsageError
from nidcli.files.clouds import Cloud
from nidcli.model import Level
from nidcli.sdf.imagined import DENIED, SPECK, Imagined, _specks, imagined
from nidcli.sdf.pose import ON, SLOPE, Pose, cube_turns, evidence, find_pose
from nidcli.sdf.reconstruct import Options, check_model, reconstruct
from nidcli.sdf.support import spacing

Nid = Callable[..., tuple[int, str, str]]
SHAPE = stool(0.55, -0.1, 0.6)


def level() -> Level:
    found = stool_model().shape
    assert found is not None
    return found


def test_the_turns_of_a_cube_are_rotations_and_all_of_them():
    turns = np.array(cube_turns())
    assert len(np.unique(turns, axis=0)) == 24
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(turns), 1)


def test_a_pose_takes_points_there_and_back():
    pose = Pose.at(cube_turns()[7], np.array([0.1, -0.2, 0.3, 0.5]))
    points = np.random.default_rng(0).normal(size=(20, 3))
    assert np.allclose(pose.outwards(pose.inwards(points)), points)
    between = np.linalg.norm(np.diff(pose.inwards(points), axis=0), axis=1)
    assert np.allclose(between, np.exp(0.5) * np.linalg.norm(np.diff(points, axis=0), axis=1))


@pytest.mark.parametrize("turn", [0, 5, 17])
def test_a_shape_that_lies_on_its_side_is_found_to(turn: int):
    points, normals = SHAPE.sample(1500)
    turned = cube_turns()[turn]
    pose = find_pose(level(), points @ turned, normals @ turned)
    assert np.abs(pose.inwards(points @ turned) - points).max() < 0.12  # its mirror image along x is itself


def test_the_evidence_is_that_of_the_gaussian():
    points, normals = (each[:6] for each in SHAPE.sample(200))
    bank, prior = level().bank(), level().prior()
    rows = bank.jets(torch.from_numpy(points).float()).double()[:, :, 0]
    noise = np.tile([ON**2, *[SLOPE**2] * 3], 6)
    spread = rows.reshape(24, -1).numpy()
    target = np.concatenate([np.zeros((6, 1)), normals], 1).ravel() - spread @ prior.mean_K.double().numpy()
    covariance = spread @ np.diag(prior.variance_K.double().numpy()) @ spread.T + np.diag(noise)
    exact = -(target @ np.linalg.solve(covariance, target) + np.linalg.slogdet(covariance / noise[:, None])[1]) / 2
    assert evidence(level(), points, normals) == pytest.approx(float(exact), rel=1e-3)


def cut(height: float) -> tuple[Cloud, Cloud]:
    """What lies below a plane, and the rest."""
    points, normals = SHAPE.sample(6000)
    low = points[:, 1] < height
    return Cloud(points[low], normals[low]), Cloud(points[~low], normals[~low])


def imagined_of(height: float) -> tuple[Imagined, np.ndarray, np.ndarray, float]:
    """The whole of what lies below a plane; these points, those above, and the spacing."""
    seen, unseen = cut(height)
    whole = imagined(stool_model(), seen.points_N3, normals_of(seen))
    return whole, seen.points_N3, unseen.points_N3, spacing(seen.points_N3)


def test_a_shape_goes_on_where_it_was_cut_and_nowhere_else():
    whole, seen, unseen, gap = imagined_of(0.3)
    points, normals = whole.beyond(seen, seen[:0], gap)
    assert len(points) == len(normals) and (points[:, 1] > 0.3 - 3 * gap).mean() > 0.97
    assert np.abs(SHAPE.distance(points)).mean() < 0.06
    reached = cKDTree(points).query(unseen)[0]
    assert np.median(reached) < 0.08
    assert (np.einsum("nd,nd->n", normals, _slope(points)) > 0.5).mean() > 0.8
    everything, facing = SHAPE.sample(6000)
    assert not len(imagined(stool_model(), everything, facing).beyond(everything, points[:0], gap)[0])


def _slope(points_N3: np.ndarray) -> np.ndarray:
    step = 0.02
    return np.stack([SHAPE.distance(points_N3 + e) - SHAPE.distance(points_N3 - e) for e in step * np.eye(3)], 1) / (
        2 * step
    )


def test_what_was_guessed_otherwise_is_not_guessed_again():
    whole, seen, unseen, gap = imagined_of(0.3)
    alone, beside = (whole.beyond(seen, guessed, gap)[0] for guessed in (unseen[:0], unseen))
    assert len(beside) < 0.1 * len(alone)


def test_amid_points_nothing_is_added():
    whole, seen, _, gap = imagined_of(0.3)
    around = np.concatenate([seen, *(np.array([[x, y, z]]) for x in (-2, 2) for y in (-2, 2) for z in (-2, 2))])
    assert not len(whole.beyond(around, seen[:0], gap)[0])
    flat = seen * (1, 0, 1)
    assert len(whole.beyond(flat, seen[:0], gap)[0])


def test_a_part_of_few_points_is_a_speck():
    rng = np.random.default_rng(0)
    few, many = rng.random((SPECK - 1, 3)), rng.random((SPECK, 3)) + 5
    specks = _specks(np.concatenate([few, many]), 1.0)
    assert specks[: len(few)].all() and not specks[len(few) :].any()


def test_points_far_from_any_such_shape_are_denied():
    points, normals = SHAPE.sample(4000)
    whole = imagined(stool_model(), points, normals)
    assert not whole.denies(points[:200]).any()
    behind = points[points[:, 2] < -0.59] - (0, 0, 1.5 * DENIED)
    beyond = points[points[:, 1] > 0.89] + (0, 1.5 * DENIED, 0)  # and out of the domain
    for away in (behind, beyond):
        assert len(away) > 50 and whole.denies(away).mean() > 0.95


def test_a_reconstruction_has_what_shapes_of_its_kind_have():
    seen, told = cut(0.3)[0], list[str]()
    options = [Options(resolution=64, complete=how, symmetry="none") for how in ("none", "shape")]
    left, whole = (reconstruct(stool_model(), seen, each, told.append) for each in options)
    assert any("are added where shapes like it have a surface" in text for text in told)
    tops = [float(surface.mesh.vertices_V3[:, 1].max()) for surface in (left, whole)]
    assert tops[0] < 0.4 and tops[1] == pytest.approx(0.9, abs=0.15)
    assert whole.report.added > 300 == left.report.added + 300


def test_dictionaries_without_whole_shapes_say_so(nid: Nid, tmp_path: Path):
    options = Options(complete="shape")
    check_model(stool_model(), "stools", options)
    with pytest.raises(UsageError, match="no level of whole shapes"):
        check_model(small_model(), "small", options)
    np.savetxt(tmp_path / "a.xyz", np.random.default_rng(0).normal(size=(50, 3)))
    save_model(tmp_path / "small.nid", small_model(), Metadata())
    common = ("sdf-recon", tmp_path / "a.xyz", "--dict", tmp_path / "small.nid", "-o", tmp_path / "a.ply")
    code, _, err = nid(*common, "--complete", "shape")
    assert code == 2 and "--complete straight" in err and not (tmp_path / "a.ply").exists()
