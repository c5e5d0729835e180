"""Parts of surface reconstruction against closed forms: jets, posterior means, fields, lattices, topology."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from solid_cases import box_mesh, normals_of, small_model, sphere_cloud

from nidcli.dictionary import Dictionary, DictionarySpec
from nidcli.engine import materialise
from nidcli.operators import Hermite
from nidcli.problem import DenseDesign
from nidcli.sdf import lattice
from nidcli.sdf.field import Data, solve_share
from nidcli.sdf.frame import Frame
from nidcli.sdf.lattice import bands, closed_off, triangles
from nidcli.sdf.support import spacing, supported, thinned
from nidcli.sdf.topology import compacted, component_of_faces, is_closed
from nidcli.solvers.posterior import Ragged, posterior_means


@pytest.mark.parametrize(
    "spec",
    [
        DictionarySpec(dims=3, channels=2, experts=5, hidden=6, frequencies=8),
        DictionarySpec(dims=3, channels=2, experts=5, hidden=6, frequencies=7),
        DictionarySpec(dims=3, channels=1, experts=5, hidden=6, frequencies=8, layers=2),
        DictionarySpec(dims=2, channels=2, experts=4, hidden=6, frequencies=8, embedding="siren", omega=3.0),
        DictionarySpec(dims=3, channels=2, experts=3, hidden=6, frequencies=8, heads="own"),
    ],
)
@torch.no_grad()
def test_jets_are_values_and_slopes(spec: DictionarySpec):
    torch.manual_seed(0)
    bank = Dictionary(spec).double()
    points, step = torch.rand(7, spec.dims, dtype=torch.float64), 1e-6
    jets = bank.jets(points)
    assert jets.shape == (7, 1 + spec.dims, spec.channels, spec.experts)
    assert torch.allclose(jets[:, 0], bank.atoms(points))
    for d, axis in enumerate(torch.eye(spec.dims, dtype=torch.float64)):
        slope = (bank.atoms(points + step * axis) - bank.atoms(points - step * axis)) / (2 * step)
        assert torch.allclose(jets[:, 1 + d], slope, atol=1e-7)


def test_hermite_measures_value_and_gradient_of_a_quadratic():
    points = torch.rand(5, 3, dtype=torch.float64)
    jets = torch.cat([points.square().sum(1, keepdim=True), 2 * points], 1)
    operator = Hermite(points, torch.full((5,), 2.0), torch.full((5,), 3.0))
    measured = operator.forward(jets[:, :, None])[:, 0].view(5, 4)
    assert torch.allclose(measured[:, 0], 2 * points.square().sum(1))
    assert torch.allclose(measured[:, 1:], 6 * points)


def test_hermite_has_an_exact_adjoint_and_can_be_cut_anywhere():
    operator = Hermite(torch.rand(6, 3, dtype=torch.float64), torch.rand(6), torch.rand(6))
    jets, rows = torch.randn(6, 4, 2, dtype=torch.float64), torch.randn(24, 2, dtype=torch.float64)
    there, back = (operator.forward(jets) * rows).sum(), (operator.adjoint(rows) * jets).sum()
    assert torch.allclose(there, back, rtol=1e-12)
    parts = [operator[a:b] for a, b in ((0, 3), (3, 13), (13, 24))]
    assert [part.shape[0] for part in parts] == [3, 10, 11]
    width = 4
    cut = [
        p.forward(jets[a // width : -(-b // width)])
        for p, (a, b) in zip(parts, ((0, 3), (3, 13), (13, 24)), strict=True)
    ]
    assert torch.equal(torch.cat(cut), operator.forward(jets))
    inner = operator[3:20][4:9]
    assert torch.equal(inner.forward(jets[1:3]), operator.forward(jets)[7:12])


def test_a_design_of_jets_has_the_constants_of_values_only():
    bank = Dictionary(DictionarySpec(dims=3, channels=1, experts=4, hidden=4, frequencies=8))
    design = materialise(bank, Hermite(torch.rand(3, 3)))
    assert isinstance(design, DenseDesign)
    assert design.matrix_MK.shape == (12, 4)
    assert design.free_MC[:, 0].tolist() == [1, 0, 0, 0] * 3


@pytest.mark.parametrize("rows", [3, 40])
def test_posterior_means_meet_their_normal_equations(rows: int):
    torch.manual_seed(0)
    counts = torch.tensor([rows, 0, rows + 1, 2 * rows])
    total, K = int(counts.sum()), 12
    matrix, target = torch.randn(total, K), torch.randn(total)
    mean, variance = torch.randn(K), torch.rand(K)
    variance[3] = 0
    found = posterior_means(Ragged(matrix, target, counts), mean, variance).double()
    assert torch.equal(found[1], mean.double())
    for own, own_target, code in zip(matrix.split(counts.tolist()), target.split(counts.tolist()), found, strict=True):
        A, y = own.double(), own_target.double()
        V = variance.double().diag()
        want = mean.double() + V @ A.T @ torch.linalg.solve(A @ V @ A.T + torch.eye(len(y)), y - A @ mean.double())
        if len(y):
            assert torch.allclose(code, want, atol=1e-4)
            assert code[3] == mean.double()[3]


def test_a_share_says_what_it_was_told_and_its_slopes_are_slopes():
    cloud = sphere_cloud(600)
    points = torch.from_numpy(cloud.points_N3).float()
    normals = torch.from_numpy(normals_of(cloud)).float()
    data = Data(points, torch.zeros(600), normals, torch.full((600,), 0.002), torch.full((600,), 0.05))
    share = solve_share(small_model().level(0), 4, data, 1, 512)
    jets = share.jets(points)
    assert jets[:, 0].abs().mean() < 0.02
    assert (jets[:, 1:] * normals).sum(1).mean() > 0.95
    near, step = points[:50] * 0.97, 1e-3
    middle = share.jets(near)
    for d in range(3):
        shift = step * torch.eye(3)[d]
        slope = (share.jets(near + shift)[:, 0] - share.jets(near - shift)[:, 0]) / (2 * step)
        assert (middle[:, 1 + d] - slope).abs().median() < 0.01


def test_a_share_has_cells_only_where_there_are_points():
    points = torch.tensor([[0.9, 0.9, 0.9]] * 3) + 0.01 * torch.rand(3, 3)
    data = Data(points, torch.zeros(3), torch.tensor([[1.0, 0, 0]] * 3), torch.full((3,), 0.01), torch.full((3,), 0.1))
    share = solve_share(small_model().level(0), 4, data, 1, 512)
    assert len(share.cell_S) <= 8
    assert (share.jets(-points) == 0).all()
    assert len(solve_share(small_model().level(0), 4, data, 4, 512).cell_S) == 0


def test_boxes_added_at_once_and_one_by_one_are_the_same_and_what_lies_outside_is_left(
    monkeypatch: pytest.MonkeyPatch,
):
    chance = torch.Generator().manual_seed(0)
    low_S3 = torch.randint(-3, 9, (60, 3), generator=chance)  # boxes of 4 on a lattice of 8: some hang over, some miss
    boxes, weight = torch.rand(60, 4, 4, 4, generator=chance), torch.rand(4, 4, 4, generator=chance)
    found = []
    for small in (0, 64):
        monkeypatch.setattr(lattice, "SMALL", small)
        lattices = torch.zeros(2, 8, 8, 8)
        lattice._add(lattices[0], lattices[1], low_S3, boxes, weight)
        found.append(lattices)
    wide = torch.zeros(2, 16, 16, 16)
    for (x, y, z), box in zip((low_S3 + 4).tolist(), boxes, strict=True):
        wide[:, x : x + 4, y : y + 4, z : z + 4] += torch.stack([box, weight])
    assert all(torch.allclose(each, wide[:, 4:12, 4:12, 4:12], atol=1e-5) for each in found)


def test_triangles_of_a_sphere_are_closed_look_outwards_and_do_not_depend_on_bands(monkeypatch: pytest.MonkeyPatch):
    cloud = sphere_cloud(800)
    data = Data(
        torch.from_numpy(cloud.points_N3).float(),
        torch.zeros(800),
        torch.from_numpy(normals_of(cloud)).float(),
        torch.full((800,), 0.002),
        torch.full((800,), 0.05),
    )
    share = solve_share(small_model().level(0), 4, data, 1, 512)
    vertices, faces = triangles(bands([share], 8), share.cells * 8)
    near = np.linalg.norm(vertices, axis=1)
    outer = faces[((near[faces] > 0.8) & (near[faces] < 1)).all(1)]
    assert is_closed(outer)
    a, b, c = vertices[outer].transpose(1, 0, 2)
    assert np.einsum("fd,fd->", a, np.cross(b, c)) / 6 == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.05)
    monkeypatch.setattr("nidcli.sdf.lattice.BAND_NUMBERS", 1)
    again, other = triangles(bands([share], 8), share.cells * 8)
    assert (len(again), len(other)) == (len(vertices), len(faces))


def test_what_no_cell_reaches_is_inside_where_its_surroundings_are():
    value, known = np.ones((9, 9, 9), np.float32), np.ones((9, 9, 9), bool)
    value[2:7, 2:7, 2:7], known[4, 4, 4], known[0, 0, 0] = -1, False, False
    filled, _ = closed_off(np.where(known, value, 0), known)
    assert filled[4, 4, 4] < 0 < filled[0, 0, 0]


def test_topology_of_two_boxes():
    first, second = box_mesh(), box_mesh((3, 0, 0), (4, 1, 1))
    faces = np.concatenate([first.faces_F3, second.faces_F3 + 8])
    count, part = component_of_faces(faces, 16)
    assert count == 2 and part.tolist() == [0] * 12 + [1] * 12
    assert is_closed(faces) and not is_closed(faces[1:]) and not is_closed(faces[:0])
    kept, renumbered = compacted(np.concatenate([first.vertices_V3, second.vertices_V3]), faces[12:])
    assert len(kept) == 8 and renumbered.max() == 7


def test_pieces_far_from_points_are_taken_away_and_counted():
    first, second = box_mesh(), box_mesh((30, 0, 0), (31, 1, 1))
    vertices = np.concatenate([first.vertices_V3, second.vertices_V3])
    faces = np.concatenate([first.faces_F3, second.faces_F3 + 8])
    kept, left, removed = supported(vertices, faces, first.vertices_V3, 0.5)
    assert (len(kept), len(left), removed) == (8, 12, 1)


def test_thinning_merges_doubles_and_keeps_the_sides_of_a_sheet_apart():
    rng = np.random.default_rng(0)
    spots = np.column_stack([rng.uniform(-1, 1, (4000, 2)), np.zeros(4000)])
    points, normals = np.concatenate([spots, spots + np.array([0, 0, 1e-4]), spots]), np.zeros((12000, 3))
    normals[:, 2] = np.repeat([-1.0, 1.0, -1.0], 4000)
    few, directions = thinned(points, normals, 500)
    assert directions is not None and 200 < len(few) <= 500
    assert np.allclose(np.abs(directions[:, 2]), 1) and {-1.0, 1.0} == set(np.sign(directions[:, 2]))
    assert len(thinned(points, None, 100_000)[0]) == 8000


def test_spacing_of_a_known_density():
    rng = np.random.default_rng(0)
    plane = np.column_stack([rng.random((4000, 2)), np.zeros(4000)])
    assert spacing(plane) == pytest.approx(4000**-0.5, rel=0.1)


def test_the_frame_gives_large_coordinates_back():
    points = np.array([[5.0e8, 4.0e9, 10.0], [5.0e8 + 30, 4.0e9 + 90, 40.0]])
    frame = Frame.of(points)
    assert np.abs(frame.inwards(points)).max() == pytest.approx(0.9)
    assert np.abs(frame.outwards(frame.inwards(points)) - points).max() < 1e-6
