"""`nid inpaint` and `nid upscale` on files: masks of all kinds, what is kept of a photo, maps, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import SIDE, face_model, faces
from photo_cases import Nid

from nidcli.artifacts import Metadata, Provenance, save_model
from nidcli.files.images import read_image, write_image

HOLE = (slice(8, 18), slice(5, 15))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dictionary of made-up faces as a file."""
    path = tmp_path_factory.mktemp("dictionary") / "tiny.nid"
    provenance = Provenance(command="", seed=0, data_digest="", data_count=0, data_licence="", data_attribution="")
    save_model(path, face_model(nets=True), Metadata(code_samples=1, metrics=(), provenance=provenance))
    return path


def pixels(seed: int = 9) -> np.ndarray:
    return (faces(1, seed)[0].numpy() * 255 + 0.5).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photo, its mask, white where it is to be filled, and the photo with green there."""
    mask, painted = np.zeros((SIDE, SIDE), np.uint8), pixels()
    mask[HOLE], painted[HOLE] = 255, (20, 230, 60)
    write_image(tmp_path / "mask.png", mask)
    write_image(tmp_path / "photo.png", painted)
    return tmp_path


def error(path: Path, truth: np.ndarray) -> float:
    return float(np.abs(read_image(path).pixels[HOLE].astype(float) - truth[HOLE]).mean())


def test_a_hole_is_filled_and_the_rest_stays(nid: Nid, folder: Path, tiny: Path):
    code, out, err = nid(
        "inpaint", folder / "photo.png", "-o", folder / "o.png", "--mask", folder / "mask.png", "--dict", tiny, "--json"
    )
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert item["damaged_fraction"] == pytest.approx(100 / SIDE**2)
    assert item["masked"] is True and item["fits"] is True
    result, given = read_image(folder / "o.png").pixels, read_image(folder / "photo.png").pixels
    outside = np.ones((SIDE, SIDE), bool)
    outside[HOLE] = False
    assert np.array_equal(result[outside], given[outside])
    assert error(folder / "o.png", pixels()) < 25 < error(folder / "photo.png", pixels())


def test_damage_is_found_and_told_in_a_map_and_so_is_how_sure_the_fill_is(nid: Nid, folder: Path, tiny: Path):
    flags = ("--damage-map", folder / "d", "--uncertainty", folder / "u", "--dict", tiny, "--json")
    code, out, err = nid("inpaint", folder / "photo.png", "-o", folder / "o.png", *flags)
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert item["masked"] is False
    found = read_image(folder / "d" / "photo.png").pixels[:, :, 0]
    assert set(np.unique(found)) == {0, 255}
    assert found[HOLE].mean() > 230
    assert item["damaged_fraction"] == pytest.approx((found > 0).mean())
    sure = read_image(folder / "u" / "photo.png")
    assert sure.bit_depth == 16
    assert sure.pixels[:, :, 0][HOLE].mean() > 100
    assert not sure.pixels[:, :, 0][found == 0].any()
    again = nid("inpaint", folder / "photo.png", "-o", folder / "p.png", *flags)
    assert again[0] == 6 and "exists already" in again[2]


def test_alpha_depth_and_suffix_are_kept(nid: Nid, tmp_path: Path, tiny: Path):
    alpha = np.full((SIDE, SIDE), 65535, np.uint16)
    alpha[HOLE] = 0
    write_image(tmp_path / "a.png", pixels().astype(np.uint16) * 257, alpha=alpha)
    code, _, err = nid("inpaint", tmp_path / "a.png", "-o", tmp_path / "o", "--mask-from-alpha", "--dict", tiny)
    assert code == 0, err
    result = read_image(tmp_path / "o" / "a.png")
    assert result.bit_depth == 16 and result.alpha is not None
    assert (result.alpha == 65535).all()
    assert np.abs(result.pixels[HOLE] / 257.0 - pixels()[HOLE]).mean() < 25


def test_one_mask_serves_a_folder_and_a_folder_of_masks_is_matched_by_stem(nid: Nid, folder: Path, tiny: Path):
    photos, masks = folder / "photos", folder / "masks"
    for seed in (1, 2):
        photos.mkdir(exist_ok=True)
        write_image(photos / f"{seed}.png", pixels(seed))
    mask = read_image(folder / "mask.png").pixels[:, :, 0]
    code, _, err = nid("inpaint", photos, "-o", folder / "one", "--mask", folder / "mask.png", "--dict", tiny)
    assert code == 0, err
    masks.mkdir()
    write_image(masks / "1.png", 255 - mask)
    code, _, err = nid("inpaint", photos, "-o", folder / "by", "--mask", masks, "--invert-mask", "--dict", tiny)
    assert code == 3 and "2.png has no partner" in err
    one, by = (read_image(folder / name / "1.png").pixels for name in ("one", "by"))
    assert np.array_equal(one, by)


@pytest.mark.parametrize(
    "value, size, flags, sentence",
    [
        (0, SIDE, (), "marks nothing"),
        (255, SIDE, (), "marks everything"),
        (255, SIDE - 1, (), "bring them to one size"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(nid: Nid, folder: Path, tiny: Path, value, size, flags, sentence):
    write_image(folder / "m.png", np.full((size, SIDE), value, np.uint8))
    code, _, err = nid(
        "inpaint", folder / "photo.png", "-o", folder / "o.png", "--mask", folder / "m.png", "--dict", tiny
    )
    assert code == 4 and sentence in err
    assert not (folder / "o.png").exists()


@pytest.mark.parametrize(
    "flags, code, sentence",
    [
        (("--mask", "m.png", "--mask-from-alpha"), 2, "contradict"),
        (("--damage-map", "damage.png"), 2, "give a folder"),
        (("--invert-mask",), 2, "there is none"),
        (("--mask", "none.png"), 4, "does not exist"),
        (("--mask-from-alpha",), 4, "no transparency"),
    ],
)
def test_flags_that_do_not_agree_are_refused(nid: Nid, folder: Path, tiny: Path, flags, code, sentence):
    got, _, err = nid("inpaint", folder / "photo.png", "-o", folder / "o.png", "--dict", tiny, *flags)
    assert (got, sentence in err) == (code, True), err


def test_a_photo_of_another_kind_is_told(nid: Nid, folder: Path, tiny: Path):
    blobs = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    write_image(folder / "b.png", np.kron(blobs, np.ones((4, 4, 1), np.uint8)))
    flags = ("--mask", folder / "mask.png", "--dict", tiny, "--json")
    code, out, err = nid("inpaint", folder / "b.png", "-o", folder / "o.png", *flags)
    assert code == 0 and "does not fit" in err
    assert json.loads(out)["items"][0]["fits"] is False


def test_a_small_photo_that_was_blurred_comes_back_sharper_where_that_is_told(nid: Nid, folder: Path, tiny: Path):
    truth = pixels().astype(np.float32)
    blurred = cv2.GaussianBlur(truth.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean((1, 3)), (0, 0), 1.0)
    write_image(folder / "s.png", blurred.round().astype(np.uint8))
    flags, errors = ("--scale", 2, "--dict", tiny, "--overwrite"), []
    for blur in (("--blur", 1.0), ()):
        code, _, err = nid("upscale", folder / "s.png", "-o", folder / "l.png", *flags, *blur)
        assert code == 0, err
        errors.append(np.abs(read_image(folder / "l.png").pixels - truth).mean())
    assert errors[0] < 0.8 * errors[1]
    assert nid("upscale", folder / "s.png", "-o", folder / "l.png", *flags, "--blur", -1)[0] == 2


def test_a_photo_is_enlarged(nid: Nid, folder: Path, tiny: Path):
    truth = pixels().astype(float)
    small = truth.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean((1, 3)).round().astype(np.uint8)
    write_image(folder / "s.png", small[:, :, :1])  # grey
    code, out, err = nid("upscale", folder / "s.png", "-o", folder / "l.png", "--scale", 2, "--dict", tiny, "--json")
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert (item["width"], item["height"]) == (SIDE, SIDE)
    large = read_image(folder / "l.png").pixels
    assert large.shape == (SIDE, SIDE, 1)
    means = large.reshape(SIDE // 2, 2, SIDE // 2, 2, 1).mean((1, 3))
    assert np.abs(means - small[:, :, :1]).mean() < 0.6
