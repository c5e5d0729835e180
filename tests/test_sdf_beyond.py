"""What cells say beyond the points, held against the cloud as a whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from solid_cases import normals_of, small_model, sphere_cloud

from nidcli.artifacts import bundled, load_model
from nidcli.model import Model
from nidcli.sdf import solving
from nidcli.sdf.beyond import amended
from nidcli.sdf.field import Data, Share
from nidcli.sdf.support import spacing
from nidcli.sdf.winding import winding

RADIUS = 0.6


def test_winding_numbers_of_a_sphere_are_one_inside_and_nothing_outside():
    cloud, size = sphere_cloud(4_000, RADIUS), 64
    step = 2.4 / size
    area = 4 * math.pi * RADIUS**2 / 4_000 / step**2
    field = winding(cloud.points_N3 / step + size / 2, normals_of(cloud) * area, size)
    place = (np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), -1) - size / 2) * step
    far = np.linalg.norm(place, axis=-1)
    outside = field[far > RADIUS + 0.3].mean()
    assert field[far < RADIUS - 0.15] - outside == pytest.approx(1, abs=0.08)
    assert field[far > RADIUS + 0.15] - outside == pytest.approx(0, abs=0.08)
    blurred = winding(cloud.points_N3 / step + size / 2, normals_of(cloud) * area, size, 2.0)
    assert np.abs(np.diff(blurred, axis=0)).max() < 0.6 * np.abs(np.diff(field, axis=0)).max()


def solved(outwards: float = 1) -> tuple[list[Share], Data, Data]:
    """Shares of a sphere, its data, and what coarser levels leave of these for the finest."""
    model, cloud = load_model("chair").model, sphere_cloud(4_000, RADIUS)
    points = torch.from_numpy(cloud.points_N3).float()
    value = torch.zeros(len(points))
    data = Data(points, value, outwards * torch.from_numpy(normals_of(cloud)).float(), value + 0.001, value + 0.14)
    shares = solving.solve(model, data, 32)
    left = data
    for share in shares[:-1]:
        left = left.minus(share.jets(points))
    return shares, data, left


def values(field: list[Share], points: torch.Tensor) -> torch.Tensor:
    return torch.stack([share.jets(points)[:, 0] for share in field]).sum(0)


@pytest.mark.skipif("chair" not in bundled(), reason="no bundled dictionaries")
def test_a_cell_with_a_sign_wrong_beyond_the_points_is_solved_again_and_no_other():
    shares, data, left = solved()
    finest, gap = shares[-1], spacing(data.points_N3.numpy())
    level = solving.nearest_level(load_model("chair").model, finest.cells)
    kept = amended(level, shares, data, left, gap, solving.LEAST, solving.MOST)
    assert kept is finest  # nothing is wrong with a sphere
    slot = len(finest.cell_S) // 2
    odd = finest.code_SK.clone()
    spread = level.prior().variance_K.sqrt()
    odd[slot] += 3 * spread * torch.randn(len(spread), generator=torch.Generator().manual_seed(0))
    wrong = [*shares[:-1], replace(finest, code_SK=odd)]
    again = amended(level, wrong, data, left, gap, solving.LEAST, solving.MOST)
    order = torch.argsort(again.cell_S)
    assert torch.equal(again.cell_S[order], finest.cell_S.sort().values)
    codes = again.code_SK[order][torch.argsort(torch.argsort(finest.cell_S))]
    assert not torch.equal(codes[slot], odd[slot])
    changed = (codes != odd).any(1)
    assert 1 <= changed.sum() < 28  # the cells that overlap it at the most
    points = data.points_N3
    before, after, ruined = ([*shares[:-1], s] for s in (finest, again, wrong[-1]))
    error = [values(field, points).abs().max() for field in (before, after, ruined)]
    assert error[2] > 10 * error[0] and error[1] < 3 * error[0]
    beyond = points * (1 + 1.2 * gap / RADIUS)
    assert (values(after, beyond) > 0).all()


@pytest.mark.skipif("chair" not in bundled(), reason="no bundled dictionaries")
def test_a_room_seen_from_inside_is_solid_beyond_its_walls():
    shares, data, left = solved(outwards=-1)
    level, gap = solving.nearest_level(load_model("chair").model, 32), spacing(data.points_N3.numpy())
    assert amended(level, shares, data, left, gap, solving.LEAST, solving.MOST) is shares[-1]


def test_only_dense_clean_clouds_are_checked(monkeypatch: pytest.MonkeyPatch):
    asked = list[float | None]()

    def noted(model: Model, data: Data, finest: int, gap: float | None, experts: int | None) -> list[Share]:
        asked.append(gap)
        return []

    monkeypatch.setattr(solving, "solve", noted)
    for points, noise, given in ((9_000, 0.0, True), (9_000, 0.004, True), (9_000, 0.0, False), (2_000, 0.0, True)):
        cloud = sphere_cloud(points, RADIUS)
        gap = spacing(cloud.points_N3)
        oriented = solving.Oriented(cloud.points_N3, normals_of(cloud), gap, noise, given)
        solving.understood(small_model(), oriented, 0, symmetric=False)
        assert asked.pop() == (gap if (points, noise, given) == (9_000, 0.0, True) else None)
        solving.understood(small_model(), oriented, 64, symmetric=False)  # coarser than the points
        assert asked.pop() is None
