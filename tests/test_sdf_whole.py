"""Dictionaries whose experts span the whole domain: one code of a cloud, from the gate's guess on."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from solid_cases import normals_of, small_model, sphere_cloud

from nidcli.clouds import cloud_distance
from nidcli.dictionary import DictionarySpec
from nidcli.model import LevelSpec, Model, ModelSpec
from nidcli.moe.gates import MoeGateSpec
from nidcli.sdf import whole
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.solving import Oriented, understood
from nidcli.sdf.support import spacing


def spanning(heads: Literal["linear", "own"] = "linear", *, gate: bool = False) -> Model:
    """Random experts of the whole domain, and an untrained set encoder."""
    torch.manual_seed(0)
    sizes = {"experts": 500, "hidden": 500, "layers": 2, "frequencies": 128, "spread": 1.5, "width": 8}
    bank = DictionarySpec(dims=3, channels=1, activated=True, embedding="gaussian", heads=heads, **sizes)  # type: ignore[arg-type]
    level = LevelSpec(dictionary=bank, cells=1, pixels=8, overlap=0, top_k=500, basis=0)
    moe = MoeGateSpec(kind="set", width=16, blocks=2, halve=0, pool="max") if gate else None
    model = Model(ModelSpec(kind="sdf", levels=(level,), moe=moe)).eval().requires_grad_(False)
    model.level(0).prior_variance_BK.fill_(1.0)
    return model


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_a_code_of_the_whole_domain_draws_a_ball(heads: Literal["linear", "own"]):
    cloud = sphere_cloud(3_000, 0.9)
    surface = reconstruct(spanning(heads), cloud, Options(resolution=48), lambda text: None)
    assert surface.report.watertight and surface.report.components == 1
    assert surface.report.resolution == 48 and surface.report.cells == 1
    assert np.abs(np.linalg.norm(surface.mesh.vertices_V3, axis=1) - 0.9).max() < 0.03


def test_the_code_says_what_the_cloud_does_and_starts_from_what_the_gate_says():
    cloud = sphere_cloud(2_000, 0.6)
    points, normals = cloud.points_N3, normals_of(cloud)
    model = spanning(gate=True)
    share = whole.whole_share(model, points, normals)
    directions = torch.from_numpy(normals).float()
    value = {r: share.bank.field(r * directions, share.code_SK.T)[:, 0, 0] + share.constant for r in (0.3, 0.6, 0.9)}
    for radius, drawn in value.items():
        assert (drawn - (radius - 0.6)).abs().mean() < 0.02
    assert value[0.6].abs().mean() < 0.01
    # where the training codes had no variance the gate decides alone, and without a gate their mean
    model.level(0).prior_variance_BK.zero_()
    assert model.moe is not None
    code = model.moe.answer(torch.zeros(1, 2_000, 1), torch.from_numpy(points).float()[None], 500).dense(500)[:, 0]
    assert torch.allclose(whole.whole_share(model, points, normals).code_SK[0], code, atol=1e-4)
    model.moe = None
    model.level(0).prior_mean_BK.fill_(0.25)
    assert (whole.whole_share(model, points, normals).code_SK == 0.25).all()


def test_only_one_level_of_one_cell_spans_the_domain_and_its_lattice_is_bounded():
    assert whole.spans(spanning()) and not whole.spans(small_model())
    cloud = sphere_cloud(100, 0.6)
    given = Oriented(cloud.points_N3, normals_of(cloud), spacing(cloud.points_N3), 0.0, True)
    for resolution, side in ((0, whole.STEPS), (40, 40), (1024, whole.MOST_STEPS)):
        assert understood(spanning(), given, resolution, symmetric=True).side == side


def test_distances_to_a_cloud_are_negative_behind_its_normals():
    cloud = sphere_cloud(5_000, 0.5)
    places = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    found = cloud_distance(cloud.points_N3, normals_of(cloud), places)
    assert np.abs(found - (np.linalg.norm(places, axis=1) - 0.5)).max() < 0.02
