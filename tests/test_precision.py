"""Half precision: only where a device computes in it, and with answers that are nearly the same."""

from __future__ import annotations

import pytest
import torch

from nidcli import precision
from nidcli.artifacts import bundled, load_model
from nidcli.ct.views import answered
from nidcli.precision import half, halved, has_bfloat16

HERE, THERE = torch.device("cpu"), torch.device("cuda")
ABLE = [False, True]


@pytest.mark.parametrize("able", ABLE)
def test_processors_without_it_compute_in_float32(able: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    assert has_bfloat16(HERE) is able and half(HERE) is (torch.bfloat16 if able else torch.float32)
    factor = torch.eye(3)
    with halved(HERE):
        assert (factor @ factor).dtype is half(HERE)
    with halved(HERE, wanted=False):
        assert (factor @ factor).dtype is torch.float32


@pytest.mark.parametrize("able", ABLE)
def test_gpus_that_only_imitate_it_compute_in_float32(able: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or able)
    assert has_bfloat16(THERE) is able


def test_other_devices_and_builds_that_do_not_say_compute_in_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not has_bfloat16(HERE) and not has_bfloat16(torch.device("mps"))


@pytest.mark.skipif("phantom" not in bundled(), reason="no bundled dictionaries")
def test_the_encoder_of_slices_says_nearly_the_same_in_either(monkeypatch: pytest.MonkeyPatch):
    encoder = load_model("phantom").model.encoder
    assert encoder is not None
    seen = torch.rand(1, 5, 32, 32, generator=torch.Generator().manual_seed(0))
    answers = []
    for able in ABLE:
        monkeypatch.setattr(precision, "has_bfloat16", lambda device, able=able: able)
        answers.append(answered(encoder, seen))
    exact, rough = answers
    assert not torch.equal(exact, rough) and (exact - rough).abs().max() < 0.05 * exact.abs().max()
