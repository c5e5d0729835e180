"""Sheets that are nearer to each other than a step of the usual lattice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from solid_cases import box_cloud, box_mesh, normals_of, small_model, sphere_cloud

from nidcli.artifacts import bundled, load_model
from nidcli.corrector import CorrectorSpec
from nidcli.files.clouds import Cloud
from nidcli.model import Model
from nidcli.sdf import observing, solving
from nidcli.sdf.correcting import usual_steps
from nidcli.sdf.reconstruct import Options, Surface, reconstruct
from nidcli.sdf.solids import Solid
from nidcli.sdf.solving import MOST_NARROW, MOST_STEPS, Oriented, understood
from nidcli.sdf.support import facing_within, spacing

HALF = (0.9, 0.12, 0.25)
SLIT = 0.005  # a lattice of 256 steps has points .0078 apart
THICKER = 0.0038  # by half a step, so that none of them lies in a slit between the one plate and the other


def plates(apart: float, points: int = 12_000) -> Cloud:
    """Two boxes, one above the other."""
    places, normals = [], []
    for side, half in ((-1, HALF[1]), (1, HALF[1] + THICKER)):
        cloud = box_cloud(points // 2, (HALF[0], half, HALF[2]), seed=side + 1)
        places.append(cloud.points_N3 + np.array([0, side * (half + apart / 2), 0]))
        normals.append(normals_of(cloud))
    return Cloud(np.concatenate(places), np.concatenate(normals))


def inner_share(found: Surface) -> float:
    """How much of the two plates' inner sides a mesh has."""
    corners_F33 = found.mesh.vertices_V3[found.mesh.faces_F3]
    cross_F3 = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0])
    inner_F = (np.abs(corners_F33[:, :, 1]) < SLIT).all(1)
    return float(np.abs(cross_F3[inner_F, 1]).sum() / 2 / (2 * 4 * HALF[0] * HALF[2]))


@pytest.mark.skipif("chair" not in bundled(), reason="no bundled dictionaries")
def test_a_slit_narrower_than_a_lattice_step_is_open(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(solving, "slit_points", lambda points, normals, gap: np.zeros(len(points), bool))  # slits.py
    model, cloud = load_model("chair").model, plates(SLIT)
    slit, usual = (
        reconstruct(model, cloud, Options(resolution=n, symmetry="none"), lambda text: None) for n in (0, MOST_STEPS)
    )
    assert usual.report.resolution < MOST_STEPS + 64 < slit.report.resolution <= MOST_NARROW
    assert inner_share(slit) > 0.9 and inner_share(usual) < 0.2


def test_sheets_that_face_each_other_are_found_however_far_apart_points_lie():
    for points in (800, 12_000):
        cloud = plates(0.004, points)
        gap, sides = (
            spacing(cloud.points_N3),
            HALF[0] * HALF[2] / (2 * (HALF[0] * HALF[2] + HALF[1] * (HALF[0] + HALF[2]))),
        )
        share = facing_within(0.005, cloud.points_N3, normals_of(cloud), gap)
        assert share == pytest.approx(sides, rel=0.25)


def test_sheets_further_apart_edges_and_smooth_solids_are_not_narrow():
    for cloud in (plates(0.02), box_cloud(4000), sphere_cloud(4000)):
        gap = spacing(cloud.points_N3)
        assert facing_within(2 / MOST_STEPS, cloud.points_N3, normals_of(cloud), gap) == 0


def test_few_points_and_points_all_in_one_place_are_looked_at_in_bounded_memory():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(30_000, 3)) * 1e-3, rng.uniform(-1, 1, (300, 3))])
    assert 0 <= facing_within(2 / MOST_STEPS, points, rng.normal(size=points.shape), spacing(points)) <= 1
    assert facing_within(2 / MOST_STEPS, points[:12], np.ones((12, 3)) / 3**0.5, 0.1) == 0


def test_the_corrector_learns_of_narrow_sheets_on_the_lattice_on_which_it_answers(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("point_cloud_utils", reason="exact distances are from the extra `mesh`")
    monkeypatch.setattr("nidcli.sdf.observing.PLAIN", 1.0)
    monkeypatch.setattr("nidcli.sdf.observing.POINTS", (6000.0, 6001.0))
    lath = box_mesh((-0.9, -0.003, -0.3), (0.9, 0.003, 0.3))
    plate = Solid(lath.vertices_V3.astype(np.float32, order="C"), lath.faces_F3.astype(np.int32, order="C"))
    model = Model(replace(small_model().spec, corrector=CorrectorSpec(width=4, depth=1)))
    model.load_state_dict(small_model().state_dict(), strict=False)
    model.eval().requires_grad_(False)
    view = observing._View(plate, np.random.default_rng(0))
    assert view.normals_N3 is not None
    given = Oriented(view.points_N3, view.normals_N3, spacing(view.points_N3), 0.0, given=True)
    usual = usual_steps(view.field(model).shares[-1].cells)
    assert understood(model, given, 0, symmetric=True).steps > usual == view.field(model).steps
    seen, truth = observing.observed(model, plate, np.random.default_rng(0), 2)
    assert seen.isfinite().all() and len(truth) == 2
