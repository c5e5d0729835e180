"""Designs: the unit form that solvers see, with and without a matrix, and what counts as constant or silent."""

from dataclasses import dataclass

import pytest
import torch

from nidcli.errors import UsageError
from nidcli.problem import DenseDesign, Problem

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class MatrixFree:
    """Only the products of a dense design, to show that no solver needs more."""

    dense: DenseDesign

    @property
    def shape(self):
        return self.dense.shape

    @property
    def free_MC(self):
        return self.dense.free_MC

    def forward(self, code_KS):
        return self.dense.forward(code_KS)

    def adjoint(self, y_MS):
        return self.dense.adjoint(y_MS)

    def columns(self, index_SJ):
        return self.dense.columns(index_SJ)


def design(M=40, K=60, C=2, seed=0):
    """Random experts of uneven norms and offsets; expert 3 is zero, 4 and 5 are constant. C constant atoms."""
    torch.manual_seed(seed)
    free_MC = torch.zeros(M, C)
    for c in range(C):
        free_MC[c::C, c] = 1
    matrix_MK = torch.randn(M, K) * torch.logspace(-1, 1, K)
    if C:
        matrix_MK += free_MC @ torch.randn(C, K)
        matrix_MK[:, 4] = free_MC @ torch.randn(C)
        matrix_MK[:, 5] = 1e6 / 3 * free_MC.sum(1) + 0.03 * torch.randn(M)  # a constant as float32 may give it
    matrix_MK[:, 3] = 0
    return DenseDesign(matrix_MK, free_MC)


SHAPES = [(40, 60, 2), (60, 40, 1), (30, 30, 0)]


@pytest.mark.parametrize("shape", SHAPES)
def test_unit_columns_have_norm_one_or_zero_and_no_constant_part(shape):
    dense = design(*shape)
    norms = dense.unit_KM.norm(dim=1)
    silent = torch.tensor([3, 4, 5] if shape[2] else [3])
    assert norms[silent].tolist() == [0.0] * len(silent) and dense.norms_K[silent].abs().max() == 0
    rest = torch.ones(shape[1], dtype=torch.bool)
    rest[silent] = False
    assert torch.allclose(norms[rest], torch.ones(()))
    if shape[2]:
        assert (dense.unit_KM @ dense.free_MC).abs().max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_a_design_without_a_matrix_has_the_same_unit_form(shape):
    dense = design(*shape)
    M, K, _ = shape
    with_matrix, without = Problem(dense, torch.randn(M, 3)), Problem(MatrixFree(dense), torch.randn(M, 3))
    code, y, index = torch.randn(K, 3), torch.randn(M, 3), torch.randint(K, (3, 5))
    for product, argument in (("forward", code), ("adjoint", y), ("columns", index)):
        one, other = getattr(with_matrix.unit, product)(argument), getattr(without.unit, product)(argument)
        assert torch.allclose(one, other, atol=1e-4), product
    assert with_matrix.unit.lipschitz == pytest.approx(without.unit.lipschitz, rel=1e-3)


@pytest.mark.parametrize("free", [False, True])
def test_unit_adjoint_is_the_transpose_of_unit_forward(free):
    dense = design()
    unit = Problem(MatrixFree(dense) if free else dense, torch.zeros(40, 1)).unit
    code, y = torch.randn(60, 1), torch.randn(40, 1)
    assert float((unit.forward(code) * y).sum()) == pytest.approx(float((code * unit.adjoint(y)).sum()), rel=1e-4)


def test_gram_matrix_and_its_largest_eigenvalue_belong_to_the_unit_columns():
    unit = design().unit
    assert torch.allclose(unit.gram_KK, unit.unit_KM @ unit.unit_KM.T)
    top = float(torch.linalg.eigvalsh(unit.gram_KK.double())[-1])
    assert top <= unit.lipschitz <= 1.06 * top


def test_a_gram_matrix_that_is_too_large_is_not_kept(monkeypatch):
    monkeypatch.setattr("nidcli.problem.GRAM_BYTES", 100)
    assert design().unit.gram_KK is None


def test_derived_tensors_are_computed_once():
    dense = design()
    assert dense.unit is dense.unit and dense.unit.gram_KK is dense.unit.gram_KK


def test_a_constant_target_leaves_zero_and_not_its_rounding_errors():
    dense = design(C=1)
    target = torch.full((40, 2), 1e4 / 3)
    target[0, 1] += 1
    projected = Problem(dense, target).projected_MS
    assert projected[:, 0].abs().max() == 0 and projected[:, 1].abs().max() > 0.9


def test_a_large_offset_does_not_blur_the_projected_target():
    dense = design(C=1)
    y = torch.randint(-8, 8, (40, 1)).float()
    shifted = Problem(dense, y + 2.0**16).projected_MS
    assert torch.allclose(shifted, Problem(dense, y).projected_MS, atol=1e-6)


def test_repeated_free_columns_count_once():
    free = torch.ones(40, 3)
    unit = DenseDesign(torch.randn(40, 10), free).unit
    assert unit.basis_MR.shape == (40, 1)
    assert torch.allclose(free.double() @ unit.inverse_CM @ free.double(), free.double())


@pytest.mark.parametrize(
    "fields, word",
    [
        ({"target_MS": torch.zeros(39, 2)}, "40 measurements"),
        ({"target_MS": torch.zeros(40)}, "shape"),
        ({"target_MS": torch.zeros(40, 1), "loss": "l7"}, "l7"),
        ({"target_MS": torch.zeros(40, 1), "noise": -1.0}, "noise"),
        ({"target_MS": torch.zeros(40, 1), "noise": float("nan")}, "noise"),
    ],
)
def test_a_problem_whose_parts_do_not_fit_is_refused(fields, word):
    with pytest.raises(UsageError, match=word):
        Problem(design(), **fields)
