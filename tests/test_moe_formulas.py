"""Each formula of joint training against a plain transcription of it, one number at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nidcli.dictionary import Dictionary, DictionarySpec
from nidcli.grid import image_coords
from nidcli.model import LevelSpec, ModelSpec
from nidcli.moe import balance
from nidcli.moe.gates import LookupGate, largest, normalised
from nidcli.moe.objective import Batch, draw, fidelity, penalty
from nidcli.moe.spec import MoeSpec

S, K, TOP = 5, 9, 3


def scores(S: int = S, K: int = K, seed: int = 0) -> Tensor:
    return torch.randn(S, K, generator=torch.Generator().manual_seed(seed))


def test_top_k_keeps_the_largest_magnitudes_with_their_signs():
    h = scores()
    code = largest(h, TOP)
    for s in range(S):
        order = sorted(range(K), key=lambda i: -abs(float(h[s, i])))
        for i in range(K):
            assert code[s, i] == (h[s, i] if i in order[:TOP] else 0)
    assert torch.equal(largest(h, K + 1), h)


def test_a_code_is_divided_by_its_l2_norm_and_not_by_a_softmax():
    code = normalised(largest(scores(), TOP))
    for s in range(S):
        assert math.sqrt(sum(float(a) ** 2 for a in code[s])) == pytest.approx(1)
    assert (code < 0).any() and int((code != 0).sum()) == S * TOP
    assert torch.equal(normalised(torch.zeros(1, 4)), torch.zeros(1, 4))


def test_gradients_reach_the_scores_that_are_kept_and_no_others():
    h = scores().requires_grad_()
    largest(h, TOP).square().sum().backward()
    assert h.grad is not None
    assert torch.equal(h.grad != 0, largest(h.detach(), TOP) != 0)


def test_the_coefficient_of_variation_is_that_of_equation_12():
    total = [0.5, 2.0, 1.0, 4.5]
    mean = sum(total) / 4
    variance = sum((x - mean) ** 2 for x in total) / 4
    assert float(balance.squared_cv(torch.tensor(total))) == pytest.approx(variance / mean**2)
    assert float(balance.squared_cv(torch.full((7,), 3.0))) == pytest.approx(0, abs=1e-9)
    assert float(balance.squared_cv(torch.tensor([2.0]))) == 0


def test_importance_sums_magnitudes_so_that_signs_do_not_cancel():
    code = largest(scores(), TOP)
    for i in range(K):
        assert float(balance.importance(code)[i]) == pytest.approx(sum(abs(float(code[s, i])) for s in range(S)))
    assert balance.importance(torch.tensor([[1.0], [-1.0]])) == 2


def test_the_load_is_the_chance_that_noise_leaves_an_expert_among_the_k_largest():
    h = scores()
    found = balance.load(h, largest(h, TOP) != 0)
    for i in range(K):
        total = 0.0
        for s in range(S):
            sizes = sorted((abs(float(x)) for x in h[s]), reverse=True)
            inside = abs(float(h[s, i])) >= sizes[TOP - 1]
            threshold = sizes[TOP] if inside else sizes[TOP - 1]
            sigma = balance.SOFTNESS * math.sqrt(sum(x * x for x in sizes) / K)
            total += 0.5 * (1 + math.erf((abs(float(h[s, i])) - threshold) / sigma / math.sqrt(2)))
        assert float(found[i]) == pytest.approx(total, rel=1e-4, abs=1e-6)


def test_the_load_has_a_gradient_that_evens_out_use_and_is_full_where_nothing_is_dropped():
    h = scores().requires_grad_()
    balance.squared_cv(balance.load(h, largest(h.detach(), TOP) != 0)).backward()
    assert h.grad is not None and bool(h.grad.abs().max() > 0)
    moved = (h - 0.05 * h.grad / h.grad.abs().max()).detach()
    before, after = (balance.squared_cv(balance.load(x, largest(x, TOP) != 0)) for x in (h.detach(), moved))
    assert after < before
    assert torch.equal(balance.load(h, torch.ones(S, K, dtype=torch.bool)), torch.full((K,), float(S)))


def test_sparsity_penalties_are_those_of_section_3_3_and_of_equation_15():
    code = scores()
    assert float(balance.l1(code)) == pytest.approx(sum(abs(float(x)) for x in code.flatten()) / S, rel=1e-5)
    beta, most = 0.5, 20.0
    total = sum(abs(float(code[s, i])) * min(math.exp(beta * i), most) for s in range(S) for i in range(K))
    assert float(balance.rising(code, beta, most)) == pytest.approx(total / S, rel=1e-5)
    endless = sum(abs(float(code[s, i])) / math.exp(-beta * i) for s in range(S) for i in range(K))
    assert float(balance.rising(code, beta, 1e9)) == pytest.approx(endless / S, rel=1e-5)
    assert balance.rising(scores(2, 4096), beta, most).isfinite()


def bank_of(heads: str = "linear", experts: int = K) -> Dictionary:
    torch.manual_seed(1)
    return Dictionary(DictionarySpec(channels=2, experts=experts, hidden=6, frequencies=10, heads=heads, width=4))  # type: ignore[arg-type]


@pytest.mark.parametrize("heads", ["linear", "own"])
def test_fields_are_sums_of_experts_and_a_constant_in_the_bank_of_the_cell(heads: str):
    banks, coords = [bank_of(heads), bank_of(heads)], image_coords(4, 4)
    with torch.no_grad():
        banks[1].head_KCF.add_(1)
        code, constant = largest(scores(6), TOP), scores(6, 2, seed=4)
        found = draw(banks, coords, code, constant, TOP)
        for s in range(6):
            atoms_NCK = banks[s % 2].atoms(coords)
            assert torch.allclose(found[s], atoms_NCK @ code[s] + constant[s], atol=1e-5)


def test_reading_only_the_experts_in_use_changes_nothing():
    bank, coords, k = bank_of(experts=200), image_coords(4, 4), 3
    code = largest(scores(6, 200), k).requires_grad_()
    few, all_ = (draw([bank], coords, code, scores(6, 2), limit) for limit in (k, None))
    assert torch.allclose(few, all_, atol=1e-5)
    grads = [torch.autograd.grad(field.square().sum(), (code, bank.head_KCF)) for field in (few, all_)]
    used = code != 0
    assert torch.allclose(grads[0][0][used], grads[1][0][used], atol=1e-3)
    assert torch.allclose(grads[0][1], grads[1][1], atol=1e-3)


def batch_of(weight: Tensor) -> Batch:
    h = scores()
    values = scores(S, 8, seed=3).view(S, 4, 2)
    return Batch(image_coords(2, 2), weight, values, h, normalised(largest(h, TOP)), torch.zeros(S, 2))


def test_losses_are_weighted_means_of_squares_or_magnitudes():
    batch, field = batch_of(torch.tensor([1.0, 0.5, 0.0, 2.0])), scores(S, 8, seed=5).view(S, 4, 2)
    for loss, power in (("l2", 2), ("l1", 1)):
        total = sum(
            float(batch.weight_N[n]) * abs(float(field[s, n, c] - batch.values_SNC[s, n, c])) ** power
            for s in range(S) for n in range(4) for c in range(2)
        )  # fmt: skip
        assert float(fidelity(field, batch, loss)) == pytest.approx(total / (3.5 * S * 2), rel=1e-5)


def test_the_warm_up_is_penalised_for_magnitude_and_what_follows_for_load():
    bank = DictionarySpec(experts=K, channels=2)
    spec = MoeSpec(model=ModelSpec(levels=(LevelSpec(dictionary=bank, basis=0),)), sparsity=0.3, balance=0.2)
    batch = batch_of(torch.ones(4))
    cv = float(balance.squared_cv(balance.importance(batch.code_SK)))
    load = float(balance.squared_cv(balance.load(batch.score_SK, batch.code_SK != 0)))
    assert float(penalty(batch, spec, None)) == pytest.approx(0.3 / 8 * float(balance.l1(batch.code_SK)) + 0.2 * cv)
    assert float(penalty(batch, spec, TOP)) == pytest.approx(0.2 * (cv + load), rel=1e-5)
    decayed = replace(spec, decay=0.5, balance=0.0)
    for k in (None, TOP):  # from the first epoch to the last
        wanted = 0.3 / 8 * float(balance.rising(batch.code_SK, 0.5, decayed.most))
        assert float(penalty(batch, decayed, k)) == pytest.approx(wanted, rel=1e-5)


def test_a_lookup_table_has_one_embedding_a_signal():
    table = LookupGate(4, K, 2)
    score, constant = table(torch.tensor([2, 0, 2]))
    assert torch.equal(score[0], score[2]) and not torch.equal(score[0], score[1])
    assert torch.equal(score[1], table.table.weight[0, :K]) and torch.equal(constant, torch.zeros(3, 2))
    score.sum().backward()
    assert table.table.weight.grad is not None
    assert table.table.weight.grad[[1, 3]].abs().sum() == 0 < table.table.weight.grad[2].abs().sum()
