"""Iteratively reweighted least squares: the l1 loss, its prior, and trimming."""

from __future__ import annotations

import pytest
import torch

from nidcli.errors import UsageError
from nidcli.problem import DenseDesign, Prior, Problem
from nidcli.solvers import Irls

M, K = 200, 5


def planted(outliers: int, sign: float = 1.0) -> tuple[Problem, torch.Tensor]:
    """A problem with gross errors of one sign, and its true code (K, S)."""
    torch.manual_seed(0)
    design = DenseDesign(torch.randn(M, K), torch.ones(M, 1))
    code_KS = torch.randn(K, 3)
    target_MS = design.forward(code_KS) + 0.7
    target_MS[:outliers] += 5 * sign
    return Problem(design, target_MS, loss="l1"), code_KS


def test_gross_errors_do_not_move_the_code():
    problem, code_KS = planted(40)
    solved = Irls(60).solve(problem)
    assert torch.allclose(solved.code.dense(K), code_KS, atol=0.01)  # the rounded corner of the loss
    assert torch.allclose(solved.code.constant_SC, torch.tensor(0.7), atol=0.02)


def test_the_answer_is_no_worse_than_any_neighbour():
    torch.manual_seed(1)
    design = DenseDesign(torch.randn(50, K), torch.zeros(50, 0))
    target_MS = torch.randn(50, 1)
    best = Irls(200).solve(Problem(design, target_MS, loss="l1")).code.dense(K)
    loss = (design.forward(best) - target_MS).abs().sum()
    for _ in range(200):
        near = best + 0.02 * torch.randn(K, 1)
        assert (design.forward(near) - target_MS).abs().sum() >= 0.999 * loss


def test_l2_is_ridge_regression_around_the_mean_of_the_prior():
    torch.manual_seed(2)
    design, variance_K, mean_K = (
        DenseDesign(torch.randn(30, K), torch.zeros(30, 0)),
        torch.rand(K) + 0.1,
        torch.randn(K),
    )
    target_MS = torch.randn(30, 2)
    prior = Prior(mean_K, variance_K, torch.zeros(K, 0))
    code = Irls().solve(Problem(design, target_MS, prior=prior)).code.dense(K)
    A = design.matrix_MK
    left = A.T @ A + torch.diag(1 / variance_K)
    right = A.T @ target_MS + (mean_K / variance_K)[:, None]
    assert torch.allclose(code, torch.linalg.solve(left, right), atol=1e-4)


def test_trimming_takes_the_pull_of_many_errors_of_one_sign():
    torch.manual_seed(3)
    design = DenseDesign(torch.ones(M, 1), torch.zeros(M, 0))
    target_MS = 0.1 * torch.randn(M, 1)
    target_MS[: M * 2 // 5] += 3
    plain, trimmed = (
        float(Irls(60, trim).solve(Problem(design, target_MS, loss="l1")).code.dense(1)) for trim in (None, 3)
    )
    assert abs(trimmed) < 0.03 < plain


def test_experts_that_are_zero_get_no_coefficient():
    problem, _ = planted(0)
    matrix_MK = problem.design.columns(torch.arange(K)[None])[0].T.clone()
    matrix_MK[:, 2] = 0
    solved = Irls().solve(Problem(DenseDesign(matrix_MK, torch.ones(M, 1)), problem.target_MS, loss="l1"))
    assert solved.code.dense(K).isfinite().all() and float(solved.code.dense(K)[2].abs().max()) < 1e-3


@pytest.mark.parametrize("make", [lambda: Irls(0), lambda: Irls(5, 0.5)])
def test_knobs_that_mean_nothing_are_refused(make):
    with pytest.raises(UsageError, match="irls"):
        make()
