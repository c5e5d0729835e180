"""Encoders of gates: partial convolutions, sets in any order, and where a gate refuses to look."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nidcli.errors import UsageError
from nidcli.grid import image_coords
from nidcli.moe.encoders import CnnEncoder, Pool, SetEncoder
from nidcli.moe.gates import MoeGate, MoeGateSpec
from nidcli.moe.schedule import hidden_part
from nidcli.partial import PartialConv

SIDE, C = 8, 2
POOLS: list[tuple[int, Pool]] = [(0, "position"), (2, "flatten"), (3, "mean")]
SETS: list[Pool] = ["mean", "max"]
GATES = [MoeGateSpec(width=6, stem=5, blocks=3, halve=halve, pool=pool, centred=False) for halve, pool in POOLS]
GATES += [MoeGateSpec(kind="set", width=6, blocks=2, halve=0, pool=pool, centred=False) for pool in SETS]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gate_of(spec: MoeGateSpec, banks: int = 1, side: int = SIDE) -> MoeGate:
    torch.manual_seed(0)
    return MoeGate(spec, 12, C, SIDE, side, banks).eval()


def test_a_partial_convolution_is_the_formula_of_liu_et_al():
    conv, x = PartialConv(2, 3, 3, padding=1), normal(1, 2, 5, 5)
    known = (torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    known[0, 0, :3, :3] = 0  # a window that sees nothing
    answer, seen = conv.masked(x, known)
    assert conv.bias is not None
    for i in range(5):
        for j in range(5):
            total, count, inside = torch.zeros(3), 0, 0
            for a in range(-1, 2):
                for b in range(-1, 2):
                    if 0 <= i + a < 5 and 0 <= j + b < 5:
                        inside += 1
                        if known[0, 0, i + a, j + b]:
                            count += 1
                            total += conv.weight[:, :, a + 1, b + 1] @ x[0, :, i + a, j + b]
            wanted = total * inside / count + conv.bias if count else torch.zeros(3)
            assert torch.allclose(answer[0, :, i, j], wanted, atol=1e-5)
            assert bool(seen[0, 0, i, j]) == (count > 0)


@pytest.mark.parametrize("halve", [0, 2])
def test_an_encoder_of_a_whole_picture_is_an_ordinary_one_and_hidden_samples_do_not_matter(halve: int):
    torch.manual_seed(0)
    encoder, x = CnnEncoder(C, SIDE, 6, 5, 3, 3, halve, "flatten"), normal(4, C, SIDE, SIDE)
    assert torch.allclose(encoder(x), encoder(x, torch.ones(4, 1, SIDE, SIDE)), atol=1e-5)
    known = torch.ones(4, 1, SIDE, SIDE)
    known[:, :, 2:6, 3:7] = 0
    damaged = x + 100 * (1 - known)
    assert torch.allclose(encoder(x, known), encoder(damaged, known), atol=1e-5)
    assert not torch.allclose(encoder(x), encoder(damaged), atol=1)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_set_has_no_order_and_unknown_samples_do_not_matter(pool):
    torch.manual_seed(0)
    encoder, x, y = SetEncoder(2, C, 6, 2, pool), image_coords(SIDE, SIDE), normal(3, SIDE**2, C)
    order = torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(encoder(x, y), encoder(x[order], y[:, order]), atol=1e-5)
    known = torch.ones(3, SIDE**2)
    known[:, 10:30] = 0
    rest = torch.cat([torch.arange(10), torch.arange(30, SIDE**2)])
    assert torch.allclose(encoder(x, y, known), encoder(x[rest], y[:, rest]), atol=1e-5)
    assert torch.allclose(encoder(x, y + 100 * (1 - known)[:, :, None], known), encoder(x, y, known), atol=1e-5)


@pytest.mark.parametrize("spec", GATES, ids=lambda spec: f"{spec.kind} {spec.pool}")
def test_samples_find_their_places_however_they_come(spec: MoeGateSpec):
    gate, x, y = gate_of(spec), image_coords(SIDE, SIDE), normal(3, SIDE**2, C)
    some = torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(3))[:40]
    known = torch.zeros(3, SIDE**2).index_fill(1, some, 1)
    for part, whole in zip(gate(y[:, some], x[some]), gate(y, x, known), strict=True):
        assert torch.allclose(part, whole, atol=1e-5)
    if spec.kind == "cnn":
        with pytest.raises(UsageError, match="cells of 8 x 8"):
            gate(normal(1, 36, C), image_coords(6, 6))


def test_blocks_have_output_layers_of_their_own():
    gate, x, y = gate_of(GATES[1], banks=4), image_coords(SIDE, SIDE), normal(8, SIDE**2, C)
    score, _ = gate(y, x)
    for cell in range(8):
        alone, _ = gate(y[cell : cell + 1], x, bank=cell % 4)
        assert torch.allclose(score[cell], alone[0], atol=1e-5)
    other, _ = gate(y[:1], x, bank=1)
    assert not torch.allclose(score[0], other[0], atol=1e-3)


@pytest.mark.parametrize("normalise", [True, False])
def test_an_answer_has_k_experts_and_the_constants_of_the_gate(normalise: bool):
    spec = MoeGateSpec(width=6, stem=5, blocks=2, normalise=normalise)
    gate, x, y = gate_of(spec), image_coords(SIDE, SIDE), normal(3, SIDE**2, C)
    answer = gate.answer(y, x, 4)
    score, constant = gate(y, x)
    assert torch.equal(answer.constant_SC, constant)
    top = score.abs().topk(4, 1).indices
    assert torch.equal(answer.index_SJ.sort(1).values, top.sort(1).values)
    ratio = score.gather(1, answer.index_SJ) / answer.value_SJ
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4)
    assert torch.allclose(answer.value_SJ.norm(dim=1), torch.ones(3)) == normalise


@pytest.mark.parametrize("wrong", [{"pool": "max"}, {"kind": "set"}, {"width": 0}, {"halve": 5}])
def test_a_gate_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match=r"pools by|at least 1|between 0"):
        MoeGateSpec(**wrong)


def test_the_hidden_part_is_a_rectangle_elsewhere_in_every_cell():
    known = hidden_part(image_coords(16, 16), 50, torch.Generator().manual_seed(0)).view(50, 16, 16)
    for cell in known:
        hole = (cell == 0).nonzero()
        (top, left), (bottom, right) = hole.amin(0).tolist(), hole.amax(0).tolist()
        assert len(hole) == (bottom - top + 1) * (right - left + 1)
        assert 2 <= bottom - top + 1 <= 11
    assert len({tuple((cell == 0).nonzero()[0].tolist()) for cell in known}) > 10
