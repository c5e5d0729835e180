"""Learning, tiny: it gets better, and an interrupted run ends where an uninterrupted one does."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from nidcli import learn
from nidcli.dictionary import DictionarySpec
from nidcli.errors import InputError, UsageError
from nidcli.gates import GateSpec
from nidcli.grid import image_coords
from nidcli.imaging import encode, render
from nidcli.learn import Learner
from nidcli.learn_spec import LearnSpec
from nidcli.model import LevelSpec, ModelSpec
from nidcli.progress import Progress
from nidcli.sampling import omp_coder


@dataclass(frozen=True)
class Waves:
    """Images that are functions: an edge and three waves each, at any size."""

    count: int = 12

    def __len__(self) -> int:
        return self.count

    def image(self, index: int, side: int) -> Tensor:
        g = torch.Generator().manual_seed(index)
        x_ND, turn_D3 = image_coords(side, side), 6 * torch.randn(2, 3, generator=g)
        waves_N = torch.sin(x_ND @ turn_D3 + 6 * torch.rand(3, generator=g)).mean(1)
        edge_N = torch.sigmoid(20 * (x_ND @ turn_D3[:, 0] / 6 - 0.2))
        return (0.5 + 0.2 * waves_N + 0.3 * (edge_N - 0.5)).view(side, side, 1)


def level_of(**changes) -> LevelSpec:
    bank = DictionarySpec(channels=1, experts=64, hidden=63, frequencies=160)
    spec = LevelSpec(dictionary=bank, pixels=8, overlap=1 / 8, top_k=4, basis=24)
    return replace(spec, **changes)


GATE = GateSpec(rounds=1, picks=2, candidates=8, components=16, width=8)
COARSE = level_of(cells=1, top_k=8)
UNSHARED = level_of(cells=2, shared=False)
SPEC = LearnSpec(
    model=ModelSpec(levels=(level_of(),), gate=GATE),
    size=32, fine_pixels=12, steps=6, batch=160, sparsity=(3,), components=40, fit_steps=3,
    polish_steps=4, gate_steps=3, holdout=2, seed=1,
)  # fmt: skip
MODELS = {
    "one level": SPEC.model,
    "two levels": ModelSpec(levels=(COARSE, level_of()), gate=GATE),
    "own banks": ModelSpec(levels=(UNSHARED,)),
    "coarse own banks": ModelSpec(levels=(UNSHARED, level_of())),
}


@pytest.fixture(autouse=True)
def few_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "STATISTICS_CELLS", 256)


def spec_of(name: str, **changes) -> LearnSpec:
    return replace(SPEC, model=MODELS[name], **changes)


def run(spec: LearnSpec) -> tuple[Learner, list[Progress]]:
    learner = Learner(spec, Waves())
    return learner, list(learner.run())


def interrupted(spec: LearnSpec, after: int) -> Learner:
    """A run that is stopped after some steps, and a new one that goes on from its checkpoint."""
    first = Learner(spec, Waves())
    for _ in itertools.islice(first.run(), after):
        pass
    saved = {name: tensor.clone() for name, tensor in first.state().items()}
    second = Learner(spec, Waves())
    second.restore(saved, copy.copy(first.place))
    for _ in second.run():
        pass
    return second


def equal(a: Learner, b: Learner) -> bool:
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def psnr(learner: Learner) -> float:
    """Of held-out images through the finished experts."""
    images = torch.stack([Waves().image(i, 32) for i in learner.held])
    codes = encode(learner.model, images, omp_coder)
    drawn = torch.stack([render(learner.model, code, 32, 32) for code in codes])
    return -10 * math.log10((drawn - images).square().mean().item())


def test_learning_gets_better_and_experts_keep_what_atoms_promised():
    learner, progress = run(replace(SPEC, steps=12, flip=False))
    shown = [p.psnr for p in progress if p.psnr is not None]
    assert len(shown) >= 2 and shown[-1] > shown[0]
    untrained = Learner(SPEC, Waves())
    assert psnr(learner) > psnr(untrained) + 3
    assert psnr(learner) == pytest.approx(shown[-1], abs=1.5)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_is_learned_through_all_its_stages(name):
    learner, progress = run(spec_of(name))
    levels = MODELS[name].levels
    banks = [(i, c) for i, level in enumerate(levels) for c in range(1 if level.shared else level.cells**2)]
    assert [key for key, _ in itertools.groupby((p.level, p.cell) for p in progress if p.stage == "atoms")] == banks
    assert {p.stage for p in progress} == {"atoms", "polish"} | ({"gate"} if MODELS[name].gate else set())
    assert learner.place.stage == "done"
    assert all(tensor.isfinite().all() for tensor in learner.model.state_dict().values())
    for i, c in banks:
        assert learner.model.level(i).prior_variance_BK[c, :24].max() > 0
    assert psnr(learner) > 20


@pytest.mark.parametrize("name", ["one level", "own banks"])
def test_learning_twice_gives_the_same_model(name):
    assert equal(run(spec_of(name))[0], run(spec_of(name))[0])


def test_another_seed_gives_another_model():
    assert not equal(run(SPEC)[0], run(replace(SPEC, seed=2))[0])


@pytest.mark.parametrize("name, stage", [
    ("one level", "atoms"), ("one level", "polish"), ("one level", "gate"),
    ("two levels", "atoms"), ("two levels", "gate"),
    ("own banks", "polish"),
])  # fmt: skip
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(name, stage):
    spec = spec_of(name)
    whole, progress = run(spec)
    last = max(i for i, p in enumerate(progress) if p.stage == stage)  # of the last bank of the last level
    assert equal(whole, interrupted(spec, last))


@pytest.mark.parametrize("after", [1, 6])
def test_an_interrupted_first_bank_ends_where_an_uninterrupted_one_does(after):
    assert equal(run(SPEC)[0], interrupted(SPEC, after))


def test_a_run_that_is_done_stays_done():
    learner, _ = run(SPEC)
    saved = {name: tensor.clone() for name, tensor in learner.state().items()}
    again = Learner(SPEC, Waves())
    again.restore(saved, copy.copy(learner.place))
    assert list(again.run()) == []
    assert equal(again, learner)


def test_a_run_interrupted_in_its_gate_does_not_polish_again(monkeypatch):
    monkeypatch.setattr("nidcli.polish.RATE", 1e-5)  # so small that every step helps
    spec = replace(SPEC, polish_steps=10)
    whole, progress = run(spec)
    (unpolished, _) = run(replace(spec, polish_steps=0))
    assert not equal(whole, unpolished)
    assert equal(whole, interrupted(spec, len(progress) - 1))


def test_a_time_limit_in_polish_keeps_the_best_weights(monkeypatch):
    monkeypatch.setattr("nidcli.polish.RATE", 0.5)  # so large that every step does harm
    monkeypatch.setattr(learn, "POLISH_SHARE", 1e-9)
    limited = Learner(replace(SPEC, polish_steps=10), Waves(), limit=1e6)
    assert [p.stage for p in limited.run()].count("polish") == 1
    assert equal(limited, run(replace(SPEC, polish_steps=0))[0])


def test_taking_a_checkpoint_changes_nothing():
    watched = Learner(SPEC, Waves())
    for _ in watched.run():
        watched.state()
    assert equal(watched, run(SPEC)[0])


@pytest.mark.parametrize("changes", [
    {"fine_pixels": 0}, {"size": 36}, {"holdout": 0}, {"polish_steps": 0, "gate_steps": 0}, {"batch": 10_000},
])  # fmt: skip
def test_unusual_settings_run_through(changes):
    learner, _ = run(replace(SPEC, **changes))
    assert all(tensor.isfinite().all() for tensor in learner.model.state_dict().values())


@pytest.mark.parametrize("changes", [{"basis": 0}, {"basis": 63}, {"basis": 64}, {"top_k": 1}, {"overlap": 0.5}])
def test_unusual_levels_run_through(changes):
    level = level_of(**changes)
    if changes == {"basis": 63}:
        level = replace(level, dictionary=replace(level.dictionary, experts=63))
    learner, _ = run(replace(SPEC, model=ModelSpec(levels=(level,)), polish_steps=2))
    assert all(tensor.isfinite().all() for tensor in learner.model.state_dict().values())


def test_a_time_limit_ends_every_stage_early():
    learner = Learner(replace(SPEC, polish_steps=20), Waves(), limit=1e-3)
    stages = [p.stage for p in learner.run()]
    assert stages.count("atoms") == stages.count("polish") == stages.count("gate") == 1
    assert psnr(learner) > 20


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="2 images are too few"):
        Learner(replace(SPEC, holdout=2), Waves(2))


def test_a_gate_for_cells_with_banks_of_their_own_is_refused():
    with pytest.raises(UsageError, match="one bank for all cells"):
        Learner(replace(SPEC, model=ModelSpec(levels=(UNSHARED,), gate=GATE)), Waves())
