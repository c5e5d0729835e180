"""Damage that nobody marks: grains by their loneliness, paint by its colour."""

from __future__ import annotations

import cv2
import pytest
import torch
from faces import SIDE, face_model, faces, psnr
from skimage.data import astronaut

from nidcli.artifacts import load_model
from nidcli.restore.damage import elsewhere, fringe, voted
from nidcli.restore.grains import WINDOWS, grains
from nidcli.restore.photo import restore


def strewn(photo: torch.Tensor, share: float, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    where = torch.rand(photo.shape[:2], generator=chance) < share
    salt = torch.rand(photo.shape[:2], generator=chance).round()[..., None]
    return torch.where(where[..., None], salt, photo), where


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.3, 0.4])
def test_grains_are_found_at_every_density(share):
    (photo,) = faces(1, 5, 96)
    noisy, where = strewn(photo, share)
    found = grains(noisy)
    assert (found & where).sum() > 0.95 * where.sum()
    assert (found & ~where).sum() < 0.02 * where.numel()


def test_grains_are_found_far_better_than_a_median_filter_removes_them():
    (photo,) = faces(1, 5)
    noisy, _ = strewn(photo, 0.4)
    around = (
        torch.nn.functional.pad(noisy.permute(2, 0, 1), (1, 1, 1, 1), mode="reflect").unfold(1, 3, 1).unfold(2, 3, 1)
    )
    median = around.flatten(3).median(3).values.permute(1, 2, 0)
    result = restore(face_model(), (255 * noisy).round().byte().numpy(), None)
    assert psnr(torch.from_numpy(result.pixels) / 255, photo) > psnr(median, photo) + 5


def test_clean_photos_lines_and_blocks_have_no_grains():
    (photo,) = faces(1, 5, 96)
    assert not grains(photo).any()
    lined = photo.clone()
    lined[::8, 10:80], lined[:, 40] = 1.0, 0.0
    lined[20:50, 20:50] = torch.tensor([0.0, 1.0, 0.0])
    assert not grains(lined).any()


def test_grains_do_not_depend_on_how_the_photo_is_cut_into_bands(monkeypatch):
    noisy, _ = strewn(faces(1, 5, 64)[0], 0.2)
    whole = grains(noisy)
    monkeypatch.setattr("nidcli.restore.grains.BAND", 64 * 5)
    assert torch.equal(grains(noisy), whole)
    assert max(WINDOWS) > 5


def test_a_colour_that_is_mostly_damage_is_damage_everywhere():
    photo = faces(1, 5)[0] * 0.5
    painted = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    painted[4:8] = True
    photo[painted] = torch.tensor([0.9, 0.8, 0.1])
    likely, everywhere = torch.where(painted, 0.9, 0.0), torch.ones_like(painted)
    likely[4:8, :8] = 0.1  # a part that was nearly missed
    told = voted(photo, likely, everywhere)
    assert float(told[painted].min()) > 0.6
    assert torch.equal(told[~painted], likely[~painted])
    assert torch.equal(voted(photo, likely * 0, everywhere), likely * 0)


@pytest.mark.parametrize("soft", [True, False])
def test_strokes_that_fade_are_damage_to_their_end_and_sharp_ones_no_further(soft):
    (clean,) = faces(1, 5)
    share = torch.zeros(SIDE, SIDE)
    share[6:26:5] = 1.0
    if soft:
        share[7:27:5] = 0.4
    photo = clean + share[..., None] * (torch.tensor([1.0, 0.9, 0.0]) - clean)
    told = fringe(photo, clean, share == 1)
    assert torch.equal(told, (share > 0) & (share < 1))


@pytest.mark.parametrize("every, told", [(3, True), (20, False)])
def test_single_pixels_of_a_rim_count_where_several_are_clear_mixtures(every: int, told: bool):
    clean, share = torch.full((40, 40, 3), 0.5), torch.zeros(40, 40)
    share[10:30, 20:24] = 1  # a bar with sharp edges, paint of which has run over some pixels of its rim
    share[11:30:every, 24] = 0.1
    photo = clean + share[..., None] * (torch.tensor([1.0, 0.9, 0.0]) - clean)
    found = fringe(photo, clean, share == 1)
    assert torch.equal(found, (share > 0) & (share < 1) & told)


@pytest.mark.parametrize(("many", "told"), [(40, True), (400, False)])
def test_paint_goes_on_beyond_the_frame_in_exactly_its_colour(many: int, told: bool):
    photo, likely = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(40, 60)
    judged = torch.zeros(40, 60, dtype=torch.bool)
    judged[:, :30] = True
    paint = torch.tensor([0.9, 0.2, 0.1])
    photo[4, :30], likely[4, :30] = paint, 0.9
    beyond = torch.zeros(40, 60, dtype=torch.bool)
    beyond[:, 30:] = (torch.arange(40 * 30) < many).view(40, 30)
    photo[beyond] = paint
    photo[beyond.flip(0) & ~beyond] = paint + 0.02  # alike is not the same
    assert torch.equal(elsewhere(photo, likely, judged), beyond & told)
    assert not elsewhere(photo, likely, torch.ones_like(judged)).any()


def test_text_that_runs_out_of_the_face_of_a_portrait_is_found():
    portrait = astronaut()
    cv2.putText(portrait, "PROOF 2026", (150, 150), cv2.FONT_HERSHEY_DUPLEX, 1.1, (30, 60, 220), 3, cv2.LINE_AA)
    painted = (portrait != astronaut()).any(2)
    found = restore(load_model("face").model, portrait, None, aligned=True).damaged_HW
    assert (found & painted).sum() > 0.9 * painted.sum()
    assert (found & ~painted).sum() < 0.1 * painted.sum()
