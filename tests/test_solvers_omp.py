"""Orthogonal matching pursuit against its definition and against textbook implementations."""

from dataclasses import replace

import pytest
import torch
from test_solvers import SPARSE, K, M, S, planted

from nidcli.codes import SparseCode
from nidcli.problem import DenseDesign, Problem
from nidcli.solvers import Omp
from nidcli.solvers.omp import compressed, correlated

pytestmark = pytest.mark.usefixtures("one_thread")


def noisy(seed=1):
    """A planted problem that no code fits exactly."""
    problem, _, _ = planted(seed)
    return replace(problem, target_MS=problem.target_MS + torch.randn(M, S))


def residual(problem, code):
    """(M, S) float64: target minus what the code and its constants say."""
    dense = code.dense(problem.design.shape[1]).double()
    constants = problem.design.free_MC.double() @ code.constant_SC.T.double()
    return problem.target_MS.double() - problem.design.matrix_MK.double() @ dense - constants


def least_squares(problem, code):
    """(K, S) float64: the best values on each signal's support, with free constants, by torch.linalg.lstsq."""
    best = torch.zeros(problem.design.shape[1], len(code), dtype=torch.float64)
    for s in range(len(code)):
        support = code.index_SJ[s][code.value_SJ[s] != 0]
        columns = torch.cat([problem.design.matrix_MK[:, support], problem.design.free_MC], 1).double()
        answer = torch.linalg.lstsq(columns, problem.target_MS[:, s : s + 1].double()).solution
        best[support, s] = answer[: len(support), 0]
    return best


def textbook(unit_MK, y, k, criterion):
    """The picks of one signal, a full least-squares fit after each: of Pati et al. 1993, which pick the expert of the
    largest correlation, or of Chen et al. 1989, which pick the one that leaves least."""
    picks: list[int] = []
    left = y

    def misfit(support):
        return y - unit_MK[:, support] @ torch.linalg.lstsq(unit_MK[:, support], y[:, None]).solution[:, 0]

    for _ in range(k):
        if criterion == "correlation":
            scores = (unit_MK.T @ left).abs()
        else:
            scores = torch.stack([-misfit([*picks, j]).norm() for j in range(unit_MK.shape[1])])
        scores[picks] = -torch.inf
        picks.append(int(scores.argmax()))
        left = misfit(picks)
    return picks


@pytest.mark.parametrize("per_round", [1, 3])
def test_omp_leaves_a_residual_orthogonal_to_the_support_and_to_the_constants(per_round):
    problem = noisy()
    code = Omp(12, per_round).solve(problem).code
    left = residual(problem, code)
    assert (code.count() == 12).all()
    assert (problem.design.free_MC.T.double() @ left).abs().max() < 1e-3
    slope = (problem.unit.unit_KM.double() @ left).T.gather(1, code.index_SJ)
    assert slope.abs().max() < 1e-4 * left.norm(dim=0).max()
    assert torch.allclose(code.dense(K).double(), least_squares(problem, code), atol=1e-4)


@pytest.mark.parametrize("criterion, per_round, shortlist", [("correlation", 1, 1), ("misfit", 1, K), ("misfit", 6, K)])
def test_omp_picks_what_the_textbook_picks(criterion, per_round, shortlist, monkeypatch):
    monkeypatch.setattr("nidcli.solvers.omp.has_bfloat16", lambda device: False)  # near ties may fall either way
    problem = noisy()
    code = Omp(6, per_round, shortlist).solve(problem).code
    heard = problem.unit.norm_K.nonzero()[:, 0]
    for s in range(3):
        expected = textbook(problem.unit.unit_KM[heard].T.double(), problem.projected_MS[:, s].double(), 6, criterion)
        assert code.index_SJ[s].tolist() == heard[expected].tolist()


@pytest.mark.parametrize("coarse", [True, False])
def test_omp_with_a_shortlist_leaves_less_than_with_one_candidate_and_no_more_than_with_all(coarse, monkeypatch):
    """Over ten problems: on any single one a greedy choice may be lucky, and which depends on rounding."""
    monkeypatch.setattr("nidcli.solvers.omp.has_bfloat16", lambda device: coarse)
    problems = [coherent(seed) for seed in range(10)]
    one, eight, every = (
        sum(float(residual(problem, Omp(8, 1, p).solve(problem).code).square().sum()) for problem in problems)
        for p in (1, 8, K)
    )
    assert one > 1.02 * eight and one > 1.02 * every
    assert eight == pytest.approx(every, rel=0.01)


def test_omp_with_coarse_correlations_fits_as_well_as_with_exact_ones(monkeypatch):
    problem, fits = noisy(), {}
    for coarse in (True, False):
        monkeypatch.setattr("nidcli.solvers.omp.has_bfloat16", lambda device, coarse=coarse: coarse)
        fits[coarse] = float(residual(problem, Omp(16).solve(problem).code).square().sum())
    assert fits[True] < 1.03 * fits[False]


def coherent(seed=4):
    """Experts that are nearly the same: any two have a cosine of 0.99, so that values are large and cancel."""
    torch.manual_seed(seed)
    matrix_MK = torch.nn.functional.normalize(torch.randn(M, 1), dim=0) + 0.1 / M**0.5 * torch.randn(M, K)
    return Problem(DenseDesign(matrix_MK, torch.zeros(M, 0)), matrix_MK @ torch.randn(K, S) + 0.1 * torch.randn(M, S))


@pytest.mark.parametrize("per_round", [1, 8])
def test_omp_is_exact_on_nearly_equal_experts(per_round):
    problem = coherent()
    code = Omp(32, per_round).solve(problem).code
    left = residual(problem, code)
    slope = (problem.unit.unit_KM.double() @ left).T.gather(1, code.index_SJ)
    assert (code.count() == 32).all()
    assert slope.abs().max() < 2e-5 * left.norm(dim=0).max()


def test_omp_stops_where_a_signal_is_fitted():
    problem, code_KS, constant_SC = planted()
    for s in range(SPARSE):  # signal s has s experts
        code_KS[code_KS[:, s].nonzero()[s:, 0], s] = 0
    target_MS = problem.design.forward(code_KS) + problem.design.free_MC @ constant_SC.T
    code = Omp(20).solve(replace(problem, target_MS=target_MS)).code
    assert code.count().tolist() == [0, 1, 2, 3] + [SPARSE] * (S - SPARSE)


def test_omp_gives_a_copy_of_a_picked_expert_no_value():
    problem = noisy()
    twice = DenseDesign(problem.design.matrix_MK.repeat(1, 2), problem.design.free_MC)
    code = Omp(16, per_round=4).solve(replace(problem, design=twice)).code
    again = replace(code, index_SJ=code.index_SJ % K)
    assert torch.allclose(again.dense(K).double(), least_squares(problem, again), atol=1e-4)
    for s in range(S):
        used = code.index_SJ[s][code.value_SJ[s] != 0] % K
        assert len(used.unique()) == len(used)


def test_omp_in_the_span_of_the_experts_agrees_with_omp_on_the_measurements():
    torch.manual_seed(0)
    design = DenseDesign(torch.randn(300, 40) + 2, torch.ones(300, 1))
    many = Problem(design, torch.randn(300, 64) + design.matrix_MK[:, :64] @ torch.randn(40, 64))
    space, seen = compressed(many.unit, many.projected_MS, 8)
    assert space.shape == (40, 40) and seen.shape == (40, 64)
    assert torch.allclose(space.adjoint(seen), many.unit.adjoint(many.projected_MS), atol=1e-3)
    few = replace(many, target_MS=many.target_MS[:, :1])
    assert compressed(few.unit, few.projected_MS, 8)[0] is few.unit
    one, other = Omp(8).solve(many).code, Omp(8).solve(few).code
    assert torch.allclose(one[:1].dense(40), other.dense(40), atol=1e-4)


def test_a_shortlist_names_no_expert_twice_and_none_that_is_taken():
    problem = coherent()
    taken = torch.stack([torch.randperm(K)[:5] for _ in range(S)])
    names = correlated(problem.unit, problem.unit.columns(taken)[:, 0], taken, K - 5)
    for s in range(S):
        assert len(names[s].unique()) == K - 5 and not set(names[s].tolist()) & set(taken[s].tolist())


def test_a_pool_spends_where_it_gains_most_and_never_more_than_its_budget():
    generator = torch.Generator().manual_seed(5)
    matrix_MK = torch.randn(40, 120, generator=generator)
    target_MS = torch.randn(40, 24, generator=generator) * torch.linspace(0.01, 2, 24)
    problem = Problem(DenseDesign(matrix_MK, torch.ones(40, 1)), target_MS)
    alone, pooled = Omp(8).solve(problem).code, Omp(8, pool=12).solve(problem).code

    def error(code: SparseCode) -> float:
        drawn = matrix_MK @ code.dense(120) + code.constant_SC.T
        return float((drawn - target_MS).square().sum())

    assert error(pooled) < 0.9 * error(alone)
    for half in (pooled.count()[:12], pooled.count()[12:]):
        assert int(half.sum()) <= 12 * 8
        assert int(half.min()) >= 2  # a quarter of k
        assert int(half.max()) > 8
