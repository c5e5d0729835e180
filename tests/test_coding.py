"""What the commands ask of the engine: budgets over levels, the shape of photos, rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nidcli.artifacts import load_model
from nidcli.codes import SparseCode
from nidcli.coding import adam_rate, budget, coder, encode_photos, fitted
from nidcli.dictionary import DictionarySpec
from nidcli.imaging import encode, render
from nidcli.model import LevelSpec, Model, ModelSpec

SMALL = DictionarySpec(experts=40, hidden=24, frequencies=40)
TWO_LEVELS = ModelSpec(
    levels=(
        LevelSpec(dictionary=SMALL, cells=1, pixels=8, top_k=20, basis=0),
        LevelSpec(dictionary=SMALL, pixels=8, top_k=6, basis=0, overlap=0.125),
    )
)


@pytest.mark.parametrize("side", [8, 16, 40])
@pytest.mark.parametrize("k", [1, 4, 12])
def test_all_levels_together_keep_to_the_budget_of_the_finest_cells(side, k):
    torch.manual_seed(0)
    model = Model(TWO_LEVELS)
    (code,) = encode(model, torch.rand(1, side, side, 3), coder(model, "omp", k))
    cells = code.levels[-1].cells[0] * code.levels[-1].cells[1]
    if cells > 1:  # one cell cannot pay for the constants of two levels
        assert code.coefficients <= (k + 3) * cells


def test_one_level_may_spend_all_of_it():
    model = Model(ModelSpec(levels=TWO_LEVELS.levels[1:]))
    assert budget(model, model.level(-1), 6, 1) == 6


@pytest.mark.parametrize("given, size, expected", [((640, 480), 320, (320, 240)), ((3, 999), 10, (1, 10))])
def test_the_longer_side_becomes_the_size(given, size, expected):
    width, height = given
    assert fitted(width, height, size) == expected
    assert fitted(width, height, None) == given


def test_adams_rate_grows_with_the_coefficients_and_ignores_empty_slots():
    index_SJ, constant_SC = torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 3)
    small = SparseCode(index_SJ, torch.tensor([[0.1, 0.0]]), constant_SC)
    large = SparseCode(index_SJ, torch.tensor([[1.0, 1.0]]), constant_SC)
    assert adam_rate(large) == pytest.approx(10 * adam_rate(small))
    assert adam_rate(None) > 0


def test_many_photos_are_shared_among_threads_and_come_back_in_their_order(monkeypatch: pytest.MonkeyPatch):
    model = load_model("face").model
    chance = np.random.default_rng(5)
    photos = [chance.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(19)]
    code = coder(model, "gate", 16)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        shared, found = encode_photos(model, photos, code, own_sampling=True)
        assert torch.get_num_threads() == 2
        monkeypatch.setattr("nidcli.coding.A_PIECE", 100)
        alone, expected = encode_photos(model, photos, code, own_sampling=True)
    finally:
        torch.set_num_threads(before)
    for mine, theirs in zip(shared, alone, strict=True):
        drawn = [render(model, each, 48, 32) for each in (mine, theirs)]
        assert float((drawn[0] - drawn[1]).abs().max()) < 0.02
    assert [q.psnr for q in found] == pytest.approx([q.psnr for q in expected], abs=0.05)
