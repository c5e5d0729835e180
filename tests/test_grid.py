"""Where pixels lie: the conventions that everything else is built on."""

from __future__ import annotations

import pytest
import torch

from nidcli.grid import grid_coords, image_coords, pixel_centres


def test_pixel_centres_of_four_are_odd_quarters():
    assert pixel_centres(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_the_only_pixel_lies_in_the_middle():
    assert pixel_centres(1).tolist() == [0.0]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000])
def test_half_a_pixel_is_left_at_both_ends(n):
    centres = pixel_centres(n, torch.float64)
    assert centres[0].item() == pytest.approx(-1 + 1 / n, abs=1e-15)
    assert centres[-1].item() == pytest.approx(1 - 1 / n, abs=1e-15)
    assert torch.allclose(centres.diff(), torch.full((n - 1,), 2 / n, dtype=torch.float64))


def test_float32_centres_are_rounded_once():
    assert torch.equal(pixel_centres(1000), pixel_centres(1000, torch.float64).float())


def test_twice_the_pixels_surround_each_pixel():
    assert torch.allclose(pixel_centres(10, torch.float64).view(5, 2).mean(1), pixel_centres(5, torch.float64))


def test_points_are_listed_in_reading_order_x_first():
    points = grid_coords(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 20.0]))
    assert points.tolist() == [[1, 10], [2, 10], [3, 10], [1, 20], [2, 20], [3, 20]]


def test_x_runs_right_and_y_down():
    points_HWD = image_coords(5, 3, torch.float64).view(3, 5, 2)
    assert (points_HWD[:, 1:, 0] > points_HWD[:, :-1, 0]).all()
    assert (points_HWD[1:, :, 1] > points_HWD[:-1, :, 1]).all()
    assert points_HWD[0, 0].tolist() == pytest.approx([-0.8, -2 / 3])
