"""What every solver promises, on one table of solvers. A new solver is one line in CASES."""

from dataclasses import dataclass, replace

import pytest
import torch
from test_problem import MatrixFree

from nidcli.codes import SparseCode
from nidcli.errors import UsageError
from nidcli.problem import DenseDesign, Prior, Problem, Solver
from nidcli.solvers import SOLVERS, Adam, ConjugateGradient, Fista, Irls, Map, Omp, Ridge

pytestmark = pytest.mark.usefixtures("one_thread")

M, K, C, S, SPARSE = 64, 96, 2, 9, 4
SILENT = [3, 4]  # experts that measure as zero and as a constant


@dataclass(frozen=True)
class Case:
    """A solver, and which of the shared properties it claims."""

    solver: Solver
    recovers: bool = False  # finds planted codes
    needs_init: bool = False
    losses: tuple[str, ...] = ("l2",)


CASES = {
    "omp": Case(Omp(SPARSE), recovers=True),
    "omp, two a round": Case(Omp(2 * SPARSE, per_round=2), recovers=True),
    "omp, no shortlist": Case(Omp(SPARSE, shortlist=1), recovers=True),
    "fista": Case(Fista(1e-2, 300), losses=("l2", "l1")),
    "fista, k": Case(Fista(0.3, 300, k=SPARSE), recovers=True, losses=("l2", "l1")),
    "ridge": Case(Ridge(0.1)),
    "ridge, k": Case(Ridge(0.1, k=SPARSE)),
    "map": Case(Map()),
    "map, k": Case(Map(k=SPARSE)),
    "irls": Case(Irls(200), losses=("l2", "l1")),
    "irls, k": Case(Irls(200, k=SPARSE), losses=("l2", "l1")),
    "cg": Case(ConjugateGradient(60), recovers=True, needs_init=True),
    "adam": Case(Adam(100, 0.05), losses=("l2", "l1")),
    "adam, k": Case(Adam(100, 0.05, k=SPARSE), losses=("l2", "l1")),
}


def planted(seed=0):
    """A problem, its true code (K, S) and constants (S, C). The offset of the experts is large on purpose."""
    torch.manual_seed(seed)
    free_MC = torch.zeros(M, C)
    free_MC[: M // 2, 0] = free_MC[M // 2 :, 1] = 1
    matrix_MK = (torch.randn(M, K) + free_MC @ (3 * torch.randn(C, K))) * torch.linspace(0.5, 2, K)
    matrix_MK[:, SILENT[0]] = 0
    matrix_MK[:, SILENT[1]] = free_MC @ torch.tensor([2.0, -1.0])
    code_KS = torch.zeros(K, S)
    for s in range(S):
        code_KS[5 + torch.randperm(K - 5)[:SPARSE], s] = (1 + torch.rand(SPARSE)) * torch.randn(SPARSE).sign()
    constant_SC = torch.randn(S, C)
    target_MS = matrix_MK @ code_KS + free_MC @ constant_SC.T
    prior = Prior(torch.zeros(K), torch.ones(K), 0.1 * torch.randn(K, 2))
    return Problem(DenseDesign(matrix_MK, free_MC), target_MS, prior=prior, noise=0.1), code_KS, constant_SC


def init_for(case: Case, code_KS: torch.Tensor) -> SparseCode | None:
    """The right experts with wrong values, for solvers that refine."""
    if not case.needs_init:
        return None
    right = SparseCode.top(code_KS, SPARSE, torch.zeros(S, C))
    return replace(right, value_SJ=right.value_SJ.sign())


def same(one: SparseCode, other: SparseCode, tolerance: float) -> bool:
    """Equal codes, whatever the order of their slots."""
    dense = (one.dense(K) - other.dense(K)).abs().max() <= tolerance
    return bool(dense) and bool((one.constant_SC - other.constant_SC).abs().max() <= 10 * tolerance)


each = pytest.mark.parametrize("name", CASES)
each_loss = pytest.mark.parametrize("name, loss", [(n, loss) for n, c in CASES.items() for loss in c.losses])


def test_every_solver_of_the_package_is_in_the_table():
    assert {type(case.solver) for case in CASES.values()} == set(SOLVERS.values())


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.recovers])
def test_planted_codes_and_constants_are_recovered(name):
    problem, code_KS, constant_SC = planted()
    got = CASES[name].solver.solve(problem, init_for(CASES[name], code_KS))
    assert torch.allclose(got.code.dense(K), code_KS, atol=2e-4)
    assert torch.allclose(got.code.constant_SC, constant_SC, atol=2e-3)
    assert got.converged


@each_loss
def test_a_design_without_a_matrix_gives_the_same_code(name, loss):
    problem, code_KS, _ = planted()
    problem, init = replace(problem, loss=loss), init_for(CASES[name], code_KS)
    free = replace(problem, design=MatrixFree(problem.design))
    one, other = (CASES[name].solver.solve(p, init).code for p in (problem, free))
    assert same(one, other, 5e-3)


@each_loss
def test_two_calls_give_the_same_bits(name, loss):
    problem, code_KS, _ = planted()
    problem, init = replace(problem, loss=loss), init_for(CASES[name], code_KS)
    one, other = (CASES[name].solver.solve(p, init).code for p in (problem, replace(problem)))
    assert torch.equal(one.index_SJ, other.index_SJ) and torch.equal(one.value_SJ, other.value_SJ)
    assert torch.equal(one.constant_SC, other.constant_SC)


@each_loss
def test_signals_do_not_depend_on_their_neighbours(name, loss):
    problem, code_KS, _ = planted()
    problem = replace(problem, loss=loss)
    init, some = init_for(CASES[name], code_KS), torch.tensor([4, 1])
    alone = replace(problem, target_MS=problem.target_MS[:, some])
    one = CASES[name].solver.solve(problem, init).code[some]
    assert same(one, CASES[name].solver.solve(alone, None if init is None else init[some]).code, 2e-3)


@each_loss
def test_shifting_the_target_by_a_constant_changes_only_the_constants(name, loss):
    problem, code_KS, _ = planted()
    problem, init = replace(problem, loss=loss), init_for(CASES[name], code_KS)
    shift_SC = 30 * torch.randn(S, C)
    moved = replace(problem, target_MS=problem.target_MS + problem.design.free_MC @ shift_SC.T)
    one, other = (CASES[name].solver.solve(p, init).code for p in (problem, moved))
    # Adam divides small gradients by their own size, and so makes rounding errors large
    tolerance = 3e-2 if (name.startswith("adam") and loss == "l1") else 2e-3
    assert same(one, replace(other, constant_SC=other.constant_SC - shift_SC), tolerance)


@each_loss
def test_silent_and_constant_experts_stay_out(name, loss):
    problem, code_KS, _ = planted()
    problem = replace(problem, loss=loss, prior=replace(problem.prior, factor_KR=torch.zeros(K, 0)))
    code = CASES[name].solver.solve(problem, init_for(CASES[name], code_KS)).code
    assert code.dense(K)[SILENT].abs().max() == 0 and code.dense(K).isfinite().all()


@each_loss
def test_a_zero_and_a_constant_target_have_the_zero_code(name, loss):
    problem, code_KS, _ = planted()
    problem = replace(problem, loss=loss, target_MS=problem.design.free_MC @ torch.tensor([[0.0, 2.0], [0.0, -1.0]]))
    init = init_for(CASES[name], code_KS)
    code = CASES[name].solver.solve(problem, None if init is None else init[:2]).code
    assert code.dense(K).abs().max() < 1e-5
    assert torch.allclose(code.constant_SC, torch.tensor([[0.0, 0.0], [2.0, -1.0]]), atol=1e-4)


@each
def test_k_bounds_the_occupied_slots(name):
    problem, code_KS, _ = planted()
    solver = CASES[name].solver
    code = solver.solve(problem, init_for(CASES[name], code_KS)).code
    k = getattr(solver, "k", SPARSE)
    assert code.count().max() <= (k or K)
    assert code.value_SJ.dtype == torch.float32 and code.constant_SC.dtype == torch.float32


@each
def test_codes_carry_no_gradient_and_any_float_will_do(name):
    problem, code_KS, _ = planted()
    design = DenseDesign(problem.design.matrix_MK.double().requires_grad_(), problem.design.free_MC.double())
    wide = replace(problem, design=design, target_MS=problem.target_MS.double())
    one, other = (CASES[name].solver.solve(p, init_for(CASES[name], code_KS)).code for p in (problem, wide))
    assert not other.value_SJ.requires_grad and not other.constant_SC.requires_grad
    assert same(one, other, 5e-3)


@each
def test_no_signals_have_no_codes(name):
    problem, code_KS, _ = planted()
    init = init_for(CASES[name], code_KS)
    none = replace(problem, target_MS=problem.target_MS[:, :0])
    code = CASES[name].solver.solve(none, None if init is None else init[:0]).code
    assert len(code) == 0 and code.constant_SC.shape == (0, C)


@each
@pytest.mark.parametrize("rows", [1, 7, M])
def test_any_number_of_measurements_gives_finite_codes(name, rows):
    """0 < M < K and M > K, and even fewer measurements than constants."""
    problem, code_KS, _ = planted()
    for experts in (slice(None), slice(0, 20)):
        design = DenseDesign(problem.design.matrix_MK[:rows, experts], problem.design.free_MC[:rows])
        prior = Prior(*(p[experts] for p in (problem.prior.mean_K, problem.prior.variance_K, problem.prior.factor_KR)))
        part = replace(problem, design=design, target_MS=problem.target_MS[:rows], prior=prior)
        init = init_for(CASES[name], code_KS[experts]) if CASES[name].needs_init else None
        code = CASES[name].solver.solve(part, init).code
        assert code.dense(design.shape[1]).isfinite().all() and code.constant_SC.isfinite().all()


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if "l1" not in c.losses])
def test_a_loss_that_a_solver_cannot_minimise_is_refused_by_name(name):
    problem, code_KS, _ = planted()
    with pytest.raises(UsageError, match="l1"):
        CASES[name].solver.solve(replace(problem, loss="l1"), init_for(CASES[name], code_KS))


@pytest.mark.parametrize("solver", [Fista(0.1, 2000, k=SPARSE), Adam(2000, 0.01)])
def test_outliers_are_ignored_by_the_l1_loss_and_not_by_l2(solver):
    problem, _, constant_SC = planted()
    few = DenseDesign(problem.design.matrix_MK[:, :24], problem.design.free_MC)
    code_KS = torch.zeros(24, S)
    code_KS[5:9] = torch.randn(4, S).sign() * (1 + torch.rand(4, S))
    clean = few.forward(code_KS) + few.free_MC @ constant_SC.T
    dirty = clean.clone()
    for s in range(S):
        dirty[torch.randperm(M)[:6], s] += 30
    wrong = {}
    for loss in ("l1", "l2"):
        code = solver.solve(replace(problem, design=few, target_MS=dirty, loss=loss, noise=0.0)).code
        fit = few.forward(code.dense(24)) + few.free_MC @ code.constant_SC.T
        wrong[loss] = float((fit - clean).abs().max())
    assert wrong["l1"] < 0.3 and wrong["l2"] > 1  # outliers are 30; the rounded corner of the loss costs the rest


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: Omp(0), "k = 0"),
        (lambda: Omp(4, per_round=0), "round"),
        (lambda: Omp(4, shortlist=0), "shortlist"),
        (lambda: Fista(-1.0), "penalty"),
        (lambda: Ridge(float("nan")), "penalty"),
        (lambda: Map(k=-1), "k = -1"),
        (lambda: ConjugateGradient(-1), "steps"),
        (lambda: Adam(10, 0.0), "step size"),
    ],
)
def test_knobs_that_mean_nothing_are_refused(make, word):
    with pytest.raises(UsageError, match=word):
        make()
