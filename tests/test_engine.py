"""Materialised or not, the experts are measured alike; what is kept is what was asked for."""

from __future__ import annotations

import gc
import itertools

import pytest
import torch
from torch import Tensor

from nidcli import engine
from nidcli.codes import SparseCode
from nidcli.dictionary import Dictionary, DictionarySpec
from nidcli.engine import MatrixFreeDesign, cached, design_bytes, drawn, materialise
from nidcli.operators import Sample
from nidcli.problem import DenseDesign

KINDS = list(itertools.product(["fourier", "siren"], ["linear", "own"]))


def bank_of(embedding="fourier", heads="linear", seed: int = 0) -> Dictionary:
    torch.manual_seed(seed)
    return Dictionary(
        DictionarySpec(channels=3, experts=20, hidden=7, embedding=embedding, heads=heads, width=4, frequencies=9)
    ).double()


def sampling(n: int = 17) -> Sample:
    g = torch.Generator().manual_seed(1)
    points = torch.rand(n, 2, dtype=torch.float64, generator=g) * 2 - 1
    return Sample(points, torch.rand(n, dtype=torch.float64, generator=g))


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def both(embedding, heads) -> tuple[DenseDesign, MatrixFreeDesign]:
    bank, operator = bank_of(embedding, heads), sampling()
    dense, free = materialise(bank, operator), materialise(bank, operator, budget=0)
    assert isinstance(dense, DenseDesign) and isinstance(free, MatrixFreeDesign)
    return dense, free


def test_rows_are_measurements_with_their_channels_and_columns_experts():
    bank, operator = bank_of(), sampling()
    design, atoms_NCK = materialise(bank, operator), bank.atoms(operator.coords_ND)
    assert operator.weight_N is not None
    for n, c, k in [(0, 0, 0), (4, 2, 19), (16, 1, 3)]:
        wanted = atoms_NCK[n, c, k] * operator.weight_N[n].sqrt()
        assert design.forward(torch.eye(20).double())[3 * n + c, k] == pytest.approx(wanted.item(), abs=1e-12)


@pytest.mark.parametrize("embedding, heads", KINDS)
@pytest.mark.parametrize("chunk", [None, 3000])
def test_designs_with_and_without_a_matrix_agree(embedding, heads, chunk, monkeypatch):
    dense, free = both(embedding, heads)
    if chunk:
        monkeypatch.setattr(engine, "CHUNK_BYTES", chunk)
    assert dense.shape == free.shape == (51, 20)
    code_KS, measured_MS, index_SJ = normal(20, 4), normal(51, 4), torch.tensor([[3, 19, 3], [0, 5, 7]])
    assert torch.allclose(dense.forward(code_KS), free.forward(code_KS), atol=1e-12)
    assert torch.allclose(dense.adjoint(measured_MS), free.adjoint(measured_MS), atol=1e-12)
    assert torch.allclose(dense.columns(index_SJ), free.columns(index_SJ), atol=1e-12)
    assert torch.equal(dense.free_MC, free.free_MC)


@pytest.mark.parametrize("embedding, heads", KINDS)
def test_the_dot_test_holds_without_a_matrix(embedding, heads):
    _, free = both(embedding, heads)
    code_KS, measured_MS = normal(20, 4), normal(51, 4)
    left, right = (free.forward(code_KS) * measured_MS).sum(), (code_KS * free.adjoint(measured_MS)).sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-10)


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_a_zero_code_is_measured_as_zero_without_a_matrix(heads):
    _, free = both("fourier", heads)
    assert (free.forward(torch.zeros(20, 4).double()) == 0).all()


@pytest.mark.parametrize("embedding, heads", KINDS)
def test_chunks_of_rows_change_nothing(embedding, heads, monkeypatch):
    bank, operator = bank_of(embedding, heads), sampling()
    whole = materialise(bank, operator)
    monkeypatch.setattr(engine, "CHUNK_BYTES", 1)  # a row at a time
    chunked = materialise(bank, operator)
    assert isinstance(whole, DenseDesign) and isinstance(chunked, DenseDesign)
    assert torch.allclose(whole.matrix_MK, chunked.matrix_MK, atol=1e-13)


def test_constants_are_one_channel_each_and_weighted():
    operator = sampling()
    free_MC = materialise(bank_of(), operator).free_MC
    assert operator.weight_N is not None
    wanted = torch.kron(operator.weight_N.sqrt()[:, None], torch.eye(3).double())
    assert torch.allclose(free_MC, wanted)


def test_a_design_above_the_budget_stays_without_a_matrix():
    bank, operator = bank_of(), sampling()
    exact = design_bytes(bank, operator)
    assert exact == 4 * 17 * 3 * 20
    assert isinstance(materialise(bank, operator, budget=exact), DenseDesign)
    assert isinstance(materialise(bank, operator, budget=exact - 1), MatrixFreeDesign)


def test_the_same_key_gives_the_same_design_and_another_bank_its_own():
    first, second = bank_of(seed=0), bank_of(seed=1)
    design = cached(first, b"a", sampling)
    assert cached(first, b"a", sampling) is design
    assert cached(first, b"b", sampling) is not design
    assert cached(second, b"a", sampling) is not design


def test_the_cache_keeps_the_designs_used_last_and_no_more_than_its_bound():
    bank = bank_of()
    first = cached(bank, b"first", sampling)
    for i in range(engine.CACHED_DESIGNS - 1):
        cached(bank, bytes([i]), sampling)
    assert cached(bank, b"first", sampling) is first  # and now it is the newest
    old = cached(bank, bytes([1]), sampling)
    cached(bank, b"one more", sampling)
    assert len(engine._cache[bank]) == engine.CACHED_DESIGNS
    assert cached(bank, b"first", sampling) is first
    assert cached(bank, bytes([1]), sampling) is old
    assert bytes([0]) not in engine._cache[bank]


def test_designs_go_with_their_bank():
    bank = bank_of()
    cached(bank, b"a", sampling)
    before = len(engine._cache)
    del bank
    gc.collect()
    assert len(engine._cache) < before


@pytest.mark.parametrize("channels", [0, 3])
def test_a_drawn_code_is_the_product_with_every_column_and_the_constants(channels):
    torch.manual_seed(1)
    free_MC = torch.eye(3).repeat(4, 1)[:, :channels]
    dense = DenseDesign(torch.randn(12, 20) + 3, free_MC)
    code = SparseCode(torch.randint(0, 20, (5, 4)), torch.randn(5, 4), torch.randn(5, channels))
    expected_MS = dense.forward(code.dense(20)) + free_MC @ code.constant_SC.T
    assert torch.allclose(drawn(dense, code), expected_MS.T, atol=1e-4)
