"""The corrector of solids: what it is shown, where it is asked, how a field takes its answer, and what teaches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Protocol, cast

import numpy as np
import pytest
import torch
from solid_cases import box_cloud, box_mesh, normals_of, small_model, sphere_cloud

from nidcli.artifacts import load_model
from nidcli.corrector import POINT_CHANNELS, Corrector, CorrectorSpec, folded, unfolded
from nidcli.model import Model, ModelSpec
from nidcli.sdf import correcting
from nidcli.sdf.angular import angular
from nidcli.sdf.correcting import drawn, folded_places, shown
from nidcli.sdf.correction_loss import correction_loss, turned_pieces
from nidcli.sdf.observing import PIECE, observed, piece_bytes
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.solids import solid
from nidcli.sdf.solving import Field, Oriented, understood
from nidcli.sdf.splatting import splatted
from nidcli.sdf.support import spacing


class Conv(Protocol):
    weight: torch.Tensor
    bias: torch.Tensor


QUIET: Callable[[str], None] = lambda text: None  # noqa: E731
SPEC = CorrectorSpec(width=4, depth=1)


@lru_cache(maxsize=1)
def corrected_model() -> Model:
    """The small model with an untrained corrector."""
    plain = small_model()
    torch.manual_seed(0)
    model = Model(replace(plain.spec, corrector=SPEC))
    model.load_state_dict(plain.state_dict(), strict=False)
    return model.eval().requires_grad_(False)


def last(net: Corrector) -> Conv:
    """Its last convolution."""
    return cast(Conv, net.head[-1])


def with_bias(value: float) -> Model:
    """One whose corrector adds the same number of lattice steps everywhere."""
    model = Model(corrected_model().spec)
    model.load_state_dict(corrected_model().state_dict())
    assert model.corrector is not None
    torch.nn.init.constant_(last(model.corrector).bias, value)
    return model.eval().requires_grad_(False)


def sphere_field(model: Model, resolution: int = 0) -> Field:
    cloud = sphere_cloud(600)
    assert cloud.normals_N3 is not None
    points = Oriented(cloud.points_N3, cloud.normals_N3, spacing(cloud.points_N3), 0.0, True)
    return understood(model, points, resolution, symmetric=False)


def radius(model: Model, resolution: int = 0) -> tuple[float, float]:
    """Of a sphere as it is reconstructed, and the lattice step."""
    found = reconstruct(model, sphere_cloud(600), Options(resolution=resolution, symmetry="none"), QUIET)
    return float(np.linalg.norm(found.mesh.vertices_V3, axis=1).mean()), 2 / found.report.resolution


def test_folding_is_undone_by_unfolding_and_keeps_neighbours_together():
    lattice = torch.arange(4 * 6 * 8.0).view(1, 4, 6, 8)
    parts = folded(lattice, 2)
    assert parts.shape == (1, 8, 2, 3, 4) and torch.equal(unfolded(parts, 2), lattice)
    assert parts[0, :, 0, 0, 0].tolist() == lattice[0, :2, :2, :2].flatten().tolist()


def test_an_untrained_corrector_changes_nothing():
    cloud = sphere_cloud(300)
    one, other = (reconstruct(m, cloud, Options(), QUIET).mesh for m in (small_model(), corrected_model()))
    assert np.array_equal(one.vertices_V3, other.vertices_V3) and np.array_equal(one.faces_F3, other.faces_F3)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every point were angular."""
    monkeypatch.setattr(correcting, "angular", lambda points, normals: np.ones(len(points)))
    monkeypatch.setattr(correcting, "REFUTED", 1.0)


@pytest.mark.usefixtures("heard")
def test_the_surface_moves_by_what_the_corrector_adds_on_finer_lattices_as_well_and_not_on_coarser_ones():
    model, moved = corrected_model(), with_bias(-0.75)
    usual, step = radius(model)
    grown = radius(moved)[0] - usual
    assert 0.6 * step < grown < 1.6 * step  # the field of so small a dictionary is flatter than a distance
    finer, small = radius(model, round(2 / step) * 2)
    assert small == pytest.approx(step / 2, rel=0.1)
    assert radius(moved, round(2 / step) * 2)[0] - finer == pytest.approx(grown, rel=0.1)
    assert radius(moved, round(2 / step) // 2)[0] == radius(model, round(2 / step) // 2)[0]


@pytest.mark.usefixtures("heard")
def test_tiles_and_bands_answer_as_the_whole_does(monkeypatch: pytest.MonkeyPatch):
    model = with_bias(0.0)
    assert model.corrector is not None
    torch.manual_seed(1)
    torch.nn.init.normal_(last(model.corrector).weight, std=0.05)
    field = sphere_field(model)
    (whole,) = drawn(model, field)[0]
    monkeypatch.setattr(correcting, "HALO", 12)  # more than the net of the test sees
    monkeypatch.setattr(correcting, "MOST", 42**3)
    boxes = list(correcting._tiles([(0, 32), (3, 35), (0, 9)]))
    assert len(boxes) > 1 and sum(np.prod(np.subtract(b, a)) for a, b in boxes) == 32 * 32 * 9
    (tiled,) = drawn(model, field)[0]
    assert torch.allclose(whole.value_XYZ, tiled.value_XYZ, atol=1e-5)
    plain = next(iter(drawn(small_model(), field)[0]))
    assert (whole.value_XYZ - plain.value_XYZ).abs().max() > 0.05 * field.step
    monkeypatch.setattr("nidcli.sdf.lattice.BAND_NUMBERS", (field.side + 1) ** 2 * field.side // 3)
    parts = list(drawn(model, field)[0])
    assert len(parts) > 1
    joined = torch.cat([*(part.value_XYZ[:-1] for part in parts[:-1]), parts[-1].value_XYZ])
    assert torch.allclose(joined, whole.value_XYZ, atol=1e-5)


@pytest.mark.parametrize("points", [150, 400, 1500])
def test_smooth_surfaces_are_left_to_the_cells_whatever_the_net_says(points: int):
    cloud, options = sphere_cloud(points), Options(symmetry="none")
    assert (angular(cloud.points_N3, normals_of(cloud)) == 0).all()
    found = reconstruct(load_model("chair").model, cloud, options, QUIET)
    assert not found.report.corrected
    assert np.abs(np.linalg.norm(found.mesh.vertices_V3, axis=1) - 0.9).max() < 0.03


def test_noise_dense_clouds_and_coarse_lattices_are_not_corrected_and_sparse_boxes_are():
    model = load_model("chair").model
    said = lambda cloud, **how: reconstruct(model, cloud, Options(**how), QUIET).report.corrected  # noqa: E731
    assert said(box_cloud(400))
    assert not said(box_cloud(400), noise=0.01)
    assert not said(box_cloud(400), resolution=24)
    assert not said(box_cloud(12000))


def test_a_corrector_that_contradicts_the_points_is_not_heard(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(correcting, "angular", lambda points, normals: np.ones(len(points)))
    model = with_bias(0.0)
    inside_out = lambda net, seen: -2 * correcting.VALUE_UNIT * seen[:, : SPEC.fold**3]  # noqa: E731
    monkeypatch.setattr(Corrector, "forward", inside_out)
    field = sphere_field(model)
    (guarded, heard), (plain, _) = (drawn(m, field) for m in (model, small_model()))
    own_XYZ = next(iter(plain)).value_XYZ
    assert not heard and torch.equal(next(iter(guarded)).value_XYZ, own_XYZ)
    monkeypatch.setattr(correcting, "REFUTED", 1.0)
    said, heard = drawn(model, field)
    beside = own_XYZ.abs() < field.step
    assert heard and torch.allclose(next(iter(said)).value_XYZ[beside], -own_XYZ[beside], atol=1e-2 * field.step)


def test_the_points_that_are_shown_are_all_there_and_lie_where_they_are():
    places = np.array([[1.0, 2.0, 3.0], [0.25, 0.5, 0.0], [9.0, 9.0, 9.0]])
    normals = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    found = splatted(places, normals, (4, 4, 4))
    assert found[0].sum() == pytest.approx(2) and found[0, 1, 2, 3] == 1 and found[1, 1, 2, 3] == 1
    assert found[2, 0, 0, 0] == pytest.approx(0.75 * 0.5) and found[3].abs().sum() == 0
    # the middle of a folded point lies between its lattice points
    step = 2 / 16
    assert folded_places(np.array([[-1 + step / 2] * 3]), step, 2)[0] == pytest.approx([0, 0, 0])


def test_pieces_are_turned_with_their_normals():
    """A plane through points: whatever way it is turned, the field grows along the normals."""
    side, fold = 8, 2
    normal = np.array([0.48, -0.6, 0.64])
    grid = np.stack(np.meshgrid(*[np.arange(side * fold)] * 3, indexing="ij"), -1) - side
    value = torch.from_numpy(grid @ normal).float()
    splat = splatted(np.full((1, 3), 3.0), normal[None], (side,) * 3)
    seen = shown(value, torch.ones_like(value, dtype=torch.bool), splat, 4.0, fold)[None]
    truth = folded(value[None], fold)
    ways = set()
    for seed in range(30):
        a, b = turned_pieces(seen, truth, fold, np.random.default_rng(seed))
        assert a.shape == seen.shape and torch.allclose(unfolded(a[:, : fold**3], fold) * 4, unfolded(b, fold))
        slope = [float(unfolded(b, fold)[0].diff(dim=d).mean()) for d in range(3)]
        found = a[0, 2 * fold**3 + 1 : -1].flatten(1).sum(1)
        assert found.tolist() == pytest.approx(slope, abs=1e-5)
        ways.add(tuple(np.round(slope, 3)))
    assert len(ways) > 15


def test_the_loss_is_nothing_at_the_truth_and_asks_to_leave_sheets_alone():
    torch.manual_seed(0)
    grid = torch.arange(8.0) - 3.5
    first, truth = (grid[:, None, None] + d + torch.zeros(8, 8, 8) for d in (1.0, 0.0))
    seen = shown(first, torch.ones(8, 8, 8, dtype=torch.bool), torch.zeros(4, 4, 4, 4), 4.0, 2)[None]
    wanted = folded(truth[None], 2)
    right, nothing = torch.full_like(wanted, -1.0), torch.zeros_like(wanted)
    assert float(correction_loss(right, seen, wanted, 2)) == pytest.approx(0, abs=1e-6)
    assert float(correction_loss(nothing, seen, wanted, 2)) > 0.3
    stays = torch.full_like(wanted, torch.inf)
    assert float(correction_loss(nothing, seen, stays, 2)) == 0 < float(correction_loss(right, seen, stays, 2))
    unasked = torch.full_like(wanted, torch.nan)
    assert float(correction_loss(right, seen, unasked, 2)) == 0


def test_a_corrector_is_for_solids():
    with pytest.raises(ValueError, match="for solids"):
        ModelSpec(kind="image", corrector=SPEC)
    with pytest.raises(ValueError, match="1 or more"):
        CorrectorSpec(width=0)


def test_what_is_observed_of_a_solid_is_near_the_truth_and_depends_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("point_cloud_utils", reason="exact distances are from the extra `mesh`")
    monkeypatch.setattr("nidcli.sdf.solids.RESOLUTION", 500)
    monkeypatch.setattr("nidcli.sdf.solids._PROBE", 2000)
    monkeypatch.setattr("nidcli.sdf.observing.POINTS", (300.0, 900.0))
    box, model = solid(box_mesh((0, 0, 0), (2, 1, 1)), "box"), corrected_model()
    seen, truth = observed(model, box, np.random.default_rng(3), 3)
    fold = SPEC.fold
    assert seen.shape == (3, 2 * fold**3 + POINT_CHANNELS, *[PIECE] * 3) and truth.shape == (3, fold**3, *[PIECE] * 3)
    first, wanted = unfolded(seen[:, : fold**3].float() * 4, fold), unfolded(truth.float(), fold)
    assert piece_bytes(SPEC) * 3 == 2 * (seen.numel() + truth.numel())
    asked = wanted.isfinite() & (wanted.abs() < 2)
    assert asked.sum() > 1000 and (first - wanted)[asked].abs().median() < 0.5
    again, other = (observed(model, box, np.random.default_rng(seed), 3)[0] for seed in (3, 4))
    assert torch.equal(seen, again) and not torch.equal(seen, other)


def test_a_corrector_learns_what_a_net_without_points_cannot_know():
    """Offsets that depend on the points alone are learned: the net sees them."""
    torch.manual_seed(0)
    net = Corrector(SPEC)
    seen = torch.randn(4, 2 * SPEC.fold**3 + POINT_CHANNELS, 8, 8, 8)
    wanted = seen[:, 16:17].expand(-1, 8, -1, -1, -1)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = (net(seen) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(float(wanted.square().mean())) and losses[-1] < 0.3 * losses[0]
