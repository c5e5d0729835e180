"""Masks: noise stays out, objects stay whole, shadows are told from them; parts, boxes and events."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from video_cases import H, W, f_measure, room

from nidcli.video.components import Box, boxes, without_holes, without_specks
from nidcli.video.events import EventLog
from nidcli.video.masks import Detector, blur, distance2, vote
from nidcli.video.shadows import box, shadows

SIGMA = 4 / 255


def scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A frame of noise on the background, and the background, (1, H, W, 3)."""
    torch.manual_seed(seed)
    background = torch.from_numpy(room())[None]
    return background + SIGMA * torch.randn_like(background), background


def detector(threshold: float = 4.0, min_area: int = 20, roi: torch.Tensor | None = None) -> Detector:
    return Detector(torch.full((H, W, 3), 1 / SIGMA**2), threshold, min_area, roi)


def test_noise_alone_sets_no_mask():
    frame, background = scene()
    assert not detector().masks(frame, background).any()


def test_the_distance_of_noise_is_chi_squared():
    frame, background = scene()
    far = distance2(frame, background, torch.full((H, W, 3), 1 / SIGMA**2))
    assert abs(float(far.mean()) - 3) < 0.15


def test_a_vote_drops_single_pixels_and_keeps_a_block():
    far = torch.zeros(1, 20, 20)
    far[0, 3, 3] = 1e4
    far[0, 8:16, 8:16] = 1e4
    found = vote(far, 4.0)[0]
    assert not bool(found[3, 3]) and bool(found[9:15, 9:15].all())


def test_a_blur_keeps_constants_and_sums():
    assert torch.allclose(blur(torch.full((2, 9, 11), 0.3)), torch.tensor(0.3))
    spike = torch.zeros(1, 11, 11)
    spike[0, 5, 5] = 1
    assert torch.allclose(blur(spike).sum(), torch.tensor(1.0))
    assert torch.allclose(box(spike).sum(), torch.tensor(1.0))


def test_an_object_with_a_camouflaged_middle_is_whole():
    frame, background = scene()
    truth = np.zeros((H, W), bool)
    truth[15:40, 20:45] = True
    frame[0, 15:40, 20:45] = torch.tensor([0.95, 0.1, 0.1])
    frame[0, 26:30, 30:35] = background[0, 26:30, 30:35]
    assert f_measure(detector().masks(frame, background)[0], truth) > 0.95


def test_a_shadow_is_background_and_a_dark_object_of_other_colour_is_not():
    frame, background = scene()
    frame[0, 10:30, 10:30] *= 0.6
    frame[0, 10:30, 45:65] = torch.tensor([0.1, 0.25, 0.45])
    found = detector().masks(frame, background)[0]
    assert found[12:28, 12:28].mean() < 0.05 and found[12:28, 47:63].mean() > 0.95
    alike = shadows(frame, background, torch.ones(1, H, W, dtype=torch.bool))[0].numpy()
    assert alike[12:28, 12:28].mean() > 0.95 and alike[12:28, 47:63].mean() < 0.05


def test_outside_the_region_nothing_is_set():
    frame, background = scene()
    frame[0, 10:40, 10:60] = 0.98
    roi = torch.zeros(H, W, dtype=torch.bool)
    roi[:, :30] = True
    found = detector(roi=roi).masks(frame, background)[0]
    assert found[15:35, 15:28].all() and not found[:, 30:].any()


def test_parts_below_the_least_area_go():
    mask = np.zeros((20, 20), bool)
    mask[1:3, 1:3] = mask[10:15, 10:15] = True
    assert without_specks(mask, 5).sum() == 25
    assert without_specks(mask, 4).sum() == 29
    assert not without_specks(np.zeros((4, 4), bool), 1).any()


def test_holes_are_filled_up_to_a_size_and_bays_are_not():
    mask = np.zeros((20, 20), bool)
    mask[2:12, 2:12] = True
    mask[5:7, 5:7] = False
    mask[2:4, 9:11] = False  # open to the outside
    filled = without_holes(mask, 4)
    assert filled[5:7, 5:7].all() and not filled[2:4, 9:11].any()
    assert (without_holes(mask, 3) == mask).all()


def test_boxes_are_left_top_width_height():
    mask = np.zeros((20, 30), bool)
    mask[3:7, 10:22] = True
    assert boxes(mask) == [Box(10, 3, 12, 4)]


def test_an_event_lasts_while_something_moves_and_short_gaps_do_not_end_it():
    log, empty = EventLog(), np.zeros((10, 10), bool)
    small, large = empty.copy(), empty.copy()
    small[1:3, 1:3] = large[2:8, 3:9] = True
    for number, mask in enumerate([empty, small, empty, large, *[empty] * 20, small], 1):
        log.add(number, number / 10, mask)
    first, second = log.events
    assert (first.first_frame, first.last_frame, first.largest_frame) == (2, 4, 4)
    assert (first.start, first.end, first.largest_box) == (0.2, 0.4, Box(3, 2, 6, 6))
    assert (second.first_frame, second.last_frame) == (25, 25)
    assert EventLog().events == ()


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_those_of_the_whole_frame_wherever_they_lie(seed: int):
    rng = np.random.default_rng(seed)
    mask_HW = ndimage.uniform_filter(rng.random(rng.integers(2, 40, 2)), 3) > rng.uniform(0.35, 0.65)
    eight = np.ones((3, 3), int)
    label_HW, _ = ndimage.label(mask_HW, eight)
    sizes = np.bincount(label_HW.ravel())
    assert (without_specks(mask_HW, 9) == (mask_HW & (sizes[label_HW] >= 9))).all()
    hole_HW, _ = ndimage.label(~mask_HW)
    rim = np.unique(np.concatenate([hole_HW[0], hole_HW[-1], hole_HW[:, 0], hole_HW[:, -1]]))
    small_HW = ~np.isin(hole_HW, rim) & (np.bincount(hole_HW.ravel())[hole_HW] <= 5)
    assert (without_holes(mask_HW, 5) == (mask_HW | small_HW)).all()
    found = {(box.x, box.y, box.width, box.height) for box in boxes(mask_HW)}
    whole = ndimage.find_objects(label_HW)
    assert found == {(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in whole}
