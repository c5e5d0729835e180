"""Mirror images of clouds: those on what is seen are used, and nothing that was not seen comes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from solid_cases import box_cloud, normals_of, small_model, sphere_cloud

from nidcli.artifacts import load_model
from nidcli.files.clouds import Cloud
from nidcli.model import Model
from nidcli.sdf import solving
from nidcli.sdf.field import Data, Share
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.solving import Oriented, understood
from nidcli.sdf.support import spacing
from nidcli.sdf.symmetry import doubled


def test_a_box_that_lies_off_the_middle_is_doubled_along_each_axis_and_stays_exact():
    cloud = box_cloud(400, (0.8, 0.5, 0.3))
    shift = np.array([0.07, -0.03, 0.0])
    found = doubled(cloud.points_N3 + shift, normals_of(cloud), spacing(cloud.points_N3))
    points, normals, mirrors = found.points_N3, found.normals_N3, found.mirrors
    assert [mirror.axis for mirror in mirrors] == [0, 1, 2]
    assert [mirror.offset for mirror in mirrors] == pytest.approx([0.07, -0.03, 0.0], abs=2e-3)
    assert len(points) > 1600
    off = np.abs(np.abs(points - shift) - np.array([0.8, 0.5, 0.3])).min(1)
    assert off.max() < 0.01
    assert (np.einsum("nd,nd->n", normals, points - shift) > 0).all()
    assert not found.doubt_N.any()


def test_images_of_dense_points_say_how_far_they_may_be_off():
    cloud = box_cloud(8_000, (0.8, 0.5, 0.3))
    gap, normals = spacing(cloud.points_N3), normals_of(cloud)
    found = doubled(cloud.points_N3, normals, gap, most=15_000, weighed=True)
    assert len(found.mirrors) == 1 and len(found.points_N3) == len(found.doubt_N) > 15_000
    assert np.abs(np.abs(found.points_N3) - np.array([0.8, 0.5, 0.3])).min(1).max() < 0.02 * gap
    assert (np.einsum("nd,nd->n", found.normals_N3, found.points_N3) > 0).all()
    assert not found.doubt_N[:8_000].any() and found.doubt_N.max() < 0.03 * gap
    # one end a little thicker than the other: images of those two sides are doubted as much, of all others as little
    for thicker, few in ((0.15, False), (0.4, True)):
        lopsided = cloud.points_N3.copy()
        thick = (np.abs(normals[:, 1]) > 0.9) & (lopsided[:, 0] > 0)
        lopsided[thick, 1] *= 1 + thicker * gap / 0.5
        added = doubled(lopsided, normals, gap, most=8_000, weighed=True)
        assert [mirror.axis for mirror in added.mirrors] == [0]
        side = np.abs(added.normals_N3[8_000:, 1]) > 0.9
        assert np.median(added.doubt_N[8_000:][~side]) < 0.03 * gap
        assert (~side).sum() > 0.5 * (np.abs(normals[:, 1]) < 0.9).sum()
        if few:
            assert side.mean() < 0.1
        else:
            assert side.sum() > 0.5 * (np.abs(normals[:, 1]) > 0.9).sum()
            assert np.median(added.doubt_N[8_000:][side]) > 2 * thicker * gap


def test_what_images_are_in_doubt_about_is_decided_by_points(monkeypatch: pytest.MonkeyPatch):
    kept = list[Data]()

    def solve(model: Model, data: Data, *rest: object) -> list[Share]:
        kept.append(data)
        return []

    monkeypatch.setattr(solving, "solve", solve)
    cloud = box_cloud(8_000, (0.8, 0.3, 0.2))
    normals, gap = normals_of(cloud), spacing(cloud.points_N3)
    lopsided = cloud.points_N3.copy()
    lopsided[(np.abs(normals[:, 1]) > 0.9) & (lopsided[:, 0] > 0), 1] *= 1 + 0.15 * gap / 0.3
    understood(small_model(), Oriented(lopsided, normals, gap, 0.0, True), 0, symmetric=True)
    (data,) = kept
    value_N, slope_N = data.value_noise_N.numpy(), data.slope_noise_N.numpy()
    assert len(value_N) > 12_000
    assert np.ptp(value_N[:8_000]) == np.ptp(slope_N[:8_000]) == 0
    assert value_N[8_000:].max() > 5 * value_N[0] and slope_N[8_000:].max() > 1.5 * slope_N[0]


def test_dense_clouds_are_doubled_where_that_shows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(solving, "solve", lambda *given: [])
    model, cloud = small_model(), box_cloud(8_000, (0.8, 0.3, 0.2))
    points, normals, gap = cloud.points_N3, normals_of(cloud), spacing(cloud.points_N3)
    clean = Oriented(points, normals, gap, 0.0, True)
    assert len(understood(model, clean, 0, symmetric=True).points_N3) > 15_000
    assert len(understood(model, clean, 64, symmetric=True).points_N3) == 8_000  # coarser than the points
    for unlike in (replace(clean, noise=0.004), replace(clean, given=False)):
        assert len(understood(model, unlike, 0, symmetric=True).points_N3) == 8_000
    assert not understood(model, clean, 0, symmetric=False).mirrors


def test_a_ball_beside_a_ball_gets_no_third():
    one, two = sphere_cloud(500, 0.5), sphere_cloud(200, 0.2, seed=1)
    points = np.concatenate([one.points_N3, two.points_N3 + np.array([0.75, 0, 0])])
    normals = np.concatenate([normals_of(one), normals_of(two)])
    found = doubled(points, normals, spacing(points)).points_N3
    assert len(found) > len(points)
    assert found[:, 0].min() > -0.51


def test_a_bust_without_a_mirror_is_left_alone():
    points = sphere_cloud(600, 0.9).points_N3
    keep = (points @ np.array([1.0, 0.7, 0.4]) < 0.1) & (points @ np.array([-0.5, 0.9, 0.3]) < 0.3)
    cut = points[keep]
    assert len(doubled(cut, cut / 0.9, spacing(cut)).points_N3) == len(cut)


def test_a_gap_beside_the_mirror_where_images_make_nothing_denser_is_closed():
    rng = np.random.default_rng(1)
    around, across = rng.uniform(0, 2 * np.pi, (2, 6000))
    kept = rng.uniform(0, 4, 6000) < 3 + np.cos(across)  # evenly over the area of a ring, 3 and 1 wide
    around, across = around[kept], across[kept]
    normals = np.stack([np.cos(across) * np.cos(around), np.cos(across) * np.sin(around), np.sin(across)], 1)
    points = normals + 3 * np.stack([np.cos(around), np.sin(around), np.zeros(len(around))], 1)
    far = np.linalg.norm(points - [0, 3, 1], axis=1) > 1.6 * spacing(points)
    cloud = Cloud(points[far], normals[far])
    told = reconstruct(load_model("chair").model, cloud, Options(resolution=64), lambda text: None).report
    assert told.mirrored and told.closed == 1 and told.watertight
