"""The parts of a reconstruction, each against a truth of its own: prior, uncertainty, axis, noise, learning."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ct_cases import SIDE, phantom, scan_of, tiny_model, tiny_spec

from nidcli.artifacts import load_model
from nidcli.ct.baselines import classical
from nidcli.ct.centre import axis_of
from nidcli.ct.geometry import Geometry
from nidcli.ct.noise import noise_of, proven
from nidcli.ct.observer import moved
from nidcli.ct.prior import UNSEEN, Expectation
from nidcli.ct.reconstruct import Reconstructor, Settings
from nidcli.ct.scanner import Scanner
from nidcli.ct.teaching import Preset, adjusted, learner, open_data, save
from nidcli.ct.uncertainty import coarse_variance
from nidcli.ct.views import Viewer
from nidcli.errors import UsageError
from nidcli.grid import image_coords
from nidcli.model import Model
from nidcli.observers import observer
from nidcli.structure import from_plain
from nidcli.training import Changes

ANGLES = tuple(22.5 * k for k in range(8))


def scanner(bins: int = SIDE, **more: float) -> Scanner:
    return Scanner.of(Geometry(size=SIDE, angles_V=ANGLES, bins=bins, **more))  # type: ignore[arg-type]


def test_the_posterior_of_the_coarsest_code_is_that_of_dense_algebra():
    expectation = Expectation(tiny_model(), scanner())
    bank, prior = expectation.model.level(0).bank(), expectation.model.level(0).prior()
    sinogram = torch.from_numpy(scan_of(phantom(), 8)).reshape(-1, 1)
    atoms = bank.atoms(image_coords(SIDE, SIDE))[:, 0].double()
    one = torch.ones(SIDE * SIDE, 1, dtype=torch.float64)
    measured = expectation.scanner.forward(torch.cat([atoms, one], 1))
    noise = math.hypot(0.2, UNSEEN * float(sinogram.square().mean().sqrt()))
    wide = torch.diag(torch.cat([prior.variance_K.double(), torch.tensor([1e5])]))  # the constant has no prior
    gain = wide @ measured.T @ torch.linalg.inv(measured @ wide @ measured.T + noise**2 * torch.eye(len(measured)))
    mean = torch.cat([atoms, one], 1) @ (gain @ sinogram.double())
    assert torch.allclose(expectation.picture(sinogram, 0.2).double(), mean, atol=2e-3)
    without = (
        measured[:, :-1] - measured[:, -1:] @ (measured[:, -1:].T @ measured[:, :-1]) / measured[:, -1].square().sum()
    )
    inside = torch.linalg.inv(torch.diag(1 / prior.variance_K.double()) + without.T @ without / noise**2)
    variance = torch.einsum("nk,kj,nj->n", atoms, inside, atoms)
    assert torch.allclose(coarse_variance(expectation, sinogram, 0.2).double(), variance, rtol=1e-3, atol=1e-8)


def test_uncertainty_falls_with_views_and_rises_with_noise():
    means = []
    for views, noise in ((4, 0.01), (16, 0.01), (4, 3.0)):
        rays = torch.from_numpy(scan_of(phantom(), views))
        found = Reconstructor(tiny_model(), Settings(uncertainty=True, noise=noise))
        angles = tuple(180 * k / views for k in range(views))
        deviation = found.slice(rays, found.geometry(rays, angles)).deviation_YX
        assert deviation is not None
        means.append(float(deviation.mean()))
    assert means[1] < means[0] < means[2]


@pytest.mark.parametrize("axis", [13.0, 16.3, 18.75])
@pytest.mark.parametrize("turn", [180, 360])
def test_the_axis_is_found_from_the_sinogram_alone(axis: float, turn: int):
    angles = tuple(turn * k / 24 for k in range(24))
    geometry = Geometry(size=SIDE, angles_V=angles, bins=SIDE, cor=axis, pitch=1.0)
    picture = torch.from_numpy(phantom(0)) * 1.0
    picture[:4], picture[-4:], picture[:, :4], picture[:, -4:] = 0, 0, 0, 0
    place = torch.arange(SIDE) - 15.5
    picture *= (place[:, None].square() + place.square()) < 11**2  # nothing leaves the detector
    rays = Scanner.of(geometry).forward(picture.reshape(-1, 1)).view(24, SIDE)
    found, how = axis_of(rays, angles)
    assert found == pytest.approx(axis, abs=0.06)
    assert how == ("centre of mass" if turn == 180 else "opposite views")


def test_two_views_or_no_mass_tell_no_axis():
    with pytest.raises(UsageError, match="three views"):
        axis_of(torch.ones(2, 9), (0.0, 90.0))
    with pytest.raises(UsageError, match="without mass"):
        axis_of(torch.eye(4, 9) * torch.tensor([1.0, 1, 1, 0])[:, None], (0.0, 45.0, 90.0, 135.0))


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_noise_is_found_to_a_fifth(noise: float):
    smooth = 5 * torch.exp(-torch.linspace(-3, 3, 128).square()).expand(16, 128)
    drawn = torch.randn(16, 128, generator=torch.Generator().manual_seed(0))
    assert noise_of(smooth + noise * drawn) == pytest.approx(noise, rel=0.2)
    assert noise_of(smooth) == 0


def test_rays_that_pixels_cannot_hold_count_as_noise_and_those_that_they_hold_do_not():
    views, angles = 32, tuple(180 * view / 32 for view in range(32))
    fine, coarse = (Scanner.of(Geometry(size=size, angles_V=angles, bins=size)) for size in (256, 64))
    picture = phantom(0, 256)
    rays = fine.forward(torch.from_numpy(picture).reshape(-1, 1)).view(views, 64, 4).mean(2).reshape(-1, 1) / 4
    held = coarse.forward(torch.from_numpy(phantom(0, 64)).reshape(-1, 1))
    none = torch.zeros(1)
    assert proven(Viewer(tiny_model(), coarse, rays, none), 0.0) > 0
    assert proven(Viewer(tiny_model(), coarse, held, none), 0.0) == 0


def test_small_noise_must_foretell_held_out_views_and_curvature_does_not():
    picture = phantom(3, 64) + 0.1  # in a bath: no ray goes beside it
    rays = torch.from_numpy(scan_of(picture, 16))
    found = Reconstructor(tiny_model(), Settings())
    geometry = found.geometry(rays, tuple(11.25 * k for k in range(16)))
    assert noise_of(rays) > 0  # the curvature of projections looks like it
    assert found.slice(rays, geometry).noise == 0


def test_exact_zeros_beside_the_object_say_that_there_is_no_noise_and_padding_says_nothing():
    rays = torch.from_numpy(scan_of(phantom(3, 64), 16))
    drawn = 0.2 * torch.randn(rays.shape, generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(rays + drawn, (20, 20))
    assert noise_of(rays) == 0
    assert noise_of(padded) > 0.1 and noise_of((rays + drawn).clamp_min(0)) > 0.1


@pytest.mark.parametrize("kind", ["fbp", "sart", "tv"])
def test_classical_results_lie_where_ours_do(kind: str):
    scan = Scanner.of(Geometry(size=SIDE, angles_V=tuple(float(k) for k in range(0, 180, 3)), bins=SIDE))
    picture = torch.from_numpy(phantom(4))  # a head that lies in the circle
    rays = scan.forward(picture.reshape(-1, 1)).view(60, SIDE)
    found = classical(kind, scan, rays, 0.02, False)  # type: ignore[arg-type]
    aligned = float((found - picture).square().mean())
    for shift in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        assert aligned < float((found - picture.roll(shift, (0, 1))).square().mean()) / 1.5


def test_a_fan_beam_comes_back():
    picture = torch.from_numpy(phantom(1))
    geometry = Geometry(size=SIDE, angles_V=tuple(12.0 * k for k in range(30)), bins=SIDE, fan=80.0)
    rays = Scanner.of(geometry).forward(picture.reshape(-1, 1)).view(30, SIDE)
    found = Reconstructor(tiny_model(), Settings(fan=80.0, noise=0.0))
    answer = found.slice(rays, found.geometry(rays, geometry.angles_V)).picture_YX
    assert float((answer - picture).square().mean().sqrt()) < 0.03
    with pytest.raises(UsageError, match="parallel beams only"):
        classical("fbp", Scanner.of(geometry), rays, 0.1, False)


def test_a_slice_may_have_other_pixels_than_the_detector_has_bins():
    y, x = torch.meshgrid(*[torch.arange(64) - 31.5] * 2, indexing="ij")
    blob = 0.4 * torch.exp(-((x - 8) ** 2 + (y + 5) ** 2) / (2 * 7.0**2))
    rays = torch.from_numpy(scan_of(blob.numpy(), 24))
    found = Reconstructor(tiny_model(), Settings(size=32, noise=0.0))
    answer = found.slice(rays, found.geometry(rays, tuple(7.5 * k for k in range(24)))).picture_YX
    half = blob.view(32, 2, 32, 2).mean((1, 3)) * 2  # a pixel is twice as wide
    assert float((answer - half).square().mean().sqrt()) < 0.02


def test_the_encoder_sees_five_channels_and_never_the_truth():
    observe = observer(tiny_model())
    images = torch.stack([torch.from_numpy(phantom(k))[..., None] for k in range(3)])
    seen, truth = observe(images, torch.Generator().manual_seed(0))
    assert seen.shape == (3, 5, SIDE, SIDE) and torch.equal(truth[:, 0], images[..., 0])
    assert all(not torch.equal(channel, truth[:, 0]) for channel in seen.unbind(1))
    again, _ = observe(images, torch.Generator().manual_seed(0))
    assert torch.equal(seen, again)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_preset_says_how_many_batches_are_noisy(share: float):
    spec = tiny_spec()
    assert spec.encoder is not None
    model = Model(replace(spec, encoder=replace(spec.encoder, noisy=share)))
    images = torch.from_numpy(phantom())[None, :, :, None]
    for seed in range(4):
        seen, _ = observer(model)(images, torch.Generator().manual_seed(seed))
        assert bool((seen[:, 4] > 0).all()) == bool(share)


def test_pictures_are_moved_a_little_each_in_its_own_way():
    pictures = torch.from_numpy(phantom(0, 64)).expand(4, 64, 64).contiguous()
    changed = moved(pictures, torch.Generator().manual_seed(0))
    assert not torch.allclose(changed[0], changed[1], atol=0.1)
    assert changed.min() >= 0 and changed.max() <= 1
    assert 0.6 < float(changed.mean() / pictures.mean()) < 1.5


def plain() -> dict:
    bank = {"channels": 1, "experts": 16, "hidden": 24, "frequencies": 40}
    levels = [
        {"cells": 1, "pixels": 16, "overlap": 0, "top_k": 4, "basis": 16, "dictionary": bank},
        {"cells": 4, "pixels": 8, "overlap": 0.125, "top_k": 4, "basis": 16, "dictionary": bank},
    ]
    encoder = {"inputs": 5, "channels": 1, "width": 8, "depth": 1, "fold": 2}
    model = {"kind": "ct", "levels": levels, "encoder": encoder}
    return {"size": 32, "fine_pixels": 0, "steps": 2, "batch": 64, "holdout": 2, "encoder_steps": 3, "model": model}


def test_a_dictionary_is_learned_from_phantoms(tmp_path: Path):
    spec = adjusted(from_plain(Preset, {**plain(), "encoder_batch": 2}, "tiny", UsageError), Changes(seed=4))
    slices = open_data(["phantoms:12"], spec, recursive=False, files_from=None, warn=print)
    run = learner(spec, slices, "cpu", None)
    assert [progress.stage for progress in run.run()].count("encoder") == 3
    learned = save(tmp_path / "tiny.nid", run, spec, "nid learn-dict", slices.digest)
    loaded = load_model(tmp_path / "tiny.nid")
    assert loaded.meta.units.startswith("attenuation") and loaded.model.encoder is not None
    assert learned.psnr > 10
    rays = torch.from_numpy(scan_of(phantom(), 8))
    found = Reconstructor(loaded.model, Settings())
    assert found.slice(rays, found.geometry(rays, ANGLES)).residual < 0.05


@pytest.mark.parametrize("changes", [Changes(size=48), Changes(cells=0)])
def test_cells_that_do_not_cover_a_slice_are_refused(changes: Changes):
    with pytest.raises(UsageError, match="need a first level of one cell"):
        adjusted(from_plain(Preset, plain(), "tiny", UsageError), changes)


def test_a_dictionary_of_photos_is_refused():
    with pytest.raises(UsageError, match="not one of slices"):
        Reconstructor(Model(replace(tiny_spec(), kind="image")), Settings())
    with pytest.raises(UsageError, match="no encoder of sinograms"):
        Reconstructor(Model(replace(tiny_spec(), encoder=None)), Settings())
