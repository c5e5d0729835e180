"""The gate: k largest of a basis, pursuits among candidates, and training that may only help."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nidcli import gate_training
from nidcli.dictionary import Dictionary, DictionarySpec
from nidcli.engine import MatrixFreeDesign
from nidcli.errors import UsageError
from nidcli.gate_training import train_gate
from nidcli.gates import STACKED, CellGate, GateSpec, compete, coordinates, loudest
from nidcli.operators import Sample
from nidcli.problem import DenseDesign, Problem

M, B, L = 25, 24, 40  # a basis of everything but the constant, and learned experts


def unit(rows: Tensor) -> Tensor:
    return nn.functional.normalize(rows, dim=-1)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def design_of(basis: int = B) -> DenseDesign:
    """An orthonormal basis that knows no constant, then learned experts, which do."""
    full_MM = torch.linalg.qr(torch.cat([torch.ones(M, 1), normal(M, B, seed=0)], 1)).Q
    learned_ML = unit(normal(L, M, seed=1)).T * 3
    return DenseDesign(torch.cat([full_MM[:, 1 : 1 + basis], learned_ML], 1), torch.ones(M, 1))


def signals(S: int = 50, seed: int = 2) -> Tensor:
    """(M, S): three learned experts each, a little noise and a constant."""
    g = torch.Generator().manual_seed(seed)
    experts_LM = design_of().matrix_MK.T[B:]
    index_SJ = torch.rand(S, L, generator=g).topk(3).indices
    value_SJ = torch.randn(S, 3, generator=g)
    mixed_SM = (value_SJ[:, :, None] * experts_LM[index_SJ]).sum(1) + 0.05 * torch.randn(S, M, generator=g)
    return (mixed_SM + torch.randn(S, 1, generator=g)).T


def gate_of(rounds: int = 2, picks: int = 3, candidates: int = 10, components: int = B, basis: int = B) -> CellGate:
    torch.manual_seed(0)
    return CellGate(GateSpec(rounds=rounds, picks=picks, candidates=candidates, components=components, width=16), basis)


def drawn(problem: Problem, gate: CellGate, k: int) -> Tensor:
    """(M, S) what the gate's code says, constants included."""
    code = gate(problem, k)
    return problem.design.forward(code.dense(B + L)) + problem.design.free_MC @ code.constant_SC.T


def textbook(rows_TG: Tensor, left_G: Tensor, picks: int) -> list[int]:
    """Pursuit with orthogonalisation (orthogonal least squares): each pick leaves the least behind."""
    chosen: list[int] = []
    rows, left = rows_TG.double(), left_G.double()
    for _ in range(picks):
        best, error = -1, math.inf
        for t in set(range(len(rows))) - set(chosen):
            columns = rows[[*chosen, t]].T
            answer = torch.linalg.lstsq(columns, left[:, None]).solution
            found = float((columns @ answer - left[:, None]).square().sum())
            if found < error - 1e-12:
                best, error = t, found
        chosen.append(best)
    return chosen


# ---- competing


def among(rows_STG: Tensor, left_SG: Tensor, picks: int) -> Tensor:
    return compete(rows_STG @ rows_STG.mT, (rows_STG @ left_SG[:, :, None])[:, :, 0], picks)


@pytest.mark.parametrize("picks", [1, 2, 5])
def test_candidates_of_unit_norm_compete_as_in_the_textbook(picks):
    rows_STG, left_SG = unit(normal(30, 9, 12, seed=3)), normal(30, 12, seed=4)
    chosen_SJ = among(rows_STG, left_SG, picks)
    for s in range(30):
        assert chosen_SJ[s].tolist() == textbook(rows_STG[s], left_SG[s], picks)


def test_candidates_that_are_seen_in_part_compete_as_if_the_rest_of_each_were_its_own():
    rows_STG, left_SG = unit(normal(30, 9, 24, seed=3))[:, :, :12], normal(30, 12, seed=4)
    chosen_SJ = among(rows_STG, left_SG, 4)
    unseen_ST = (1 - rows_STG.square().sum(2)).sqrt()
    whole_STX = torch.cat([rows_STG, torch.diag_embed(unseen_ST)], 2)
    for s in range(30):
        assert chosen_SJ[s].tolist() == textbook(whole_STX[s], nn.functional.pad(left_SG[s], (0, 9)), 4)


def test_competing_leaves_its_arguments_alone():
    rows_STG = unit(normal(5, 9, 12, seed=3))
    gram_STT, answer_ST = rows_STG @ rows_STG.mT, normal(5, 9, seed=4)
    kept = gram_STT.clone(), answer_ST.clone()
    compete(gram_STT, answer_ST, 3)
    assert torch.equal(gram_STT, kept[0]) and torch.equal(answer_ST, kept[1])


def test_picks_never_repeat_among_candidates_that_are_all_alike():
    rows_STG = unit(normal(4, 1, 12, seed=3)).repeat(1, 6, 1)
    for chosen_J in among(rows_STG, normal(4, 12, seed=4), 3):
        assert len(set(chosen_J.tolist())) == 3


# ---- codes


@pytest.mark.parametrize("k", [1, 5, 24])
def test_without_rounds_the_code_is_the_k_largest_of_the_basis(k):
    design, target_MS = design_of(), signals()
    code = gate_of(rounds=0)(Problem(design, target_MS), k)
    coefficient_BS = design.matrix_MK[:, :B].T.double() @ target_MS.double()
    for s in range(target_MS.shape[1]):
        best = coefficient_BS[:, s].abs().argsort(descending=True)[:k]
        wanted = torch.zeros(B + L, dtype=torch.float64).index_copy(0, best, coefficient_BS[best, s])
        assert torch.allclose(code.dense(B + L)[:, s].double(), wanted, atol=1e-4)
        assert code.constant_SC[s, 0] == pytest.approx(target_MS[:, s].mean().item(), abs=1e-4)


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize("components", [B, 6])
@pytest.mark.parametrize("k", [1, 3, 8, 13, 30, 70])
def test_a_code_has_at_most_k_coefficients_and_no_expert_twice(rounds, k, components):
    code = gate_of(rounds=rounds, components=components)(Problem(design_of(), signals()), k)
    assert code.count().max() <= k
    for index_J, value_J in zip(code.index_SJ, code.value_SJ, strict=True):
        used = index_J[value_J != 0].tolist()
        assert len(set(used)) == len(used)


def test_many_coefficients_take_the_basis_alone():
    gate = CellGate(GateSpec(rounds=2, picks=3, candidates=10, components=B, sparse=6), B)
    problem = Problem(design_of(), signals())
    assert (gate(problem, 6).index_SJ >= B).any()
    assert (gate(problem, 7).index_SJ < B).all()


@pytest.mark.parametrize("components", [B, 12])
def test_rounds_of_pursuit_lower_the_error_of_signals_made_of_learned_experts(components):
    problem = Problem(design_of(), signals(300))
    without = (drawn(problem, gate_of(0), 8) - problem.target_MS).square().sum()
    with_it = (drawn(problem, gate_of(2, picks=2, components=components), 8) - problem.target_MS).square().sum()
    assert with_it < (0.8 if components == B else 0.95) * without


def test_what_picks_leave_is_shared_by_the_rest_of_the_basis_without_loss():
    problem = Problem(design_of(), signals())
    error_MS = drawn(problem, gate_of(2), 6 + B) - problem.target_MS
    assert error_MS.abs().max() < 1e-3  # all of the basis: nothing is left


def test_a_signal_of_constants_alone_has_no_coefficients():
    code = gate_of()(Problem(design_of(), torch.full((M, 2), 0.3)), 8)
    assert (code.count() == 0).all()
    assert torch.allclose(code.constant_SC, torch.full((2, 1), 0.3))


def test_too_few_learned_experts_leave_the_pursuit_out():
    code = gate_of(2, candidates=21)(Problem(design_of(), signals()), 8)
    assert (code.index_SJ < B).all()


def test_designs_without_a_basis_are_refused_in_a_sentence():
    with pytest.raises(UsageError, match="orthonormal"):
        gate_of(basis=0)(Problem(design_of(), signals()), 8)
    bank = Dictionary(DictionarySpec(channels=1, experts=B + L))
    free = MatrixFreeDesign(bank, Sample(torch.rand(M, 2)))
    with pytest.raises(UsageError, match="orthonormal"):
        gate_of()(Problem(free, signals()), 8)


def test_coordinates_are_computed_once_a_design_and_size():
    design = design_of()
    assert coordinates(design, B, 12) is coordinates(design, B, 12)
    assert coordinates(design, B, 7).learned_LG.shape == (L, 7)
    assert coordinates(design_of(), B, 12) is not coordinates(design, B, 12)


# ---- training


def trained(steps: int, components: int = 12) -> tuple[CellGate, list[float]]:
    gate = gate_of(2, picks=3, components=components)
    losses = list(train_gate(gate, design_of(), lambda step: signals(200, 10 + step), signals(200, 5), steps))
    return gate, losses


def test_training_lowers_the_loss(monkeypatch):
    monkeypatch.setattr(gate_training, "RATE", 1e-2)
    losses = torch.tensor(trained(60)[1])
    assert losses[-10:].mean() < 0.97 * losses[:10].mean()


def test_training_twice_gives_the_same_gate():
    for a, b in zip(trained(5)[0].parameters(), trained(5)[0].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_networks_that_do_harm_are_silenced_and_the_held_out_error_never_rises(scale):
    problem = Problem(design_of(), signals(200, 5))
    for seed in range(3):
        gate = gate_of(2, picks=3, components=12)
        with torch.no_grad():
            for i, parameter in enumerate(gate.parameters()):
                parameter.copy_(scale * normal(*parameter.shape, seed=10 * seed + i))
        before = gate_training._error(gate, problem)
        gate_training._keep_what_helps(gate, problem)
        assert gate_training._error(gate, problem) <= before
        silent = gate_training._error(gate_of(2, picks=3, components=12), problem)
        assert scale < 1 or gate_training._error(gate, problem) <= silent + 1e-6


def test_training_without_rounds_or_learned_experts_does_nothing():
    assert list(train_gate(gate_of(0), design_of(), signals, signals(), 3)) == []
    alone = DenseDesign(design_of().matrix_MK[:, :B], torch.ones(M, 1))
    assert list(train_gate(gate_of(2), alone, signals, signals(), 3)) == []


def test_the_loudest_are_the_largest_one_a_column_at_most():
    score_SL = torch.rand(9, STACKED * 70, generator=torch.Generator().manual_seed(3)).bfloat16()
    score_SL[:, -5:] = -1
    found_ST = loudest(score_SL, 16)
    assert all(len(set((row % 70).tolist())) == 16 for row in found_ST)
    maxima_SN = score_SL.view(9, STACKED, 70).amax(1)
    assert torch.equal(score_SL.gather(1, found_ST).sort(1).values, maxima_SN.topk(16).values.sort(1).values)


def test_among_few_the_loudest_are_exact():
    score_SL = torch.rand(9, STACKED * 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(
        score_SL.gather(1, loudest(score_SL, 16)).sort(1).values, score_SL.topk(16).values.sort(1).values
    )


@pytest.mark.parametrize("able", [False, True])
def test_codes_are_as_good_in_half_precision_as_without(able: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nidcli.precision.has_bfloat16", lambda device: able)
    problem = Problem(design_of(), signals(seed=5))
    picked, alone = ((drawn(problem, gate_of(n), 12) - problem.target_MS).square().mean() for n in (2, 0))
    assert picked < 0.02 * alone
