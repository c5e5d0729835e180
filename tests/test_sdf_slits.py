"""Two sheets that face each other nearer than points lie apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from solid_cases import box_cloud, normals_of, sphere_cloud

from nidcli.artifacts import bundled, load_model
from nidcli.files.clouds import Cloud
from nidcli.files.meshes import Mesh
from nidcli.sdf import solving
from nidcli.sdf.lattice import Band
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.slits import LEAST, opened, slit_points
from nidcli.sdf.support import spacing

HALF = (0.9, 0.06, 0.15)
APART = 0.002


def plates(points: int = 8_000, apart: float = APART, turn: np.ndarray | None = None) -> Cloud:
    """A box on a box, and air as thin as this in between; in the directions of these rows."""
    places, normals = [], []
    for side in (-1, 1):
        cloud = box_cloud(points // 2, HALF, seed=side + 1)
        places.append(cloud.points_N3 + np.array([0, side * (HALF[1] + apart / 2), 0]))
        normals.append(normals_of(cloud))
    turn = np.eye(3) if turn is None else turn
    return Cloud(np.concatenate(places) @ turn, np.concatenate(normals) @ turn)


def found(cloud: Cloud) -> np.ndarray:
    return slit_points(cloud.points_N3, normals_of(cloud), spacing(cloud.points_N3))


def sheet(points: int, thickness: float, outwards: bool = True) -> Cloud:
    """Both sides of a flat sheet."""
    places = np.random.default_rng(0).uniform(-0.9, 0.9, (points, 3))
    side = np.where(np.arange(points) % 2, 1.0, -1.0)
    places[:, 1] = side * thickness / 2
    normals = np.zeros_like(places)
    normals[:, 1] = side if outwards else -side
    return Cloud(places, normals)


@pytest.mark.parametrize("points", [2_000, 8_000])
def test_the_sides_that_face_each_other_are_found_and_no_others(points: int):
    cloud = plates(points)
    slit, inner = found(cloud), (np.abs(cloud.points_N3[:, 1]) < APART) & (np.abs(normals_of(cloud)[:, 1]) > 0.9)
    assert slit[inner].mean() > 0.97
    rim = (HALF[0] - np.abs(cloud.points_N3[:, 0])).clip(0) + (HALF[2] - np.abs(cloud.points_N3[:, 2])).clip(0)
    assert not slit[~inner & (rim > 0.1)].any()


def test_thin_parts_and_sheets_without_thickness_are_no_slits():
    for cloud in (sheet(6_000, 0.003), sheet(6_000, 0.0), box_cloud(6_000), sphere_cloud(6_000), plates(apart=0.05)):
        assert not found(cloud).any()


def test_a_thin_part_turned_inside_out_is_not_all_slit():
    assert not found(sheet(6_000, 0.003, outwards=False)).any()


def test_a_few_points_that_face_each_other_and_a_tiny_cloud_are_no_slit(monkeypatch: pytest.MonkeyPatch):
    wall = sphere_cloud(6_000)
    dent = sheet(LEAST - 4, 0.004, outwards=False)
    points = np.concatenate([wall.points_N3, dent.points_N3 * np.array([0.1, 1, 0.1])])
    both = Cloud(points, np.concatenate([normals_of(wall), normals_of(dent)]))
    assert not found(both).any()
    monkeypatch.setattr("nidcli.sdf.slits.LEAST", LEAST // 2)
    assert found(both).sum() > LEAST // 2
    assert not slit_points(dent.points_N3[:12], normals_of(dent)[:12], 0.1).any()


def test_points_all_in_one_place_are_looked_at_in_bounded_memory():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(30_000, 3)) * 1e-6, rng.uniform(-1, 1, (300, 3))])
    normals = rng.normal(size=points.shape)
    slit = slit_points(points, normals / np.linalg.norm(normals, axis=1, keepdims=True), spacing(points))
    assert slit.shape == (30_300,)


@pytest.mark.parametrize("known", [True, False])
def test_a_slit_is_opened_on_the_lines_across_it_and_nowhere_else(known: bool):
    side, planes = 64, 20
    walls = sheet(3_000, APART, outwards=False)
    walls = Cloud(walls.points_N3 * np.array([0.8, 1, 0.8]), walls.normals_N3)
    whole = [(0, planes), (planes - 1, side + 2 - planes)]
    field = [
        Band(first, torch.full((count, side + 1, side + 1), -0.5), torch.full((count, side + 1, side + 1), known))
        for first, count in whole
    ]
    gap = spacing(walls.points_N3)
    after = list(opened(field, walls.points_N3, normals_of(walls), gap, side))
    values = torch.cat([after[0].value_XYZ[:-1], after[1].value_XYZ]).numpy()
    assert (after[0].value_XYZ[-1] == after[1].value_XYZ[0]).all()  # bands agree on the plane that they share
    place = np.linspace(-1, 1, side + 1)
    inside = np.abs(place) < 0.65
    assert (values[inside][:, :, inside].max(1) > 0).mean() > 0.99
    assert values[np.abs(place) > 0.85].max() < 0 and values[:, np.abs(place) > 0.1].max() < 0
    assert torch.cat([after[0].known_XYZ[:-1], after[1].known_XYZ]).numpy()[values > 0].all()


def inner_share(mesh: Mesh, axis: np.ndarray) -> float:
    """How much of the two inner sides a mesh has. axis : across the slit."""
    corners = mesh.vertices_V3[mesh.faces_F3]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    return float(area[(np.abs(corners @ axis) < 0.01).all(1)].sum() / (2 * 4 * HALF[0] * HALF[2]))


@pytest.mark.skipif("chair" not in bundled(), reason="no bundled dictionaries")
@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_plates_laid_on_one_another_stay_two(angle: float, monkeypatch: pytest.MonkeyPatch):
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    model, cloud, told = load_model("chair").model, plates(7_000, turn=turn), list[str]()
    whole = reconstruct(model, cloud, Options(symmetry="none"), told.append)
    assert "slits" in told[-1]
    assert inner_share(whole.mesh, turn[1]) > 0.85
    place = np.abs(whole.mesh.vertices_V3 @ turn.T)
    outer = (place[:, 1] > 1.5 * HALF[1]) & (place[:, 0] < 0.9 * HALF[0]) & (place[:, 2] < 0.7 * HALF[2])
    assert np.abs(place[outer, 1] - 2 * HALF[1]).mean() < 0.003
    monkeypatch.setattr(solving, "slit_points", lambda points, normals, gap: np.zeros(len(points), bool))
    if angle:
        before = reconstruct(model, cloud, Options(symmetry="none"), told.append)
        assert inner_share(before.mesh, turn[1]) < inner_share(whole.mesh, turn[1]) - 0.1
