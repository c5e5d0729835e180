"""Experts that take the values of given atoms, on the samples of a cell and between them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nidcli.dictionary import Dictionary, DictionarySpec
from nidcli.fitting import FineStatistics, Targets, fit_experts
from nidcli.grid import image_coords

SIDE, FINE, K, C = 5, 8, 12, 2
N = SIDE * SIDE


def waves(points_PD: Tensor) -> Tensor:
    """(K, C, P): smooth functions, none like another."""
    g = torch.Generator().manual_seed(4)
    turn_KCD = torch.randn(K, C, 2, generator=g) * 1.2
    phase_KC1 = 6 * torch.rand(K, C, 1, generator=g)
    return torch.sin(torch.einsum("kcd,pd->kcp", turn_KCD, points_PD) + phase_KC1)


def targets(atoms_KCN: Tensor | None = None) -> Targets:
    """Atoms on 5 x 5 samples, and the extension to 8 x 8 points that suits smooth functions."""
    coarse, fine = image_coords(SIDE, SIDE), image_coords(FINE, FINE)
    statistics, g = FineStatistics(N, FINE * FINE), torch.Generator().manual_seed(5)
    turn_XD, phase_X1 = torch.randn(4000, 2, generator=g) * 1.2, 6 * torch.rand(4000, 1, generator=g)
    statistics.add(torch.sin(turn_XD @ coarse.T + phase_X1), torch.sin(turn_XD @ fine.T + phase_X1))
    atoms = waves(coarse) if atoms_KCN is None else atoms_KCN
    return Targets(torch.cat([coarse, fine]), N, atoms, statistics.extension(), torch.ones(len(atoms)))


def bank_of(**changes) -> Dictionary:
    torch.manual_seed(0)
    spec = {"channels": C, "experts": K, "hidden": 30, "frequencies": 120, "width": 16, "omega": 6.0, **changes}
    return Dictionary(DictionarySpec(**spec))


def error_on_samples(bank: Dictionary, wanted: Targets) -> float:
    drawn_KCN = bank.atoms(wanted.points_PD[:N]).permute(2, 1, 0)
    return float((drawn_KCN.detach() - wanted.atoms_KCN).norm() / wanted.atoms_KCN.norm())


def fit(bank: Dictionary, wanted: Targets, steps: int) -> float:
    return fit_experts(bank, wanted, steps, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("hidden", [N, 30, 60])
def test_even_random_atoms_are_taken_on_the_samples_where_features_suffice(hidden):
    atoms_KCN = torch.randn(K, C, N, generator=torch.Generator().manual_seed(1))
    bank, wanted = bank_of(hidden=hidden), targets(atoms_KCN)
    error = fit(bank, wanted, 0)
    assert error < 1e-3
    assert error == pytest.approx(error_on_samples(bank, wanted), rel=1e-3)


def test_smooth_atoms_are_taken_between_the_samples_as_well():
    bank, wanted = bank_of(), targets()
    fit(bank, wanted, 0)
    fine_PD = image_coords(FINE, FINE)
    truth_KCP, drawn_KCP = waves(fine_PD), bank.atoms(fine_PD).permute(2, 1, 0)
    assert (drawn_KCP - truth_KCP).norm() < 0.05 * truth_KCP.norm()


def test_with_fewer_features_than_samples_the_important_atoms_come_first():
    atoms_KCN = torch.randn(K, C, N, generator=torch.Generator().manual_seed(1))
    wanted = targets(atoms_KCN)
    importance_K = torch.full((K,), 1e-3)
    importance_K[:3] = 1
    wanted = Targets(wanted.points_PD, N, atoms_KCN, wanted.extension_NX, importance_K)
    bank = bank_of(hidden=8)
    fit(bank, wanted, 0)
    left_K = (bank.atoms(wanted.points_PD[:N]).permute(2, 1, 0) - atoms_KCN).norm(dim=(1, 2))
    assert left_K[:3].max() < 0.5 * left_K[3:].min()


@pytest.mark.parametrize(
    "changes, steps, share",
    [
        ({"layers": 2, "hidden": 12}, 150, 0.8),  # of where no step leaves it
        ({"heads": "own"}, 200, 0.4),
        ({"embedding": "siren", "heads": "own", "frequencies": 64}, 200, 0.7),
    ],
)
def test_experts_that_are_fitted_by_descent_come_close(changes, steps, share):
    wanted = targets()
    start = fit(bank_of(**changes), wanted, 0)
    error = fit(bank_of(**changes), wanted, steps)
    assert error < share * start


def test_a_siren_with_linear_heads_is_solved_for():
    assert fit(bank_of(embedding="siren", frequencies=64), targets(), 20) < 1e-3


@pytest.mark.parametrize("changes", [{}, {"heads": "own"}, {"embedding": "siren"}, {"layers": 2}])
def test_fitting_twice_gives_the_same_weights(changes):
    first, second = bank_of(**changes), bank_of(**changes)
    fit(first, targets(), 5)
    fit(second, targets(), 5)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_an_atom_that_is_zero_does_no_harm(heads):
    atoms_KCN = waves(image_coords(SIDE, SIDE))
    atoms_KCN[3] = 0
    wanted = targets(atoms_KCN)
    wanted = Targets(wanted.points_PD, N, atoms_KCN, wanted.extension_NX, (torch.arange(K) != 3).float())
    bank = bank_of(heads=heads)
    assert fit(bank, wanted, 20) < 1.5
    assert all(parameter.isfinite().all() for parameter in bank.parameters())


def test_without_fine_points_the_samples_alone_are_fitted():
    statistics = FineStatistics(N, 0)
    atoms_KCN = waves(image_coords(SIDE, SIDE))
    wanted = Targets(image_coords(SIDE, SIDE), N, atoms_KCN, statistics.extension(), torch.ones(K))
    assert fit(bank_of(), wanted, 0) < 1e-3


def test_the_extension_finds_a_linear_relation():
    g = torch.Generator().manual_seed(0)
    relation_NX, statistics = torch.randn(6, 9, generator=g), FineStatistics(6, 9)
    for _ in range(3):
        coarse_XN = torch.randn(500, 6, generator=g)
        statistics.add(coarse_XN, coarse_XN @ relation_NX)
    assert (statistics.extension() - relation_NX).abs().max() < 1e-3


def test_the_extension_averages_out_what_cannot_be_predicted():
    g = torch.Generator().manual_seed(0)
    relation_NX, statistics = torch.randn(6, 9, generator=g), FineStatistics(6, 9)
    coarse_XN = torch.randn(40_000, 6, generator=g)
    statistics.add(coarse_XN, coarse_XN @ relation_NX + torch.randn(40_000, 9, generator=g))
    assert (statistics.extension() - relation_NX).abs().max() < 0.03
