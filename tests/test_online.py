"""Online dictionary learning on planted dictionaries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nidcli.online import RARE_EVERY, OnlineDictionary, Pace

K, R, SPARSITY = 24, 20, 2
PACE = Pace(SPARSITY, 0.99, True)


def planted() -> Tensor:
    return torch.nn.functional.normalize(torch.randn(K, R, generator=torch.Generator().manual_seed(100)), dim=1)


def batch(number: int, signals: int = 500) -> Tensor:
    """Sparse mixtures of the planted atoms."""
    g = torch.Generator().manual_seed(number)
    index_SJ = torch.rand(signals, K, generator=g).topk(SPARSITY).indices
    value_SJ = (1 + torch.rand(signals, SPARSITY, generator=g)) * torch.randn(signals, SPARSITY, generator=g).sign()
    return (value_SJ[:, :, None] * planted()[index_SJ]).sum(1)


def started() -> OnlineDictionary:
    return OnlineDictionary(batch(999, K))


def learned(batches: int, online: OnlineDictionary | None = None, pace: Pace = PACE) -> tuple[OnlineDictionary, list]:
    online = online or started()
    errors = [online.learn(batch(i), pace, torch.Generator().manual_seed(i)) for i in range(online.batches, batches)]
    return online, errors


def test_a_planted_dictionary_is_recovered_and_its_error_falls():
    online, errors = learned(100)
    found_K = (planted() @ online.atoms_KR.T).abs().amax(1)
    assert (found_K > 0.98).float().mean() >= 0.7
    assert errors[-1] < 0.4 * errors[0]
    thirds = torch.tensor(errors[:99]).view(3, 33).mean(1)
    assert thirds[0] > thirds[1] > 0 and thirds[2] < thirds[0]


def test_atoms_have_unit_norm_before_and_after_every_batch():
    for batches in (0, 1, 4, RARE_EVERY):
        online, _ = learned(batches)
        assert torch.allclose(online.atoms_KR.norm(dim=1), torch.ones(K), atol=1e-5)


def test_equal_generators_give_equal_atoms():
    assert torch.equal(learned(7)[0].atoms_KR, learned(7)[0].atoms_KR)


def test_the_error_is_that_of_the_codes_a_number():
    online = OnlineDictionary(torch.eye(4))
    signals_SR = torch.tensor([[3.0, 0, 0, 2], [0, 5, 1, 0]])
    assert online.learn(signals_SR, Pace(1, 0.9, False), torch.Generator()) == pytest.approx((4 + 1) / 2 / 4)


def test_statistics_are_the_sums_of_the_formula():
    online = OnlineDictionary(torch.eye(4))
    signals_SR = torch.tensor([[3.0, 0, 0, 2], [0, 5, 1, 0]])
    online.learn(signals_SR, Pace(1, 0.9, False), torch.Generator())
    usage_KK, moment_KR = torch.diag(torch.tensor([9.0, 25, 0, 0])), torch.zeros(4, 4)
    moment_KR[0], moment_KR[1] = 3 * signals_SR[0], 5 * signals_SR[1]
    assert torch.allclose(online.usage_KK, usage_KK, atol=1e-4)
    assert torch.allclose(online.moment_KR, moment_KR, atol=1e-4)
    assert torch.allclose(online.atoms_KR[0], signals_SR[0] / signals_SR[0].norm(), atol=1e-5)


def test_an_atom_that_no_code_uses_becomes_the_signal_that_is_coded_worst():
    atoms_KR = torch.cat([torch.eye(R)[:4], torch.eye(R)[-1:]])  # nothing looks like the last
    online, g = OnlineDictionary(atoms_KR), torch.Generator().manual_seed(0)
    signals_SR = torch.randn(60, R, generator=g)
    signals_SR[:, 4:] *= 0.01
    signals_SR[:, -1] = 0
    odd = 10 * torch.eye(R)[7] + 5 * torch.eye(R)[8]
    signals_SR[13] = odd
    for i in range(RARE_EVERY):
        before = online.atoms_KR.clone()
        online.learn(signals_SR, Pace(2, 0.9, i == RARE_EVERY - 1), g)
    assert torch.allclose(online.atoms_KR[-1], odd / odd.norm(), atol=1e-4)
    assert (online.usage_KK[-1] == 0).all() and (online.usage_KK[:, -1] == 0).all()
    assert torch.equal(before[-1], atoms_KR[-1])


def test_rare_atoms_stay_where_they_are_unless_asked():
    online = OnlineDictionary(torch.eye(R)[:5])
    signals_SR = torch.randn(40, R, generator=torch.Generator().manual_seed(0))
    signals_SR[:, 4] = 0
    for _ in range(2 * RARE_EVERY):
        online.learn(signals_SR * (torch.arange(R) < 4), Pace(2, 0.9, False), torch.Generator())
    assert torch.equal(online.atoms_KR[4], torch.eye(R)[4])


def test_a_restored_dictionary_goes_on_as_if_nothing_had_happened():
    whole, _ = learned(12)
    half, _ = learned(7)
    state = {name: tensor.clone() for name, tensor in half.state().items()}
    other = OnlineDictionary(torch.randn(K, R))
    other.restore(state, 7)
    learned(12, other)
    for name, tensor in whole.state().items():
        assert torch.equal(other.state()[name], tensor)
