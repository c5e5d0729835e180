"""Surfaces that go straight on where a cloud ends, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from solid_cases import box_cloud, normals_of, small_model, sphere_cloud

from nidcli.files.clouds import Cloud
from nidcli.sdf.continuation import LENGTH, continued
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.support import spacing

POST = (0.2, 0.2, 0.9)


def cut(cloud: Cloud, height: float, lean: float = 0.0) -> Cloud:
    """What lies below a plane."""
    seen = cloud.points_N3[:, 2] + lean * cloud.points_N3[:, 0] < height
    return Cloud(cloud.points_N3[seen], normals_of(cloud)[seen])


@pytest.mark.parametrize("cloud", [box_cloud(4000), box_cloud(3000, POST), sphere_cloud(2000)])
def test_what_is_closed_has_no_border(cloud: Cloud):
    points, normals = continued(cloud.points_N3, normals_of(cloud), spacing(cloud.points_N3))
    assert len(points) == len(normals)
    assert len(points) - len(cloud.points_N3) < 0.02 * len(cloud.points_N3)


@pytest.mark.parametrize("lean", [0.0, 0.3])
def test_a_post_that_was_cut_through_goes_on_straight(lean: float):
    cloud = cut(box_cloud(4000, POST), 0.2, lean)
    gap, before = spacing(cloud.points_N3), len(cloud.points_N3)
    points, normals = continued(cloud.points_N3, normals_of(cloud), gap)
    new, facing = points[before:], normals[before:]
    rows = 8 * 0.2 / gap * LENGTH / gap  # all around the post, a point a spacing
    assert len(new) > 0.5 * rows
    assert np.median(np.abs(np.abs(new[:, :2]).max(1) - 0.2)) < 1e-6
    assert np.abs(facing[:, 2]).max() == 0
    assert 0.2 + 0.7 * LENGTH < np.quantile(new[:, 2], 0.98) < 0.2 + LENGTH + 0.1


def test_rays_end_at_what_is_seen():
    both = box_cloud(8000, POST)
    seen = np.abs(both.points_N3[:, 2] - 0.1) > 0.1  # a gap of 0.2 between two halves
    points, normals = both.points_N3[seen], normals_of(both)[seen]
    found, _ = continued(points, normals, spacing(points))
    new = found[len(points) :]
    assert len(new) > 100
    low, high = np.quantile(new[:, 2], (0.03, 0.97))  # a few pass by the corners
    assert low > -0.05 and high < 0.25


def test_too_few_points_have_no_border():
    cloud = sphere_cloud(12)
    assert len(continued(cloud.points_N3, normals_of(cloud), spacing(cloud.points_N3))[0]) == 12


def test_a_reconstruction_goes_on_where_that_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nidcli.sdf.completion.completed", lambda points, normals, gap: (points, normals, []))
    cloud, told = cut(box_cloud(6000, (0.3, 0.45, 0.9)), 0.3), list[str]()
    options = [Options(resolution=48, complete=how, symmetry="none") for how in ("none", "straight")]
    left, on = (reconstruct(small_model(), cloud, each, told.append) for each in options)
    assert left.report.added == 0 and on.report.added > 300
    assert f"{on.report.added} points are added where surfaces go straight on" in told[-1]
    tops = [float(surface.mesh.vertices_V3[:, 2].max()) for surface in (left, on)]
    assert tops[0] < 0.4 and tops[1] > 0.5
    wide = np.abs(on.mesh.vertices_V3[:, :2]).max(0)
    assert wide == pytest.approx([0.3, 0.45], abs=0.06)
