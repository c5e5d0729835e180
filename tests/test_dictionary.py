"""The expert bank: two ways to the same field, gradients, and what a code leaves untouched."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from nidcli.codes import SparseCode
from nidcli.dictionary import Dictionary, DictionarySpec, activation, frequency_lattice

KINDS = list(itertools.product(["fourier", "siren"], ["linear", "own"], [1, 2]))


def bank_of(
    embedding: Literal["fourier", "siren"] = "fourier",
    heads: Literal["linear", "own"] = "linear",
    layers: int = 1,
    dims: int = 2,
    experts: int = 11,
    hidden: int = 6,
) -> Dictionary:
    """A small random bank in float64."""
    torch.manual_seed(3)
    return Dictionary(
        DictionarySpec(
            dims=dims, channels=3, experts=experts, hidden=hidden, layers=layers, embedding=embedding,
            frequencies=9, heads=heads, width=5, omega=3.0,
        )
    ).double()  # fmt: skip


def points(n: int = 17, dims: int = 2) -> Tensor:
    return torch.rand(n, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 2 - 1


def some_code(signals: int = 4, slots: int = 3, experts: int = 11) -> SparseCode:
    """Distinct experts in the first signals, a repeated one and an empty slot in the last."""
    g = torch.Generator().manual_seed(7)
    index_SJ = torch.stack([torch.randperm(experts, generator=g)[:slots] for _ in range(signals)])
    index_SJ[-1, 1] = index_SJ[-1, 0]
    value_SJ = torch.randn(signals, slots, dtype=torch.float64, generator=g)
    value_SJ[-1, 2] = 0
    return SparseCode(index_SJ, value_SJ, torch.randn(signals, 3, dtype=torch.float64, generator=g))


@pytest.mark.parametrize("embedding, heads, layers", KINDS)
def test_the_field_is_the_atoms_times_the_code(embedding, heads, layers):
    bank, x, code = bank_of(embedding, heads, layers), points(), some_code()
    wanted = bank.atoms(x) @ code.dense(11)
    assert torch.allclose(bank.field(x, code.dense(11)), wanted, atol=1e-12)
    assert torch.allclose(bank.field(x, code), wanted + code.constant_SC.T, atol=1e-12)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("heads", ["linear", "own"])
def test_the_field_has_any_number_of_dimensions(dims, heads):
    bank, x, code = bank_of(heads=heads, dims=dims), points(8, dims), some_code()
    assert bank.field(x, code).shape == (8, 3, 4)
    assert torch.allclose(bank.field(x, code), bank.atoms(x) @ code.dense(11) + code.constant_SC.T, atol=1e-12)


@pytest.mark.parametrize("embedding, heads, layers", KINDS)
def test_an_atom_is_the_small_network_of_the_formula(embedding, heads, layers):
    bank, x, k = bank_of(embedding, heads, layers), points(), 4
    h = bank.trunk.embed(x)
    for i, linear in enumerate(bank.trunk.maps):
        assert isinstance(linear, nn.Linear)
        h = h @ linear.weight.T + linear.bias
        h = activation(h, bank.spec) if i + 1 < layers else h
    if heads == "own":
        h = activation(h @ bank.inner_KHF[k].T + bank.inner_bias_KH[k], bank.spec)
    assert torch.allclose(bank.atoms(x)[:, :, k], h @ bank.head_KCF[k].T, atol=1e-12)


@pytest.mark.parametrize("embedding, heads, layers", KINDS)
@pytest.mark.parametrize("sparse", [True, False])
def test_gradients_of_the_field_are_those_of_finite_differences(embedding, heads, layers, sparse):
    bank, x, code = bank_of(embedding, heads, layers), points(3), some_code(2)
    names, values = zip(*bank.named_parameters(), strict=True)

    def field(*parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(bank, state, (x, code if sparse else code.dense(11)))

    bank.forward = bank.field  # functional_call calls the module
    assert torch.autograd.gradcheck(field, values, fast_mode=True, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_linear_heads_span_at_most_channels_times_features_directions(layers):
    bank = bank_of(layers=layers, experts=60, hidden=4)
    atoms = bank.atoms(points(200)).flatten(0, 1).detach()
    assert torch.linalg.matrix_rank(atoms) <= 3 * 4


def test_own_heads_may_span_more_than_their_features_do():
    bank = bank_of(heads="own", experts=60, hidden=4)
    assert torch.linalg.matrix_rank(bank.atoms(points(200)).flatten(0, 1).detach()) > 3 * 4


def test_own_experts_that_no_code_uses_are_not_evaluated():
    bank, code = bank_of(heads="own"), some_code(1)
    code = SparseCode(torch.tensor([[2, 5]]), torch.tensor([[1.0, -2.0]]).double(), code.constant_SC)
    before = bank.field(points(), code)
    unused = [k for k in range(11) if k not in (2, 5)]
    with torch.no_grad():
        for parameter in (bank.inner_KHF, bank.inner_bias_KH, bank.head_KCF):
            parameter[unused] = math.nan
    assert torch.equal(bank.field(points(), code), before)


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_the_field_of_an_empty_code_is_its_constant(heads):
    bank, constant_SC = bank_of(heads=heads), torch.tensor([[1.0, 2.0, 3.0]]).double()
    empty = SparseCode(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 2).double(), constant_SC)
    field = bank.field(points(5), empty)
    assert torch.allclose(field, constant_SC.T.expand(5, 3, 1))
    assert (bank.field(points(5), torch.zeros(11, 2).double()) == 0).all()


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_codes_without_slots_or_signals_are_allowed(heads):
    bank = bank_of(heads=heads)
    none = SparseCode(torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 0).double(), torch.ones(2, 3).double())
    assert (bank.field(points(5), none) == 1).all()
    assert bank.field(points(5), none[:0]).shape == (5, 3, 0)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 5, 40, 173])
def test_frequencies_are_distinct_sorted_and_without_their_negatives(dims, count):
    waves = frequency_lattice(dims, count).T.long()
    assert waves.shape == (count, dims)
    seen = {tuple(w) for w in waves.tolist()}
    assert len(seen) == count
    assert not any(tuple(-c for c in w) in seen for w in seen)
    size = [(max(map(abs, w)), sum(c * c for c in w)) for w in waves.tolist()]
    assert size == sorted(size)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_no_lower_frequency_is_left_out(dims):
    radius = 2
    half = ((2 * radius + 1) ** dims - 1) // 2
    seen = {tuple(w) for w in frequency_lattice(dims, half).T.long().tolist()}
    for wave in itertools.product(range(-radius, radius + 1), repeat=dims):
        assert not any(wave) or wave in seen or tuple(-c for c in wave) in seen


@pytest.mark.parametrize("frequencies", [1, 8, 9])
def test_fourier_embeddings_have_the_width_and_the_period_asked_for(frequencies):
    trunk = Dictionary(DictionarySpec(frequencies=frequencies, experts=2, hidden=2, period=2.5)).double().trunk
    x = points(6)
    assert trunk.embed(x).shape == (6, frequencies)
    assert torch.allclose(trunk.embed(x), trunk.embed(x + 2.5), atol=1e-4)  # wave numbers are stored in float32


@pytest.mark.parametrize("name", ["dims", "channels", "experts", "hidden", "layers", "frequencies", "width"])
def test_sizes_below_one_are_refused_by_name(name):
    with pytest.raises(ValueError, match=name):
        replace(DictionarySpec(), **{name: 0})  # type: ignore[arg-type]
