"""Lattices coarser than the points are drawn with the leading experts of every level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from solid_cases import box_cloud, normals_of, small_model

from nidcli.artifacts import load_model
from nidcli.dictionary import DictionarySpec
from nidcli.files.clouds import Cloud
from nidcli.model import Level, LevelSpec
from nidcli.sdf import solving
from nidcli.sdf.compare import compare
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.solving import LEADING, Oriented, understood
from nidcli.sdf.support import spacing


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_the_leading_experts_of_a_level_are_its_first_ones(heads: str):
    bank = DictionarySpec(dims=3, channels=1, experts=24, hidden=16, frequencies=52, heads=heads)  # type: ignore[arg-type]
    level = Level(LevelSpec(dictionary=bank, cells=4, pixels=5, top_k=24, basis=24))
    level.prior_variance_BK.copy_(torch.rand(1, 24))
    leading, places = level.leading(10), torch.rand(7, 3)
    with torch.no_grad():
        assert torch.allclose(leading.bank().atoms(places), level.bank().atoms(places)[:, :, :10], atol=1e-6)
        assert torch.allclose(leading.bank().jets(places), level.bank().jets(places)[..., :10], atol=1e-5)
    assert torch.equal(leading.prior().variance_K, level.prior().variance_K[:10])
    assert leading.spec.dictionary.experts == 10 and level.bank().spec.experts == len(level.bank().head_KCF) == 24
    assert level.leading(100).bank().spec.experts == 24


def test_only_coarse_lattices_are_drawn_with_leading_experts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(solving, "LEADING", 9)
    cloud = box_cloud(1_500, (0.8, 0.6, 0.4))
    gap = spacing(cloud.points_N3)
    given = Oriented(cloud.points_N3, normals_of(cloud), gap, 0.0, True)
    for resolution, experts in ((0, None), (round(4.2 / gap), None), (round(3.5 / gap), 9)):
        shares = understood(small_model(), given, resolution, symmetric=False).shares
        whole = small_model().level(0).spec.dictionary.experts
        assert {share.code_SK.shape[1] for share in shares} == {experts or whole}


def test_leading_experts_draw_a_coarse_lattice_as_well_as_all(monkeypatch: pytest.MonkeyPatch):
    model, angle = load_model("chair").model, np.linspace(0, 2 * np.pi, 90, endpoint=False)
    around, across = (part.ravel() for part in np.meshgrid(angle, angle[::2]))
    normals = np.stack([np.cos(across) * np.cos(around), np.cos(across) * np.sin(around), np.sin(across)], 1)
    ring = 2 * np.stack([np.cos(around), np.sin(around), np.zeros_like(around)], 1)
    cloud, found = Cloud(ring + normals * 0.8, normals), []
    assert model.level(-1).spec.dictionary.experts > LEADING
    for experts in (LEADING, 256):
        monkeypatch.setattr(solving, "LEADING", experts)
        found.append(reconstruct(model, cloud, Options(resolution=48), lambda text: None).mesh)
    leading, whole = found
    quality, floor = (compare(mesh, whole, points=20_000) for mesh in (leading, whole))
    assert quality.chamfer < 1.01 * floor.chamfer and quality.iou > 0.995
