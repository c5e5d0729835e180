"""Each solver's own truth: optimality conditions, textbook formulas, and reference implementations that are obvious."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from test_problem import MatrixFree
from test_solvers import SPARSE, C, K, M, S, planted
from test_solvers_omp import least_squares, noisy, residual

from nidcli.codes import SparseCode
from nidcli.errors import UsageError
from nidcli.problem import DenseDesign, Prior, Problem
from nidcli.prox import huber, huber_slope
from nidcli.solvers import Adam, ConjugateGradient, Fista, Map, Omp, Ridge, lambda_max
from nidcli.solvers.common import huber_width
from nidcli.solvers.conjugate import support_gram

pytestmark = pytest.mark.usefixtures("one_thread")


def test_fista_meets_the_optimality_conditions_of_the_lasso():
    problem, penalty = noisy(), 2.0
    solution = Fista(penalty, 5000, 1e-6).solve(problem)
    assert solution.converged and solution.iterations < 120  # 179 without restarts
    slope = problem.unit.unit_KM.double() @ residual(problem, solution.code)
    dense = solution.code.dense(K)
    assert slope.abs().max() < penalty * 1.001
    assert torch.allclose(slope[dense != 0], penalty * dense[dense != 0].sign().double(), rtol=1e-3)
    assert (problem.design.free_MC.T.double() @ residual(problem, solution.code)).abs().max() < 1e-3


def test_fista_meets_the_optimality_conditions_of_the_l1_loss():
    problem = replace(noisy(), loss="l1")
    penalty = 0.5 * float(lambda_max(problem).min())
    solution = Fista(penalty, 5000, 1e-5).solve(problem)
    pull = huber_slope(residual(problem, solution.code), huber_width(problem))
    slope, dense = problem.unit.unit_KM.double() @ pull, solution.code.dense(K)
    assert solution.converged and slope.abs().max() < penalty * 1.01
    assert torch.allclose(slope[dense != 0], penalty * dense[dense != 0].sign().double(), rtol=1e-2)
    assert (problem.design.free_MC.T.double() @ pull).abs().max() < 1e-2 * M


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_the_code_is_zero_from_lambda_max_on_and_not_below(loss):
    problem = replace(noisy(), loss=loss)
    bound_S = lambda_max(problem)
    assert Fista(1.0001 * float(bound_S.max())).solve(problem).code.count().sum() == 0
    below = Fista(0.99 * float(bound_S.min()), 2000).solve(problem).code
    assert (below.count() > 0).all()


def test_fista_needs_fewer_iterations_from_a_good_start():
    problem = noisy()
    cold = Fista(1.0, 2000).solve(problem)
    warm = Fista(1.0, 2000).solve(problem, cold.code)
    assert warm.iterations < cold.iterations / 4


def test_ridge_solves_its_normal_equations_on_either_side():
    for experts in (K, 30):
        problem = noisy()
        problem = replace(problem, design=DenseDesign(problem.design.matrix_MK[:, :experts], problem.design.free_MC))
        code = Ridge(0.7).solve(problem).code
        unit = problem.unit
        slope = unit.unit_KM.double() @ residual(problem, code)
        assert torch.allclose(slope, 0.7 * (unit.norm_K[:, None] * code.dense(experts)).double(), atol=1e-4)


def test_ridge_without_penalty_is_least_squares_and_with_much_is_zero():
    problem = noisy()
    problem = replace(problem, design=DenseDesign(problem.design.matrix_MK[:, 10:40], problem.design.free_MC))
    code = Ridge(0.0).solve(problem).code
    assert torch.allclose(code.dense(30).double(), least_squares(problem, code), atol=1e-4)
    assert Ridge(1e9).solve(problem).code.value_SJ.abs().max() < 1e-6


@pytest.mark.parametrize("experts", [K, 30])
def test_map_is_the_textbook_posterior_mean(experts):
    problem, _, _ = planted()
    torch.manual_seed(2)
    prior = Prior(torch.randn(experts), torch.rand(experts), torch.randn(experts, 3))
    prior.variance_K[7] = 0
    design = DenseDesign(problem.design.matrix_MK[:, :experts], problem.design.free_MC)
    problem = replace(problem, design=design, prior=prior, noise=0.5)
    phi, free = design.matrix_MK.double(), design.free_MC.double()
    sigma = torch.diag(prior.variance_K) + prior.factor_KR @ prior.factor_KR.T
    # a flat prior on the constants is one of very large variance
    cover = phi @ sigma.double() @ phi.T + 1e6 * free @ free.T + 0.25 * torch.eye(M, dtype=torch.float64)
    told = problem.target_MS.double() - phi @ prior.mean_K.double()[:, None]
    expected = prior.mean_K[:, None] + sigma.double() @ phi.T @ torch.linalg.solve(cover, told)
    for some in (problem, replace(problem, design=MatrixFree(design))):
        assert torch.allclose(Map().solve(some).code.dense(experts).double(), expected, atol=5e-3)


def test_map_reduces_to_ridge_for_independent_experts_of_equal_loudness():
    problem = noisy()
    norm = problem.unit.norm_K
    prior = Prior(torch.zeros(K), torch.where(norm > 0, 1 / norm**2, 1.0), torch.zeros(K, 0))
    one = Map().solve(replace(problem, prior=prior, noise=0.8)).code
    assert torch.allclose(one.dense(K), Ridge(0.64).solve(problem).code.dense(K), atol=1e-4)


def test_map_restricted_to_all_experts_is_map():
    problem = replace(planted()[0], noise=0.5)
    assert torch.allclose(Map(k=K).solve(problem).code.dense(K), Map().solve(problem).code.dense(K), atol=2e-3)


def test_map_tells_an_expert_that_was_not_measured_from_those_that_were():
    torch.manual_seed(0)
    design = DenseDesign(torch.cat([torch.randn(20, 3), torch.zeros(20, 1)], 1), torch.zeros(20, 0))
    prior = Prior(torch.zeros(4), torch.full((4,), 1e-4), torch.tensor([[1.0], [0], [0], [2.0]]))
    code = Map().solve(Problem(design, design.matrix_MK[:, :1] * 3, prior=prior, noise=0.01)).code.dense(4)[:, 0]
    assert code[0] == pytest.approx(3, abs=0.05) and code[3] == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize(
    "prior, word", [(None, "statistics"), (Prior(torch.zeros(5), torch.zeros(5), torch.zeros(5, 1)), "5")]
)
def test_map_without_the_right_prior_is_refused(prior, word):
    with pytest.raises(UsageError, match=word):
        Map().solve(replace(planted()[0], prior=prior))


def ragged(code_K=K, slots=20):
    """A code with supports of different sizes, empty slots in between."""
    torch.manual_seed(3)
    index = torch.stack([torch.randperm(code_K - 5)[:slots] + 5 for _ in range(S)])
    value = torch.randn(S, slots)
    for s in range(S):
        value[s, torch.randperm(slots)[: 2 * s]] = 0
    return SparseCode(index, value, torch.zeros(S, C))


@pytest.mark.parametrize("shared", [1, 10**9])
def test_cg_equals_least_squares_on_the_support_after_enough_steps(shared, monkeypatch):
    monkeypatch.setattr("nidcli.solvers.conjugate.SHARED", shared)  # gather from the Gram matrix, or compute
    problem, init = noisy(), ragged()
    solution = ConjugateGradient(80).solve(problem, init)
    assert solution.converged
    assert torch.equal(solution.code.index_SJ, init.index_SJ)
    assert ((solution.code.value_SJ == 0) | (init.value_SJ != 0)).all()
    assert torch.allclose(solution.code.dense(K).double(), least_squares(problem, init), atol=1e-3)


def test_cg_lowers_the_residual_with_every_step():
    problem, init = noisy(), ragged()
    misfits = [residual(problem, ConjugateGradient(n).solve(problem, init).code).norm(dim=0) for n in range(12)]
    for before, after in pairwise(misfits):
        assert (after <= before * (1 + 1e-6)).all()
    assert (misfits[5] < misfits[0]).all()


def test_cg_with_no_steps_returns_the_values_it_got():
    problem, init = noisy(), ragged()
    code = ConjugateGradient(0).solve(problem, init).code
    assert torch.allclose(code.value_SJ, init.value_SJ, rtol=1e-5)


def test_cg_stays_at_an_answer_that_is_exact():
    problem = noisy()
    code = Omp(10).solve(problem).code
    solution = ConjugateGradient(10, tolerance=1e-4).solve(problem, code)
    assert solution.iterations == 0 and solution.converged


def test_cg_without_a_code_to_refine_is_refused():
    with pytest.raises(UsageError, match="refines"):
        ConjugateGradient().solve(noisy())


def test_gathered_and_computed_products_of_a_support_agree(monkeypatch):
    problem, index_SJ = noisy(), ragged().index_SJ
    monkeypatch.setattr("nidcli.solvers.conjugate.SCRATCH", 2000)  # several blocks, the last one smaller
    gathered = support_gram(problem.unit, index_SJ)
    monkeypatch.setattr("nidcli.solvers.conjugate.SHARED", 0.0001)
    column = problem.unit.columns(index_SJ)
    assert torch.allclose(gathered, column @ column.transpose(1, 2), atol=1e-6)
    assert torch.allclose(support_gram(problem.unit, index_SJ), gathered, atol=1e-6)


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_adam_lowers_the_loss_and_takes_the_steps_of_torch(loss):
    """Against autograd through the definition, on a design without constants."""
    torch.manual_seed(0)
    problem = Problem(DenseDesign(torch.randn(20, 8), torch.zeros(20, 0)), torch.randn(20, 3), loss=loss)
    x = torch.zeros(8, 3, requires_grad=True)
    optimiser = torch.optim.Adam([x], lr=0.03)
    for _ in range(40):
        optimiser.zero_grad()
        r = problem.design.forward(x) - problem.target_MS
        value = (r.square() / 2 if loss == "l2" else huber(r, huber_width(problem))).mean(0).sum()
        value.backward()
        optimiser.step()
    code = Adam(40, 0.03).solve(problem).code.dense(8)
    assert torch.allclose(code, x.detach(), atol=1e-4 if loss == "l2" else 3e-3)  # Adam amplifies rounding
    assert (problem.design.forward(code) - problem.target_MS).abs().sum() < problem.target_MS.abs().sum()


def test_adam_starts_from_the_code_it_gets():
    problem, code_KS, _ = planted()
    init = SparseCode.top(code_KS, SPARSE, torch.zeros(S, C))
    assert torch.allclose(Adam(0, 0.1).solve(problem, init).code.dense(K), code_KS)


def test_cg_of_a_code_without_slots_finds_the_constants():
    problem, _, _ = planted()
    init = SparseCode(torch.zeros(S, 0, dtype=torch.long), torch.zeros(S, 0), torch.zeros(S, C))
    code = ConjugateGradient().solve(problem, init).code
    assert torch.allclose(
        code.constant_SC, (torch.linalg.pinv(problem.design.free_MC) @ problem.target_MS).T, atol=1e-4
    )
