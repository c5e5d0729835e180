"""Rank, coherence and the contact sheet, against dictionaries whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nidcli.dictionary import DictionarySpec
from nidcli.model import LevelSpec, Model, ModelSpec
from nidcli.report import coherence, contact_sheet, rank


def model(experts: int = 12, channels: int = 3, hidden: int = 8, levels: int = 1, cells: int = 0) -> Model:
    torch.manual_seed(0)
    bank = DictionarySpec(channels=channels, experts=experts, hidden=hidden, frequencies=20)
    level = LevelSpec(dictionary=bank, cells=cells, shared=not cells, pixels=8, overlap=0.125, basis=4)
    return Model(ModelSpec(levels=(level,) * levels))


def test_the_rank_is_what_features_and_experts_allow():
    assert rank(model(experts=12, hidden=8)) == (12,)
    assert rank(model(experts=40, hidden=4, channels=1)) == (4,)
    assert rank(model(experts=40, hidden=4, channels=3, levels=2)) == (12, 12)


def test_the_rank_of_several_banks_is_the_smallest():
    several = model(cells=2)
    with torch.no_grad():
        several.level(0).bank(3).head_KCF[5] = 0
    assert rank(several) == (11,)


def test_the_coherence_finds_the_two_experts_that_are_alike(monkeypatch: pytest.MonkeyPatch):
    found = model()
    assert 0 < coherence(found)[0] < 0.9999
    with torch.no_grad():
        found.level(0).bank().head_KCF[11] = -3 * found.level(0).bank().head_KCF[2]
    assert coherence(found)[0] == pytest.approx(1, abs=1e-5)
    whole = coherence(model())
    monkeypatch.setattr("nidcli.report.CHUNK", 5)
    assert coherence(model()) == pytest.approx(whole, abs=1e-6)


def test_one_expert_has_nobody_to_be_alike():
    torch.manual_seed(0)
    bank = DictionarySpec(experts=1, hidden=4, frequencies=20)
    single = Model(ModelSpec(levels=(LevelSpec(dictionary=bank, pixels=8, overlap=0.125, basis=0),)))
    assert coherence(single) == (0.0,)
    assert rank(single) == (1,)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_contact_sheet_shows_every_atom_in_its_own_range(channels: int):
    sheet = contact_sheet(model(experts=40, channels=channels))
    assert sheet.shape == (2 * 17 + 1, 32 * 17 + 1, channels)
    assert sheet.dtype == np.float32
    assert sheet.min() >= 0 and sheet.max() <= 1
    for number in range(40):
        y, x = (1 + 17 * place for place in divmod(number, 32))
        assert abs(sheet[y : y + 16, x : x + 16] - 0.5).max() == pytest.approx(0.5)
    assert sheet[0].max() == sheet[:, 17].max() == 0


def test_the_contact_sheet_begins_with_the_atoms_of_the_largest_variance():
    plain, varied = model(), model()
    varied.level(0).prior_variance_BK[0, 7] = 1
    first = contact_sheet(varied)[1:17, 1:17]
    assert np.array_equal(first, contact_sheet(plain)[1:17, 1 + 7 * 17 : 17 + 7 * 17])


def test_levels_lie_below_one_another_and_1024_atoms_are_the_most():
    assert contact_sheet(model(experts=1100)).shape[0] == 32 * 17 + 1
    assert contact_sheet(model(levels=2)).shape[0] == 2 * (17 + 1)
