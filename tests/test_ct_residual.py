"""The solver of the residual: what it minimises, against slower ways of minimising it, and what guides it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nidcli.ct.geometry import Geometry
from nidcli.ct.residual import Penalties, TotalVariation, edge_weights, slopes_of, steepness, transposed_slopes
from nidcli.ct.scanner import Scanner

N = 16


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner.of(Geometry(size=N, angles_V=(0.0, 30.0, 60.0, 90.0, 120.0, 150.0), bins=N))


def block(value: float = 1.0) -> Tensor:
    picture = torch.zeros(N, N)
    picture[5:11, 4:9] = value
    return picture.reshape(-1, 1)


def cost(scanner: Scanner, sinogram: Tensor, picture: Tensor, penalties: Penalties) -> float:
    total = (scanner.forward(picture) - sinogram).square().sum() / 2
    steep = steepness(picture, N) * (1 if penalties.edges_NS is None else penalties.edges_NS)
    total = total + (penalties.lambda_S * steep).sum()
    if penalties.mu_S is not None and penalties.mean_NS is not None:
        total = total + (penalties.mu_S / 2 * (picture - penalties.mean_NS).square()).sum()
    return float(total)


def test_slopes_and_their_transpose_pass_the_dot_test():
    chance = torch.Generator().manual_seed(0)
    x, q = torch.randn(5, 7, 2, generator=chance).double(), torch.randn(2, 5, 7, 2, generator=chance).double()
    assert float((slopes_of(x) * q).sum()) == pytest.approx(float((x * transposed_slopes(q)).sum()), rel=1e-12)


@pytest.mark.parametrize("guided", [False, True])
def test_no_small_change_lowers_what_it_minimises(scanner: Scanner, guided: bool):
    chance = torch.Generator().manual_seed(1)
    sinogram = scanner.forward(block()) + 0.3 * torch.randn(scanner.operator.shape[0], 1, generator=chance)
    penalties = Penalties(torch.tensor([0.4]))
    if guided:
        mean = 0.8 * block()
        penalties = Penalties(torch.tensor([0.4]), torch.tensor([2.0]), mean, edge_weights(mean, N, 0.1))
    found = TotalVariation(1000).solve(scanner, sinogram, penalties, torch.zeros(N * N, 1))
    least = cost(scanner, sinogram, found, penalties)
    for size in (1e-1, 1e-2):
        for _ in range(20):
            other = found + size * torch.randn(N * N, 1, generator=chance) / N
            assert cost(scanner, sinogram, other, penalties) > least - 1e-4
    assert cost(scanner, sinogram, block(), penalties) > least


def test_slices_are_solved_together_as_alone(scanner: Scanner):
    both = torch.cat([block(), block(0.3).flip(0)], 1)
    sinogram, penalties = scanner.forward(both), Penalties(torch.tensor([0.1, 0.1]), non_negative=True)
    together = TotalVariation(50).solve(scanner, sinogram, penalties, torch.zeros(N * N, 2))
    for s in range(2):
        alone = Penalties(torch.tensor([0.1]), non_negative=True)
        found = TotalVariation(50).solve(scanner, sinogram[:, s : s + 1], alone, torch.zeros(N * N, 1))
        assert torch.allclose(found, together[:, s : s + 1], atol=1e-5)


def test_a_block_comes_back_from_few_views_and_exactly_where_its_edges_are_known(scanner: Scanner):
    sinogram, start = scanner.forward(block()), torch.zeros(N * N, 1)
    plain = TotalVariation(400).solve(scanner, sinogram, Penalties(torch.tensor([0.01]), non_negative=True), start)
    edges = edge_weights(block(), N, 0.01)
    known = Penalties(torch.tensor([0.01]), edges_NS=edges, non_negative=True)
    guided = TotalVariation(400).solve(scanner, sinogram, known, start)
    assert (plain - block()).abs().max() < 0.1
    assert (guided - block()).norm() < 0.5 * (plain - block()).norm() + 1e-3


def test_without_negative_values_none_are_left(scanner: Scanner):
    sinogram = -scanner.forward(block())
    for asked in (True, False):
        penalties = Penalties(torch.tensor([0.01]), non_negative=asked)
        found = TotalVariation(100).solve(scanner, sinogram, penalties, torch.zeros(N * N, 1))
        assert bool((found >= 0).all()) is asked


def test_rays_that_are_held_out_have_no_say(scanner: Scanner):
    rays = torch.ones(scanner.operator.shape[0], 1)
    rays[:N] = 0
    sinogram = scanner.forward(block())
    spoilt = sinogram + (1 - rays) * 100
    penalties = Penalties(torch.tensor([0.05]), rays_M1=rays)
    answers = [TotalVariation(30).solve(scanner, y, penalties, torch.zeros(N * N, 1)) for y in (sinogram, spoilt)]
    assert torch.equal(*answers)


def test_sharpening_finds_the_edges_that_nobody_told_it(scanner: Scanner):
    sinogram, start = scanner.forward(block()), torch.zeros(N * N, 1)
    weak = Penalties(torch.tensor([0.1]), non_negative=True)
    plain, sharp = (TotalVariation(400, sharpen=each).solve(scanner, sinogram, weak, start) for each in (0, 100))
    assert (sharp - block()).norm() < 0.5 * (plain - block()).norm()


def test_it_stops_when_nothing_moves(scanner: Scanner):
    sinogram, penalties = scanner.forward(block()), Penalties(torch.tensor([0.05]))
    slow = TotalVariation(1500, tolerance=1e-5)
    found = slow.solve(scanner, sinogram, penalties, torch.zeros(N * N, 1))
    further = TotalVariation(200).solve(scanner, sinogram, penalties, found)
    assert (further - found).abs().max() < 0.02


def test_flat_parts_weigh_full_and_edges_little():
    weights = edge_weights(block(), N, 0.05).view(N, N)
    assert weights[0, 0] == 1
    assert weights[7, 8] < 0.1
