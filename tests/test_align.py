"""Where the face is: frames found in larger photos, and whether the dictionary fits at all."""

from __future__ import annotations

import pytest
import torch
from faces import SIDE, face_model, faces
from skimage.data import astronaut

from nidcli.artifacts import bundled, load_model
from nidcli.restore.align import align, even, sought
from nidcli.restore.detect import detected
from nidcli.restore.frame import Frame, back
from nidcli.restore.trust import judge
from nidcli.restore.whole import WholeImage, whole_of


def placed(width: int, height: int, frame: Frame) -> torch.Tensor:
    """A face on a wall with a gradient."""
    (face,) = faces(1, 9)
    x, y = torch.linspace(0, 1, width), torch.linspace(0, 1, height)
    wall = torch.stack([0.3 + 0.4 * x.expand(height, -1), 0.6 - 0.3 * y[:, None].expand(-1, width)] * 2, 2)[..., :3]
    pixels = torch.stack(torch.meshgrid(x * width, y * height, indexing="xy"), 2).view(-1, 2)
    inside = (frame.from_photo(pixels).abs().amax(1) < 1).view(height, width, 1)
    return torch.where(inside, back(frame, face[None], width, height)[0], wall)


def test_a_face_is_found_where_it_is():
    truth = Frame(52, 31, 20, 0.1)
    photo = placed(90, 64, truth)
    found = align(face_model(), photo, torch.ones(64, 90, dtype=torch.bool))
    assert abs(found.x - truth.x) < 3 and abs(found.y - truth.y) < 3
    assert abs(found.half / truth.half - 1) < 0.15
    assert abs(found.angle - truth.angle) < 0.12


def test_the_mean_face_is_sought_at_every_size():
    found = sought(WholeImage.of(whole_of(face_model())), placed(90, 64, Frame(52, 31, 20, 0.1)))
    sizes = [frame.half for _, frame in found]
    assert sizes[0] == 32 and sizes == sorted(sizes, reverse=True)
    assert all(-1 <= alike <= 1 + 1e-5 for alike, _ in found)


def test_the_dictionary_fits_its_own_faces_and_nothing_else():
    known, middle = torch.ones(SIDE, SIDE, dtype=torch.bool), Frame.middle(SIDE, SIDE)
    fits = [judge(face_model(), face, known, middle) for face in faces(8, 77)]
    assert sum(fit.fits for fit in fits) >= 7
    chance = torch.Generator().manual_seed(0)
    blobs = torch.rand(1, 3, 8, 8, generator=chance)
    other = torch.nn.functional.interpolate(blobs, (SIDE, SIDE), mode="nearest")[0].permute(1, 2, 0)
    fit = judge(face_model(), other, known, middle)
    assert not fit.fits
    assert fit.misfit > 2 * max(fit.misfit for fit in fits)


def test_the_face_of_a_whole_portrait_is_where_to_begin():
    portrait = torch.from_numpy(astronaut()).float() / 255
    for photo, times in ((portrait, 1), (portrait[::2, ::2], 2)):
        frame = detected(photo)[0]
        assert abs(frame.x * times - 224) < 14 and abs(frame.y * times - 124) < 22
        assert 40 < frame.half * times < 64
    assert detected(torch.rand(40, 60, 3)) == [] and detected(torch.zeros(16, 16, 3)) == []


@pytest.mark.parametrize(
    ("rows", "columns", "colour"),
    [
        (slice(90, 130), slice(230, 270), (0.0, 1.0, 0.0)),
        (slice(100, 124), slice(205, 235), (0.8, 0.1, 0.1)),
        (slice(60, 180), slice(240, 244), (0.0, 0.0, 1.0)),
        (slice(95, 125), slice(200, 250), (0.16, 0.78, 0.47)),  # both eyes: no detector sees this face
    ],
)
def test_a_face_that_is_painted_over_is_found_all_the_same(rows: slice, columns: slice, colour: tuple[float, ...]):
    portrait = torch.from_numpy(astronaut()).float() / 255
    portrait[rows, columns] = torch.tensor(colour)
    if "face" not in bundled():
        pytest.skip("no bundled dictionary")
    found = align(load_model("face").model, portrait, torch.ones(512, 512, dtype=torch.bool))
    assert abs(found.x - 225) < 8 and abs(found.y - 123) < 8
    assert 44 < found.half < 62 and abs(found.angle) < 0.2


def test_even_parts_are_paint_and_a_gradient_is_none():
    photo = torch.rand(40, 50, 3, generator=torch.Generator().manual_seed(0))
    assert not even(photo).any()
    photo[10:20, 10:30] = 0.5
    found = even(photo)
    assert found[10:20, 10:30].all() and not found[:7].any() and not found[24:].any()
    slope = torch.linspace(0, 1, 50)[None, :, None].expand(40, 50, 3)
    assert not even(slope).any()
