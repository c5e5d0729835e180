"""Details between scattered pixels: the mixture of Gaussians, its solver, and how it is learned."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import pytest
import torch
from faces import SAMPLES, SIDE, face_model, faces, psnr
from torch import Tensor

from nidcli.encoder import EncoderSpec
from nidcli.errors import UsageError
from nidcli.fitting import Targets, fit_experts
from nidcli.mixture import Mixture, MixtureSpec
from nidcli.model import LevelSpec, Model, ModelSpec
from nidcli.net_training import NetTraining
from nidcli.observers import observer
from nidcli.restore.cells import Cells, directions
from nidcli.restore.estimate import View, view
from nidcli.restore.finish import between, met
from nidcli.restore.frame import Frame
from nidcli.restore.masked import fill
from nidcli.restore.mixing import drawn_cells, learn_mixture, maximised
from nidcli.restore.trust import judge
from nidcli.restore.whole import WholeImage, whole_of
from nidcli.solvers.mixture import Gaussians, mixture_means


def planted(dims: int = 3) -> Gaussians:
    factor = torch.randn(2, dims, dims, generator=torch.Generator().manual_seed(1)) * 0.3 + torch.eye(dims)
    mean = torch.stack([torch.full((dims,), 4.0), torch.full((dims,), -4.0)])
    return Gaussians.of(torch.tensor([0.7, 0.3]), mean, factor @ factor.mT)


def scattered(share: float, seed: int = 0) -> Tensor:
    return torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) >= share


def striped(images: Tensor) -> Tensor:
    """With diagonal stripes of any phase, one way or the other: what the level for the whole image does not draw."""
    chance = torch.Generator().manual_seed(len(images))
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    phase, way = torch.rand(len(images), 1, 1, generator=chance) * 6.28, torch.arange(len(images))[:, None, None] % 2
    stripes = torch.sin(torch.where(way > 0, x + y, x - y) * 1.1 + phase)[..., None]
    return (0.8 * images + 0.1 + 0.08 * stripes).clamp(0, 1)


@lru_cache
def mixed_model() -> Model:
    """The made-up faces with cells that know stripes."""
    plain, images = face_model(), striped(faces(120, 0))
    spec = dataclasses.replace(plain.spec, mixture=MixtureSpec(gaussians=4, directions=19))
    model = Model(spec)
    model.load_state_dict(plain.state_dict(), strict=False)
    cells = images.unfold(1, 8, 8).unfold(2, 8, 8).permute(0, 1, 2, 4, 5, 3).reshape(-1, 64, 3)
    around = (cells - cells.mean(1, keepdim=True)).flatten(1)
    parts = torch.linalg.svd(around[::7], full_matrices=False).Vh[:32].view(32, 64, 3).transpose(1, 2)
    level = model.level(-1)
    points = level.spec.window(8).coords_ND
    fit_experts(level.bank(), Targets(points, 64, parts, torch.zeros(64, 0), torch.ones(32)), 0, torch.Generator())
    learn_mixture(model, lambda i, side: images[i], 120, torch.Generator())
    return model.eval().requires_grad_(False)


def test_the_mean_under_a_mixture_is_that_of_its_likeliest_gaussian():
    prior, phi = planted(), torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(2))
    truth = torch.tensor([[4.0, 4.5, 3.5], [-4.0, -3.5, -4.5], [4.2, 4.0, 4.0], [-4.0, -4.0, -4.0], [3.8, 4.0, 4.1]])
    y = torch.einsum("xmr,xr->xm", phi, truth)
    gram, pull = phi.mT @ phi / 0.01, torch.einsum("xmr,xm->xr", phi, y) / 0.01
    means = mixture_means(prior, gram, pull, truth, torch.full((3,), 0.1), 1)
    for x in range(5):
        g = int(truth[x, 0] < 0)
        s, m = prior.covariance_GRR[g], prior.mean_GR[g]
        gain = s @ phi[x].T @ torch.linalg.inv(phi[x] @ s @ phi[x].T + 0.01 * torch.eye(2))
        assert torch.allclose(means[x], m + gain @ (y[x] - phi[x] @ m), atol=1e-3)
    both = mixture_means(prior, gram, pull, truth, torch.full((3,), 0.1), 2)
    assert torch.allclose(both, means, atol=1e-3)  # the other Gaussian is out of the question


def test_densities_are_those_of_the_mixture():
    prior, codes = planted(), torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    wrong = torch.tensor([0.1, 0.2, 0.3])
    expected = torch.stack(
        [
            prior.weight_G[g].log()
            + torch.distributions.MultivariateNormal(
                prior.mean_GR[g], prior.covariance_GRR[g] + torch.diag(wrong)
            ).log_prob(codes)
            for g in range(2)
        ],
        1,
    )
    shift = prior.evidence(codes, wrong) - expected  # constants are left out
    assert torch.allclose(shift, shift[:1, :1].expand_as(shift), atol=1e-3)


def test_a_planted_mixture_is_found_again():
    chance = torch.Generator().manual_seed(0)
    first, second = torch.tensor([0.0, 2.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 2.0, -1.0])
    wide = torch.tensor([1.0, 0.4, 0.2, 0.3])
    many = first + torch.randn(6000, 4, generator=chance) * wide
    few = second + torch.randn(2000, 4, generator=chance) * wide.flip(0)
    weight, mean, covariance = maximised(torch.cat([many, few]), 2, 1, chance)
    g = int(weight.argmax())
    assert abs(float(weight[g]) - 0.75) < 0.02
    assert torch.allclose(mean[g], first, atol=0.05) and torch.allclose(mean[1 - g], second, atol=0.08)
    assert torch.allclose(covariance[g].diagonal().sqrt(), wide, atol=0.05)


def test_a_mixture_keeps_what_it_was_given():
    mixture, prior = Mixture(MixtureSpec(gaussians=2, directions=4), 9), planted(4)
    mixture.learned(prior.weight_G, prior.mean_GR, prior.covariance_GRR)
    assert torch.allclose(mixture.covariance_GRR, prior.covariance_GRR, atol=1e-5)
    with pytest.raises(ValueError, match="directions"):
        MixtureSpec(directions=2)


def test_directions_are_orthonormal_and_begin_with_the_constants():
    phi = directions(mixed_model(), 19)
    assert torch.allclose(phi.T @ phi, torch.eye(19), atol=1e-5)
    assert torch.allclose(phi[:, :3].view(64, 3, 3), torch.eye(3).expand(64, 3, 3) / 8, atol=1e-5)


def test_cells_put_back_are_the_image():
    model = mixed_model()
    assert model.mixture is not None
    cells = Cells.of(model, model.mixture)
    images = torch.rand(2, SIDE, SIDE, 3)
    assert torch.allclose(cells.paste(cells.cut(images), images.shape), images, atol=1e-5)
    first = drawn_cells(images, torch.tensor([[[0, 4]], [[8, 0]]]), 8)
    assert torch.equal(first[0].view(8, 8, 3), images[0, :8, 4:12]) and torch.equal(
        first[1].view(8, 8, 3), images[1, 8:16, :8]
    )


def test_scattered_pixels_are_filled_better_and_holes_as_before():
    gain = []
    for truth in striped(faces(6, 9)):
        known = scattered(0.6)
        mixed, plain = fill(mixed_model(), truth, known), fill(face_model(), truth, known)
        assert torch.equal(mixed[known], truth[known])
        gain.append(psnr(mixed, truth) - psnr(plain, truth))
    assert sum(gain) / len(gain) > 1
    hole = torch.ones(SIDE, SIDE, dtype=torch.bool)
    hole[8:24, 8:24] = False
    assert psnr(fill(mixed_model(), truth, hole), fill(face_model(), truth, hole)) > 30


FINISHER = EncoderSpec(inputs=16, channels=12, width=16, depth=1, relative=True)


def finishing_model() -> Model:
    """With a finisher that adds nothing yet."""
    torch.manual_seed(0)
    model = Model(dataclasses.replace(mixed_model().spec, finisher=FINISHER))
    model.load_state_dict(mixed_model().state_dict(), strict=False)
    return model.eval()


def seen_of(truth: Tensor, known: Tensor) -> View:
    return view(WholeImage.of(whole_of(mixed_model())), truth[None], known[None])


def test_a_finisher_that_learned_nothing_adds_nothing():
    truth, known = striped(faces(1, 9))[0], scattered(0.6)
    model = finishing_model()
    assert psnr(fill(model, truth, known), fill(mixed_model(), truth, known)) > 45  # but for steps of the continuation


def test_a_finisher_learns_what_the_mixture_misses():
    model, images = finishing_model(), striped(faces(60, 3))
    assert model.finisher is not None
    observe, chance = observer(model, "finisher_observer"), torch.Generator().manual_seed(0)
    pairs = lambda step: observe(images[torch.randint(60, (8,), generator=chance)], chance)  # noqa: E731
    seen, truth = pairs(0)
    assert seen.shape == (8, 16, 16, 16) and truth.shape == (8, 12, 16, 16)
    asked = truth.isfinite()
    assert bool(asked.any()) and not bool(asked.all())
    training = NetTraining(model.finisher, 150, replay=6)
    for _ in training.run(pairs):
        pass
    training.finish()
    model.eval().requires_grad_(False)
    gain = []
    for truth in striped(faces(6, 9)):
        known = scattered(0.7)
        ours, mixture = fill(model, truth, known), fill(mixed_model(), truth, known)
        assert torch.equal(ours[known], truth[known])
        gain.append(psnr(ours, truth) - psnr(mixture, truth))
    assert sum(gain) / len(gain) > 0.3 and min(gain) > -0.1


def test_a_finisher_has_no_say_where_no_cell_was_asked():
    model, truth = finishing_model(), striped(faces(1, 9))[0]
    assert model.finisher is not None and model.finisher.head.bias is not None
    with torch.no_grad():
        model.finisher.head.bias += 1  # adds 1 everywhere
    known = scattered(0.5)
    known[8:24, 8:24] = False  # a hole: cells within it see nothing
    seen = seen_of(truth, known)
    assert model.mixture is not None
    first, share = Cells.of(model, model.mixture).answer(seen, seen.carried_BHWC)
    first, answer = met(model, seen, first), between(model, seen, seen.carried_BHWC)
    assert torch.allclose(answer - first, share * ~known[None, ..., None], atol=1e-5)
    assert float(share[0, 14:18, 14:18].max()) == 0 and float(share[0, 0].min()) == 1


def test_a_finisher_needs_a_mixture_and_photos():
    level = mixed_model().spec.levels[0]
    with pytest.raises(ValueError, match="there is none"):
        ModelSpec(levels=(level,), finisher=FINISHER)
    slices = Model(ModelSpec(kind="ct", levels=(LevelSpec(pixels=8),)))
    with pytest.raises(UsageError, match="leave `finisher` out"):
        observer(slices, "finisher_observer")


def test_outside_the_frame_scattered_pixels_are_filled_as_without_the_class():
    truth = striped(faces(1, 9))[0]
    wide = torch.cat([truth.flip(1), truth, truth.flip(1)], 1)  # the class has a say in the middle third
    known = torch.rand(SIDE, 3 * SIDE, generator=torch.Generator().manual_seed(0)) >= 0.6
    frame = Frame(1.5 * SIDE, SIDE / 2, SIDE / 2, 0.0)
    answer = fill(mixed_model(), wide, known, frame)
    plain = fill(mixed_model(), wide, known, frame, trusted=False)
    outside = torch.ones(3 * SIDE, dtype=torch.bool)
    outside[SIDE - 4 : 2 * SIDE + 4] = False
    assert psnr(answer[:, outside], wide[:, outside]) > psnr(plain[:, outside], wide[:, outside]) - 0.3


def test_how_well_the_class_fits_does_not_depend_on_how_much_is_seen():
    for truth in faces(4, 77):
        fits = [judge(face_model(), truth, scattered(s), Frame.middle(SIDE, SIDE)).misfit for s in (0.0, 0.3, 0.6)]
        assert max(fits) < 1.35 * min(fits)


def test_a_mixture_needs_cells_that_can_hold_it():
    level = face_model().spec.levels[0]
    with pytest.raises(ValueError, match="whole image"):
        ModelSpec(levels=(level,), mixture=MixtureSpec())
    model = Model(ModelSpec(levels=(level,), whole=face_model().spec.whole, mixture=MixtureSpec(directions=50)))
    assert model.mixture is not None and model.mixture.directions == 3 + level.orthonormal
    assert SAMPLES * 2 == SIDE
