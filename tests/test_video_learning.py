"""The empty scene from frames with things in front of it, and the numbers that masks are made from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from video_cases import H, W, crossing, room

from nidcli.video.learning import learn, median, shorth
from nidcli.video.masks import FLOOR
from nidcli.video.scene import picture
from nidcli.video.threshold import LEAST, MOST, auto_threshold, scene_precision


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * (a - b).square().mean().log10())


def test_the_shortest_interval_has_the_mean_and_spread_of_a_gaussian():
    torch.manual_seed(0)
    centre, spread = shorth(3 + 0.5 * torch.randn(4000, 20))
    assert float((centre - 3).abs().max()) < 0.2 and float((spread - 0.5).abs().max()) < 0.1


def test_the_shortest_interval_ignores_a_majority_that_is_spread_out():
    torch.manual_seed(0)
    values = torch.cat([0.2 + 0.01 * torch.randn(45, 50), 0.4 + 0.6 * torch.rand(55, 50)])
    centre, spread = shorth(values)
    assert float((centre - 0.2).abs().max()) < 0.02
    assert float(median(values).mean()) > 0.35
    assert float(spread.max()) < 0.05


def test_one_frame_and_equal_frames_have_no_spread():
    for frames in (1, 2, 5):
        centre, spread = shorth(torch.full((frames, 3), 0.25))
        assert torch.equal(spread, torch.zeros(3)) and torch.allclose(centre, torch.tensor(0.25))


def test_the_median_is_that_of_numpy():
    for frames in (1, 4, 7):
        values = torch.rand(frames, 6, generator=torch.Generator().manual_seed(frames))
        assert np.allclose(median(values).numpy(), np.median(values.numpy(), 0))


def test_the_scene_is_found_behind_a_square_and_drifting_light():
    case = crossing()
    scene = learn(torch.from_numpy(case.frames))
    assert psnr(picture(scene.model, W, H), torch.from_numpy(room())) > 38
    assert float(scene.deviation_HWC.median()) == pytest.approx(4 / 255, rel=0.25)


def test_somebody_who_stands_for_two_fifths_of_the_time_leaves_no_ghost():
    case = crossing()
    frames = case.frames.copy()
    standing = frames[: 2 * len(frames) // 5, 40:55, 30:40]
    standing[:] = np.random.default_rng(0).normal((30, 50, 200), 4, standing.shape).round()
    found = picture(learn(torch.from_numpy(frames)).model, W, H)
    wrong = (found[40:55, 30:40] - torch.from_numpy(room())[40:55, 30:40]).abs().amax(-1)
    assert float(wrong.median()) < 0.02 and float((wrong > 0.1).float().mean()) < 0.03


def test_the_threshold_rises_with_noise_that_is_not_gaussian():
    case = crossing()
    scene = learn(torch.from_numpy(case.frames))
    precise = scene_precision(scene, W, H)
    calm = auto_threshold(scene, precise, torch.from_numpy(case.frames))
    spikes = case.frames.copy()
    spikes[np.random.default_rng(0).random(spikes.shape[:3]) < 0.02] += 30
    wild = auto_threshold(scene, precise, torch.from_numpy(spikes))
    assert LEAST <= calm < wild <= MOST


def test_every_pixel_is_granted_some_noise():
    case = crossing(sigma=0.0, drift=0.0)
    precise = scene_precision(learn(torch.from_numpy(case.frames)), W, H)
    assert float(precise.max()) <= 1 / FLOOR**2 + 1
