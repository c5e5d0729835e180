"""The gate that sees the whole: what it learns, and that it goes on from a checkpoint as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nidcli.encoder import Encoder, EncoderSpec
from nidcli.errors import UsageError
from nidcli.model import Model, ModelSpec
from nidcli.net_training import NetTraining
from nidcli.observers import Observations, observer

SPEC = EncoderSpec(inputs=2, channels=1, width=8, depth=2)


def encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(SPEC)


def brighter(step: int) -> tuple[Tensor, Tensor]:
    """The truth is what is seen, plus a third where the second channel says so."""
    chance = torch.Generator().manual_seed(step)
    seen = torch.rand(4, 2, 12, 12, generator=chance)
    return seen, seen[:, :1] + (seen[:, 1:] > 0.5) / 3


def error(net: Encoder, pairs: Callable[[int], tuple[Tensor, Tensor]] = brighter) -> float:
    seen, truth = pairs(1 << 20)
    with torch.no_grad():
        return float((net(seen) - truth).square().mean())


@pytest.mark.parametrize("size", [(16, 16), (13, 7), (1, 30)])
def test_untrained_it_answers_with_the_first_estimate_at_any_size(size: tuple[int, int]):
    seen = torch.rand(2, 2, *size)
    assert torch.equal(encoder()(seen), seen[:, :1])


@pytest.mark.parametrize("size", [(16, 16), (13, 7)])
def test_pixels_folded_into_channels_come_back_in_their_places(size: tuple[int, int]):
    torch.manual_seed(0)
    net = Encoder(replace(SPEC, fold=2))
    seen = torch.rand(2, 2, *size)
    assert torch.equal(net(seen), seen[:, :1])
    training = NetTraining(net, 60, rate=1e-2, average=0.9)
    list(training.run(brighter))
    training.finish()
    assert error(net) < error(encoder()) / 2


def test_partial_convolutions_leave_out_what_is_not_known_and_learn_all_the_same():
    torch.manual_seed(0)
    net = Encoder(replace(SPEC, inputs=3, partial=1))

    def holed(step: int) -> tuple[Tensor, Tensor]:
        seen, truth = brighter(step)
        known = (torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(step)) > 0.3).float()
        return torch.cat([seen, known], 1), truth

    before, training = error(net, holed), NetTraining(net, 120, rate=1e-2, average=0.9)
    list(training.run(holed))
    training.finish()
    assert error(net, holed) < before / 2

    assert net.beside is not None
    torch.nn.init.zeros_(net.beside.weight)  # the way past what is left out
    seen, _ = holed(0)
    known = seen[:, 2:] > 0
    other = torch.where(known, seen, 1 - seen)
    other[:, 2:] = seen[:, 2:]
    with torch.no_grad():
        said = [net(each) - each[:, :1] for each in (seen, other)]
    assert torch.allclose(said[0], said[1], atol=1e-6)
    assert float(said[0].abs().max()) > 0.1


def test_partial_convolutions_are_refused_where_nothing_says_what_is_known():
    with pytest.raises(ValueError, match="cannot say"):
        replace(SPEC, partial=1)
    with pytest.raises(ValueError, match="encoder of photos"):
        ModelSpec(kind="ct", encoder=replace(SPEC, inputs=5, partial=2))
    model = Model(
        ModelSpec(whole=replace(ModelSpec().levels[0], cells=1), encoder=EncoderSpec(inputs=28, channels=12, partial=3))
    )
    with pytest.raises(UsageError, match="partial: 4"):
        observer(model)


def test_the_rate_has_fallen_when_the_time_is_gone():
    net = encoder()
    training = NetTraining(net, 1000, rate=1e-2)
    steps = training.run(brighter, lambda: min(1.0, training.step / 5))
    rates = []
    for _ in range(7):
        next(steps)
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert max(rates) > 1e-4 and rates[-1] == 0


def test_it_learns_what_the_estimate_misses():
    net = encoder()
    before, training = error(net), NetTraining(net, 60, rate=1e-2, average=0.9)
    assert len(list(training.run(brighter))) == 60
    training.finish()
    assert error(net) < before / 4


@pytest.mark.parametrize(("replay", "stop", "count"), [(1, 3, 8), (3, 31, 40)])
def test_a_restored_training_ends_where_an_uninterrupted_one_does(replay: int, stop: int, count: int):
    whole = NetTraining(encoder(), count, replay=replay)
    list(whole.run(brighter))
    whole.finish()

    first = NetTraining(encoder(), count, replay=replay)
    steps = first.run(brighter)
    for _ in range(stop):
        next(steps)
    saved = {name: tensor.clone() for name, tensor in first.state().items()}
    second = NetTraining(encoder(seed=1), count, replay=replay)
    second.restore(saved, stop)
    assert len(list(second.run(brighter))) == count - stop
    second.finish()
    for name, parameter in whole.encoder.named_parameters():
        assert torch.equal(parameter, second.encoder.get_parameter(name)), name


def test_batches_are_observed_once_and_learned_from_several_times():
    asked: list[int] = []

    def noted(step: int) -> tuple[Tensor, Tensor]:
        asked.append(step)
        return brighter(step)

    training = NetTraining(encoder(), 24 + 30, replay=3)
    list(training.run(noted))
    assert asked == [*range(24), *range(24, 24 + 30, 3)]
    assert len(training.remembered) == training.memory == 24


def test_observations_are_batches_of_training_images_every_second_mirrored():
    class Ramps:
        def __len__(self) -> int:
            return 5

        def image(self, index: int, side: int) -> Tensor:
            return (index + torch.linspace(0, 0.9, side)).expand(side, side)[:, :, None]

    def both(images: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        return images.permute(0, 3, 1, 2), images.permute(0, 3, 1, 2)

    drawn = Observations(Ramps(), both, train=3, size=4, batch=3, flip=True)
    for step in (0, 1):
        seen, _ = drawn.pairs(step, torch.Generator().manual_seed(7), "cpu")
        assert sorted(seen.amin((1, 2, 3)).tolist()) == [0, 1, 2]
        assert bool((seen[:, 0, 0, 0] > seen[:, 0, 0, -1]).all()) == (step == 1)


def test_a_kind_without_observations_is_refused():
    with pytest.raises(UsageError, match="kind video have no encoder"):
        observer(Model(ModelSpec(kind="video")))
