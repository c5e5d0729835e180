"""The baselines of the paper's tables do what they are for: each learns something small, and LPIPS knows a blur."""

from __future__ import annotations

import importlib
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import DATA
from torch import Tensor

from nidcli.grid import image_coords

fields, ffm, siren, meta, igr, deepsdf, metasdf, convonet = (
    importlib.import_module(f"benchmarks.baselines.{name}")
    for name in ("fields", "ffm", "siren", "meta", "igr", "deepsdf", "metasdf", "convonet")
)
lpips = importlib.import_module("benchmarks.lpips")


def wave(shift: float = 0.0) -> tuple[Tensor, Tensor]:
    points = image_coords(16, 16)
    return points, torch.sin(3 * points.sum(1, keepdim=True) + shift).expand(-1, 3)


def ball(index: int, count: int = 256) -> tuple[Tensor, Tensor]:
    """Points, and their distances to a ball of a radius of its own."""
    points = 2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(index)) - 1
    return points, points.norm(dim=1) - 0.3 - 0.1 * index


@pytest.mark.parametrize("module, steps", [(ffm, 40), (siren, 40)])
def test_a_network_fits_one_picture(module: Any, steps: int):
    points, values = wave()
    loss = lambda weights, step: (module.field(weights, points) - values).square().mean()  # noqa: E731
    start = module.weights()
    end, done, _ = fields.fit(start, loss, 1e-3, steps=steps)
    assert done == steps and float(loss(end, 0)) < 0.3 * float(loss(start, 0))
    assert fields.parameters(start) == sum(weight.numel() for weight in end)
    assert fields.flops(start, 10) == 20 * sum(weight.numel() for weight in start if weight.ndim == 2)


def test_gradient_steps_through_gradient_steps_are_those_of_maml():
    weight = (torch.tensor([2.0]).requires_grad_(),)
    (end,) = fields.adapt(weight, lambda w: (w[0] ** 2).sum(), 0.1, 2, keep_graph=True)
    assert float(end.detach()) == pytest.approx(2 * 0.8**2)
    assert float(torch.autograd.grad(end.sum(), weight)[0]) == pytest.approx(0.8**2)


def test_fitting_leaves_the_weights_that_it_began_from():
    start = fields.relu_weights([2, 4, 1])
    before = [weight.clone() for weight in start]
    loss = lambda weights, step=0: fields.relu(weights, image_coords(2, 2)).square().sum()  # noqa: E731
    for end in (fields.adapt(start, loss, 0.1, 2), fields.fit(start, loss, 0.1, steps=2)[0]):
        assert not all(torch.equal(a, b) for a, b in zip(end, before, strict=True))
        assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(start, before, strict=True))


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which every look takes as long, so that budgets of seconds are numbers of steps on any machine."""
    looks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 0.05 * next(looks))


@pytest.mark.usefixtures("steady")
def test_a_learned_beginning_adapts_better_than_none():
    def task(number: int) -> Any:
        points, values = wave(number % 5)
        return lambda weights: (siren.field(weights, points) - values).square().mean()

    start = meta.weights(hidden=32)
    learned, steps = meta.learn(start, task, 1.0)
    assert 15 < steps <= 20
    after = [float(task(7)(fields.adapt(w, task(7), meta.INNER_RATE, 2))) for w in (start, learned)]
    assert after[1] < after[0]


def test_surface_losses_vanish_on_the_truth_and_not_elsewhere():
    torch.manual_seed(0)
    model, on = igr.Igr(radius=0.5), torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    near, far = (float(igr.loss(model, radius * on, on, 2 * torch.rand(200, 3) - 1).detach()) for radius in (0.5, 0.9))
    assert near < far  # it begins as a sphere
    weights = siren.weights(3, 1, hidden=16)
    first = siren.surface_loss(weights, on, on, torch.rand(200, 3))
    end = fields.fit(weights, lambda w, step: siren.surface_loss(w, on, on, torch.rand(200, 3)), 1e-3, steps=20)[0]
    assert float(siren.surface_loss(end, on, on, torch.rand(200, 3)).detach()) < float(first.detach())


@pytest.mark.usefixtures("steady")
def test_decoders_of_a_class_learn_its_shapes_and_fit_another():
    model, steps = deepsdf.learn(3, ball, 1.5)
    code = deepsdf.infer(model, lambda: ball(1), 3.0, steps=30)
    untrained = deepsdf.DeepSdf()
    fit, before = (float(deepsdf.misfit(m, c, *ball(1))) for m, c in ((model, code), (untrained, 0 * code)))
    assert steps > 2 and fit < before
    own, rates, steps = metasdf.learn(3, ball, 1.5)
    error = metasdf.loss_of(*ball(1))
    assert steps > 2 and float(error(metasdf.infer(own, rates, *ball(1)))) < float(error(own))


@pytest.mark.usefixtures("steady")
def test_planes_of_features_learn_what_is_inside():
    def sample(index: int) -> tuple[Tensor, Tensor, Tensor]:
        points, distance = ball(index)
        surface = torch.nn.functional.normalize(points, dim=1) * (0.3 + 0.1 * index)
        return surface, points, (distance < 0).float()

    model, steps = convonet.learn(3, sample, 2.0)
    surface, points, inside = sample(1)
    with torch.no_grad():
        trained = torch.nn.functional.binary_cross_entropy_with_logits(
            model.decode(model.encode(surface), points), inside
        )
    assert steps >= 3 and float(trained) < 0.69


@pytest.mark.data
def test_lpips_tells_a_blur_from_noise_and_both_from_nothing():
    measure = lpips.Lpips(Path(DATA) / "lpips" / "alexnet.safetensors")
    x = (
        torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
        .repeat_interleave(8, 1)
        .repeat_interleave(8, 2)
    )
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert torch.equal(measure(x, x), torch.zeros(2))
    little, much = measure(x, x.lerp(noisy, 0.2)), measure(x, noisy)
    assert bool((little > 0).all()) and bool((little < much).all())
    assert torch.allclose(measure(x, noisy), measure(noisy, x), atol=1e-5)
