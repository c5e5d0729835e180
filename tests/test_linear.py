"""Batches of systems, in a process that has set its number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from nidcli.linear import solve
from nidcli.solvers.mixture import Gaussians


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def systems(B: int, X: int) -> torch.Tensor:
    chance = torch.Generator().manual_seed(X)
    matrix_BXX = torch.randn(B, X, X, generator=chance, dtype=torch.float64)
    return matrix_BXX @ matrix_BXX.mT / X + torch.eye(X, dtype=torch.float64)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("X", [3, 160, 256])
@pytest.mark.parametrize("B", [0, 1, 8])
def test_every_system_of_a_batch_is_solved(B: int, X: int):
    matrix_BXX = systems(B, X)
    matrix_BXX[:, 0, 1] += 0.3  # not symmetric
    right_BXY = torch.ones(B, X, 2, dtype=torch.float64)
    assert torch.allclose(matrix_BXX @ solve(matrix_BXX, right_BXY), right_BXY, atol=1e-10)


def test_a_single_system_is_solved():
    matrix_XX = systems(1, 100)[0]
    assert torch.allclose(matrix_XX @ solve(matrix_XX, torch.eye(100).double()), torch.eye(100).double(), atol=1e-10)


@pytest.mark.usefixtures("threads")
def test_a_mixture_inverts_the_covariance_of_every_gaussian():
    covariance_GRR = systems(8, 160)
    prior = Gaussians.of(torch.full((8,), 1 / 8), torch.zeros(8, 160), covariance_GRR)
    assert torch.allclose(covariance_GRR @ prior.inverse_GRR, torch.eye(160).double().expand(8, -1, -1), atol=1e-10)
