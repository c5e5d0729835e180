"""The bundled dictionary of chairs keeps its quality on a chair that it never saw: 2,000 points with normals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
if str(REPOSITORY) not in sys.path:  # for the list of chairs that are held out
    sys.path.append(str(REPOSITORY))

from benchmarks.chairs import held_out, learned_from  # noqa: E402
from nidcli.artifacts import load_model  # noqa: E402
from nidcli.files.clouds import Cloud  # noqa: E402
from nidcli.files.meshes import read_mesh  # noqa: E402
from nidcli.sdf.compare import compare  # noqa: E402
from nidcli.sdf.reconstruct import Options, reconstruct  # noqa: E402
from nidcli.sdf.solids import solid  # noqa: E402

pytest.importorskip("point_cloud_utils", reason="the truth is a watertight shell, from the extra `mesh`")
pytestmark = pytest.mark.data
FLOOR = (0.05, 0.965)  # squared Chamfer x 1000 of 100,000 points, normal consistency


def test_what_is_held_out_is_not_learned_from_and_what_is_learned_from_is_free(data: Path):
    held, learned = held_out(data / "meshes"), learned_from(data / "meshes")
    assert len(held) == 10 and len(learned) == 35
    assert not {chair.path for chair in held} & {chair.path for chair in learned}
    assert all(chair.licence.startswith(("CC0", "CC-BY")) for chair in learned)
    provenance = load_model("chair").meta.provenance
    assert provenance.data_count == 35 and "CC BY" in provenance.data_licence
    creators = {chair.licence.partition("creator: ")[2].rstrip(")") for chair in learned}
    assert creators <= set(provenance.data_attribution.split(", "))


def test_a_chair_that_was_never_seen(data: Path):
    chair = held_out(data / "meshes")[4]
    truth = solid(read_mesh(chair.path), chair.path.name)
    points, normals = truth.sample(2000, np.random.default_rng(0))
    found = reconstruct(load_model("chair").model, Cloud(points, normals), Options(), lambda text: None)
    quality = compare(found.mesh, truth.mesh)
    assert quality.chamfer < FLOOR[0] and quality.normal_consistency > FLOOR[1]
    assert found.report.components == 1


def test_a_sparse_cloud_is_corrected_where_cells_alone_fall_short(data: Path):
    chair, model = held_out(data / "meshes")[4], load_model("chair").model
    truth = solid(read_mesh(chair.path), chair.path.name)
    points, normals = truth.sample(500, np.random.default_rng(4))
    found = reconstruct(model, Cloud(points, normals), Options(), lambda text: None)
    quality = compare(found.mesh, truth.mesh)
    assert quality.chamfer < 0.065 and quality.normal_consistency > 0.954 and found.report.watertight
    model.corrector = None
    alone = compare(reconstruct(model, Cloud(points, normals), Options(), lambda text: None).mesh, truth.mesh)
    assert quality.chamfer < 0.9 * alone.chamfer and quality.normal_consistency > alone.normal_consistency + 0.003
