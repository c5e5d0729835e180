"""Rays: conventions, closed forms, and scikit-image's own radon."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.transform import radon
from torch import Tensor

from nidcli.ct.geometry import JOSEPH, Geometry, padded, unpadded
from nidcli.ct.scanner import Scanner
from nidcli.grid import image_coords
from nidcli.operators import PixelRadon, Radon

ANGLES = (0.0, 30.0, 45.0, 90.0, 117.0, 200.0)


def gaussian(x: Tensor, y: Tensor, n: int, at: tuple[float, float], width: float) -> Tensor:
    """In pixels, x right and y up from the middle of the slice."""
    return torch.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * width**2))


def picture(n: int, at: tuple[float, float], width: float) -> Tensor:
    place = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    return gaussian(place[None], -place[:, None], n, at, width)


def projected(s: Tensor, theta: float, at: tuple[float, float], width: float) -> Tensor:
    """The Radon transform of a Gaussian is a Gaussian."""
    centre = at[0] * math.cos(theta) + at[1] * math.sin(theta)
    return width * math.sqrt(2 * math.pi) * torch.exp(-((s - centre) ** 2) / (2 * width**2))


@pytest.mark.parametrize("n", [64, 65, JOSEPH + 2])
def test_a_gaussian_off_the_centre_is_projected_as_its_closed_form(n: int):
    at, width = (n / 8, n / 11), n / 12
    scan = PixelRadon.of(Geometry(size=n, angles_V=ANGLES, bins=n), image_coords(n, n))
    found = scan.forward(picture(n, at, width).flatten()).view(len(ANGLES), n)
    s = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    truth = torch.stack([projected(s, math.radians(angle), at, width) for angle in ANGLES])
    assert (found - truth).abs().max() < 0.012 * truth.max()


@pytest.mark.parametrize("angle", [30.0, 45.0, 60.0, 135.0])
def test_rays_far_from_the_axis_are_as_long_as_the_disc_is(angle: float):
    n, radius = JOSEPH + 2, JOSEPH / 2 - 8
    place = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    disc = (radius + 0.5 - torch.hypot(place[None], place[:, None])).clamp(0, 1).flatten()
    scan = PixelRadon.of(Geometry(size=n, angles_V=(angle,), bins=n), image_coords(n, n))
    truth = 2 * (radius**2 - place**2).clamp_min(0).sqrt()
    assert (scan.forward(disc) - truth)[place.abs() < radius - 2].abs().max() < 1


def test_rays_of_a_continuous_field_know_of_no_pixels():
    n, at, width = 32, (5.0, 3.0), 3.0
    geometry = Geometry(size=n, angles_V=ANGLES, bins=48, wide=2)
    rays = Radon.of(geometry, torch.float64)
    x, y = rays.coords_ND[:, 0] * n / 2, -rays.coords_ND[:, 1] * n / 2
    found = rays.forward(gaussian(x, y, n, at, width)).view(len(ANGLES), 48)
    s = (torch.arange(48, dtype=torch.float64) - 23.5) * n / 48
    fine = [(s + offset * n / 48) for offset in (-0.25, 0.25)]
    truth = torch.stack(
        [sum(projected(part, math.radians(angle), at, width) for part in fine) / 2 for angle in ANGLES]  # type: ignore[misc]
    )
    assert (found - truth).abs().max() < 1e-3 * truth.max()


def test_a_fan_beam_measures_chords_of_a_disc():
    n, radius, source = 128, 40.0, 300.0
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    disc = torch.from_numpy(np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)).flatten()
    scan = PixelRadon.of(Geometry(size=n, angles_V=(0.0, 77.0), bins=n, fan=source), image_coords(n, n))
    s = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    distance = s.abs() / (1 + (s / source) ** 2).sqrt()  # of the ray from the middle
    truth = 2 * (radius**2 - distance**2).clamp_min(0).sqrt()
    for row in scan.forward(disc).view(2, n):
        assert (row - truth)[distance < radius - 2].abs().max() < 0.8
        assert row[distance > radius + 2].abs().max() == 0


def test_a_distant_fan_is_parallel():
    coords = image_coords(33, 33)
    near = PixelRadon.of(Geometry(size=33, angles_V=ANGLES, bins=33), coords)
    far = PixelRadon.of(Geometry(size=33, angles_V=ANGLES, bins=33, fan=1e7), coords)
    smooth = picture(33, (3, 2), 5).flatten()
    assert torch.allclose(near.forward(smooth), far.forward(smooth), atol=1e-4)


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("circle", [True, False])
def test_the_convention_skimage_is_what_its_radon_returns(n: int, circle: bool):
    image = np.random.default_rng(0).random((n, n))
    if circle:
        y, x = np.mgrid[:n, :n] - n // 2
        image *= x**2 + y**2 <= (n // 2) ** 2
    truth = radon(image, ANGLES, circle=circle)
    geometry = Geometry(size=n, angles_V=ANGLES, bins=len(truth), convention="skimage", circle=circle)
    found = PixelRadon.of(geometry, image_coords(n, n)).forward(torch.from_numpy(image).flatten())
    assert np.abs(found.view(len(ANGLES), -1).numpy().T - truth).max() < 1e-5 * truth.max()
    assert circle or (padded(n), unpadded(len(truth))) == (len(truth), n)


def test_angle_zero_looks_up_and_angles_count_counter_clockwise():
    spot = torch.zeros(9, 9, dtype=torch.float64)
    spot[4, 7] = 1  # to the right of the middle
    scan = PixelRadon.of(Geometry(size=9, angles_V=(0.0, 90.0, 180.0), bins=9), image_coords(9, 9))
    assert scan.forward(spot.flatten()).view(3, 9).argmax(1).tolist() == [7, 4, 1]
    spot = spot.T.flip(0)  # above the middle
    assert scan.forward(spot.flatten().contiguous()).view(3, 9).argmax(1).tolist() == [4, 7, 4]


def test_the_axis_falls_on_the_bin_that_is_said():
    spot = torch.zeros(9, 9, dtype=torch.float64)
    spot[4, 4] = 1
    scan = PixelRadon.of(Geometry(size=9, angles_V=(0.0, 60.0), bins=15, cor=4.0, pitch=1.0), image_coords(9, 9))
    assert scan.forward(spot.flatten()).view(2, 15).argmax(1).tolist() == [4, 4]


def test_filtered_back_projection_of_many_views_is_the_slice():
    n = 48
    scanner = Scanner.of(Geometry(size=n, angles_V=tuple(range(0, 180, 2)), bins=n))
    truth = picture(n, (6, 4), 5).float().flatten()[:, None]
    place = torch.arange(n) - (n - 1) / 2
    inside = (place[:, None].square() + place.square()).sqrt().flatten() < 0.4 * n
    assert (scanner.back_projected(scanner.forward(truth)) - truth)[inside].abs().max() < 0.03


def test_the_metric_filter_leaves_eigenvalues_below_one():
    scanner = Scanner.of(Geometry(size=32, angles_V=ANGLES, bins=32))
    chance = torch.randn(32 * 32, 4, generator=torch.Generator().manual_seed(0))
    grown = scanner.adjoint(scanner.filtered(scanner.forward(chance), scanner.metric_F))
    assert 0.3 < scanner.norm < 1.6
    assert (grown.norm(dim=0) <= scanner.norm * chance.norm(dim=0)).all()


def test_a_source_inside_the_slice_is_refused():
    with pytest.raises(ValueError, match="inside the slice"):
        Geometry(size=64, angles_V=(0.0,), bins=64, fan=30)


def test_the_field_of_view_is_where_every_view_looks():
    angles_V = tuple(10.0 * v for v in range(18))
    flat = Geometry(size=40, angles_V=angles_V, bins=40)
    fan = replace(flat, fan=80.0)
    for geometry in (flat, replace(flat, cor=16.0), fan):
        seen = geometry.covered().flatten()
        views = torch.eye(18).repeat_interleave(40, 0)  # (M, V): each view by itself
        looks_NV = PixelRadon.of(geometry, image_coords(40, 40)).adjoint(views) > 0.3
        assert looks_NV[seen].all()
        assert 0.2 < float(seen.double().mean()) < 0.9
        rim = torch.nn.functional.max_pool2d(seen.view(1, 1, 40, 40).double(), 5, 1, 2).flatten() > 0
        assert not looks_NV[~rim].all(1).any()  # two pixels further out some view sees nothing
    assert int(fan.covered().sum()) < int(flat.covered().sum())
    circle = replace(flat, convention="skimage").covered()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-image warns of pictures that reach beyond its circle
        radon(circle.double().numpy(), angles_V)
    with pytest.warns(UserWarning, match="circle"):
        radon((circle | circle.roll(1, 0)).double().numpy(), angles_V)
