"""Points whose normals are turned the wrong way: left out, where nothing around agrees with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from solid_cases import box_cloud, normals_of, sphere_cloud

from nidcli.artifacts import load_model
from nidcli.sdf.contrary import DENSE, contrary
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.support import spacing


@pytest.mark.parametrize("count", [10_000, 30_000])
def test_turned_normals_are_found_and_nothing_else(count: int):
    cloud = sphere_cloud(count, 0.8)
    points, normals, gap = cloud.points_N3, normals_of(cloud).copy(), spacing(cloud.points_N3)
    assert not contrary(points, normals, gap).any()
    turned = np.zeros(count, bool)
    turned[::100] = True
    normals[turned] *= -1
    found = contrary(points, normals, gap)
    assert not found[~turned].any() and found[turned].mean() > 0.9


@pytest.mark.parametrize("thickness", [0.0005, 0.02, 0.5])
def test_thin_plates_and_corners_contradict_nothing(thickness: float):
    cloud = box_cloud(12_000, (0.8, 0.5, thickness))
    assert spacing(cloud.points_N3) < DENSE
    assert not contrary(cloud.points_N3, normals_of(cloud), spacing(cloud.points_N3)).any()


def test_of_sparse_points_one_may_be_all_that_is_seen_of_a_part():
    cloud = sphere_cloud(500, 0.8)
    normals = normals_of(cloud).copy()
    normals[7] *= -1
    assert not contrary(cloud.points_N3, normals, spacing(cloud.points_N3)).any()


def test_a_cloud_with_turned_normals_is_as_good_as_one_without_these_points():
    model, cloud, told = load_model("chair").model, sphere_cloud(14_000, 0.8), list[str]()
    normals = normals_of(cloud).copy()
    normals[::100] *= -1
    surface = reconstruct(model, replace(cloud, normals_N3=normals), Options(resolution=64), told.append)
    assert any("contradict" in line for line in told)
    assert surface.report.used == len(surface.points_N3) - surface.report.mirrored <= 13_870
    away = np.abs(np.linalg.norm(surface.mesh.vertices_V3, axis=1) - 0.8)
    assert away.max() < 0.01
    assert surface.report.watertight and surface.report.components == 1
