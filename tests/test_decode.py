"""`nid decode` draws codes at any size, in the kind of their photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from code_cases import astronaut, coded, items, psnr  # noqa: F401
from photo_cases import Nid, _face_is_loaded_once, face  # noqa: F401

from nidcli.artifacts import bundled
from nidcli.files.images import as_float, read_image, resize

pytestmark = pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary")


def test_decode_draws_the_size_and_kind_of_the_photo(nid: Nid, coded: Path):
    found = items(nid("decode", coded / "codes", "-o", coded / "images", "--json"))
    for path in (coded / "photos").iterdir():
        photo, image = read_image(path), read_image(coded / "images" / f"{path.stem}.png")
        item = found[f"{path.stem}.nidc"]
        assert (item["width"], item["height"]) == (image.width, image.height) == (photo.width, photo.height)
        assert image.channels == photo.channels
        assert image.bit_depth == min(photo.bit_depth, 16)
        assert image.alpha is None
        assert item["bytes"] == (coded / "images" / f"{path.stem}.png").stat().st_size


@pytest.mark.parametrize("flags", [(), ("--solver", "omp", "--top-k", 64), ("--cells", 5)], ids=str)
def test_the_decoded_photo_is_as_good_as_encode_said(nid: Nid, coded: Path, flags: tuple[object, ...]):
    said = items(nid("encode", coded / "photos", "-o", coded / "again", "--json", *flags))
    assert nid("decode", coded / "again", "-o", coded / "images")[0] == 0
    for name, item in said.items():
        photo, image = (read_image(path) for path in (coded / "photos" / name, coded / "images" / f"{name[:-4]}.png"))
        noise = 10 ** (-item["psnr"] / 10) + (0 if image.bit_depth == 16 else 1 / 255**2 / 12)
        if photo.channels == 3:
            assert psnr(image.pixels, photo.pixels) == pytest.approx(-10 * np.log10(noise), abs=0.1)
        else:
            assert psnr(image.pixels, photo.pixels) > item["psnr"] - 0.1  # its channels are averaged


@pytest.mark.parametrize(
    "flags,size", [(("--scale", 2), (202, 74)), (("--scale", 0.5), (50, 18)), (("--size", "33x77"), (33, 77))]
)
def test_decode_draws_at_other_sizes(nid: Nid, coded: Path, flags: tuple[object, ...], size: tuple[int, int]):
    output = coded / "other.png"
    (item,) = items(nid("decode", coded / "codes" / "wide.nidc", "-o", output, "--json", *flags)).values()
    image = read_image(output)
    assert (image.width, image.height) == (item["width"], item["height"]) == size
    truth = resize(as_float(read_image(coded / "photos" / "wide.png").pixels), *size)
    assert psnr(image.pixels, truth) > 20


@pytest.mark.parametrize("form", ["png", "jpg", "tif", "webp", "npy"])
def test_decode_writes_the_format_asked_for(nid: Nid, coded: Path, form: str):
    assert nid("decode", coded / "codes", "-o", coded / "images", "--format", form)[0] == 0
    assert sorted(path.name for path in (coded / "images").iterdir()) == sorted(
        f"{path.stem}.{form}" for path in (coded / "codes").iterdir()
    )
    depth = {"npy": 32, "png": 16, "tif": 16}.get(form, 8)
    for name in ("deep", "wide"):
        image = read_image(coded / "images" / f"{name}.{form}")
        original = read_image(coded / "photos" / f"{name}.png")
        assert image.format == {"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "webp": "WEBP", "npy": "NPY"}[form]
        assert image.bit_depth == (depth if name == "deep" or form == "npy" else 8)
        assert psnr(image.pixels, original.pixels) > 24


@pytest.mark.parametrize("name", ["a.jpeg", "a.bmp", "a.tiff", "a.npy", "a.JPG", "a.webp", "a.png"])
@pytest.mark.parametrize("source", ["deep", "grey"])
def test_decode_follows_the_suffix_of_its_output(nid: Nid, coded: Path, name: str, source: str):
    assert nid("decode", coded / "codes" / f"{source}.nidc", "-o", coded / name)[0] == 0
    image = read_image(coded / name)
    assert (image.width, image.height) == (60, 40)
    grey = as_float(image.pixels).mean(2)
    assert psnr(grey, as_float(read_image(coded / "photos" / f"{source}.png").pixels).mean(2)) > 24


def test_decode_refuses_a_suffix_that_is_no_image_and_one_that_contradicts_the_format(nid: Nid, coded: Path):
    for status, *flags in ((6, "-o", coded / "a.txt"), (2, "-o", coded / "a.png", "--format", "jpg")):
        code, _, err = nid("decode", coded / "codes" / "wide.nidc", *flags)
        assert code == status
        assert "a." in err
        assert not list(coded.glob("a.*"))


@pytest.mark.parametrize(
    "flags",
    [
        ("--scale", "2", "--size", "5x5"),
        ("--scale", "0"),
        ("--scale", "-1"),
        ("--scale", "nan"),
        ("--scale", "1000"),
        ("--size", "0x5"),
        ("--size", "5x00"),
        ("--size", "5"),
        ("--size", "axb"),
        ("--size", "9999999x9999999"),
        ("--format", "gif"),
    ],
    ids=str,
)
def test_sizes_that_make_no_sense_are_a_usage_error_whatever_the_inputs(nid: Nid, coded: Path, flags: tuple[str, ...]):
    (coded / "codes" / "broken.nidc").write_text("words")
    code, _, err = nid("decode", coded / "codes", "-o", coded / "images", *flags)
    assert code == 2
    assert flags[0] in err
    assert "Traceback" not in err


def test_a_folder_of_codes_goes_on_when_one_is_damaged(nid: Nid, coded: Path):
    (coded / "codes" / "broken.nidc").write_text("words")
    found = items(nid("decode", coded / "codes", "-o", coded / "images", "--json"), 3)
    assert "broken.nidc" in found["broken.nidc"]["error"]
    assert len(list((coded / "images").iterdir())) == 5


def test_a_dry_run_of_decode_or_refine_writes_nothing(nid: Nid, coded: Path):
    for command in (("decode",), ("refine", "--data", coded / "photos")):
        found = items(nid(*command, coded / "codes", "-o", coded / "new", "--dry-run", "--json"))
        assert len(found) == 5 and all(item["planned"] for item in found.values())
        assert not (coded / "new").exists()
