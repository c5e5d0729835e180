"""`nid refine` makes codes better, never worse; `nid decode` draws them at any size, in the kind of their photo."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nidcli import artifacts, cli
from nidcli.artifacts import Artifact, DictionaryRef, bundled, load_codes, load_model, save_codes
from nidcli.files.images import as_float, read_image, resize, write_image

pytestmark = pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary")

Nid = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def face() -> Artifact:
    return load_model("face")


@pytest.fixture
def nid(face: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nid:
    """Run `nid` in this process, the dictionary loaded before: exit status, standard output, standard error."""
    load = artifacts.load_model
    monkeypatch.setattr(artifacts, "load_model", lambda name, device: face if name == "face" else load(name, device))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nid", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def astronaut(repository: Path) -> np.ndarray:
    """(128, 128, 3) floats of a real photo."""
    return as_float(read_image(repository / "examples" / "astronaut.png").pixels)


def items(result: tuple[int, str, str], status: int = 0) -> dict[str, dict]:
    """Items of a --json report by the names of their inputs."""
    code, out, err = result
    assert code == status, err
    return {Path(item["input"]).name: item for item in json.loads(out)["items"]}


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    error = as_float(image).clip(0, 1).astype(float) - as_float(truth)
    return float(-10 * np.log10(np.mean(error**2)))


@pytest.fixture
def coded(nid: Nid, tmp_path: Path, astronaut: np.ndarray) -> Path:
    """photos/ and codes/ of five photos of several sizes and kinds."""
    photos = tmp_path / "photos"
    photos.mkdir()
    write_image(photos / "wide.png", astronaut[30:67, :101])
    write_image(photos / "tall.jpg", astronaut[:120, 40:89])
    write_image(photos / "grey.png", astronaut[:40, 20:80, :1])
    write_image(photos / "deep.png", astronaut[60:100, 20:80], bit_depth=16)
    write_image(photos / "float.npy", astronaut[60:100, 50:110])
    items(nid("encode", photos, "-o", tmp_path / "codes", "--json"))
    return tmp_path


# Refine


@pytest.mark.parametrize(
    "flags", [(), ("--steps", 2), ("--solver", "adam"), ("--solver", "adam", "--steps", 1)], ids=str
)
def test_refine_never_makes_a_code_worse(nid: Nid, coded: Path, flags: tuple[object, ...]):
    command = ("refine", coded / "codes", "--data", coded / "photos", "-o", coded / "better", "--json", *flags)
    found = items(nid(*command))
    assert len(found) == 5
    for name, item in found.items():
        assert {"input", "output", "seconds", "psnr_before", "psnr", "ssim", "bytes"} == item.keys()
        assert item["psnr"] >= item["psnr_before"] - 1e-3
        before, after = load_codes(coded / "codes" / name), load_codes(coded / "better" / name)
        assert after.code.coefficients <= before.code.coefficients
        assert (after.code.width, after.code.height, after.source) == (
            before.code.width,
            before.code.height,
            before.source,
        )


def test_refine_improves_the_codes_of_the_gate(nid: Nid, coded: Path):
    command = ("refine", coded / "codes", "--data", coded / "photos", "-o", coded / "better", "--json")
    assert all(item["psnr"] > item["psnr_before"] + 0.02 for item in items(nid(*command)).values())


def test_refine_starts_from_what_encode_reported(nid: Nid, coded: Path):
    said = items(nid("encode", coded / "photos", "-o", coded / "again", "--json"))
    found = items(nid("refine", coded / "again", "--data", coded / "photos", "-o", coded / "better", "--json"))
    for name, item in said.items():
        assert abs(found[Path(name).stem + ".nidc"]["psnr_before"] - item["psnr"]) < 0.02  # values are stored in halves


def test_no_steps_change_nothing(nid: Nid, coded: Path):
    command = ("refine", coded / "codes", "--data", coded / "photos", "-o", coded / "same", "--steps", 0, "--json")
    for name, item in items(nid(*command)).items():
        assert item["psnr"] == pytest.approx(item["psnr_before"], abs=1e-3)
        before, after = (load_codes(coded / folder / name).code.levels[0].code for folder in ("codes", "same"))
        assert np.allclose(before.dense(4096), after.dense(4096), atol=2e-3 * float(before.value_SJ.abs().max()))


def test_refine_of_a_code_that_was_resized_resizes_its_photo_again(nid: Nid, coded: Path):
    photo, code = coded / "photos" / "wide.png", coded / "small.nidc"
    assert nid("encode", photo, "-o", code, "--size", 60)[0] == 0
    (item,) = items(nid("refine", code, "--data", photo, "-o", coded / "better.nidc", "--json")).values()
    assert item["psnr"] > item["psnr_before"] > 20


@pytest.mark.parametrize("solver", ["gate", "omp"])
def test_refine_of_codes_with_other_cells_keeps_their_cells(nid: Nid, coded: Path, solver: str):
    photo, code = coded / "photos" / "wide.png", coded / "few.nidc"
    assert nid("encode", photo, "-o", code, "--cells", 10, "--solver", solver, "--top-k", 8)[0] == 0
    (item,) = items(nid("refine", code, "--data", photo, "-o", coded / "better.nidc", "--json")).values()
    assert item["psnr"] >= item["psnr_before"] - 1e-3
    assert load_codes(coded / "better.nidc").code.pitch == load_codes(code).code.pitch == 11


def test_refine_names_a_code_without_photo_and_does_the_rest(nid: Nid, coded: Path):
    (coded / "photos" / "grey.png").unlink()
    command = ("refine", coded / "codes", "--data", coded / "photos", "-o", coded / "better", "--json")
    found = items(nid(*command), 3)
    assert "grey" in found["grey.nidc"]["error"]
    assert len(list((coded / "better").iterdir())) == 4


def test_refine_refuses_a_photo_of_another_shape(nid: Nid, coded: Path, astronaut: np.ndarray):
    write_image(coded / "photos" / "wide.png", astronaut[:90, :101])
    command = ("refine", coded / "codes", "--data", coded / "photos", "-o", coded / "better", "--json")
    found = items(nid(*command), 3)
    assert "wide" in found["wide.nidc"]["error"]
    assert "unexpected" not in found["wide.nidc"]["error"]
    assert sum("error" in item for item in found.values()) == 1


def test_a_code_of_another_dictionary_is_exit_status_5(nid: Nid, coded: Path):
    file = load_codes(coded / "codes" / "wide.nidc")
    other = DictionaryRef("other", "0" * 64, file.dictionary.experts)
    save_codes(coded / "wide.nidc", file.code, other, file.source)
    for command in (("refine", "--data", coded / "photos"), ("decode",)):
        code, _, err = nid(*command, coded / "wide.nidc", "-o", coded / "out/")
        assert code == 5
        assert "other" in err and "face" in err
    (coded / "cut.nidc").write_bytes((coded / "codes" / "wide.nidc").read_bytes()[:-9])
    assert nid("decode", coded / "cut.nidc", "-o", coded / "out/")[0] == 5


def test_refine_without_photos_is_a_usage_error_and_with_missing_ones_4(nid: Nid, coded: Path):
    code = coded / "codes" / "wide.nidc"
    assert nid("refine", code)[0] == 2
    status, _, err = nid("refine", code, "--data", coded / "nowhere", "-o", coded / "b.nidc")
    assert (status, "nowhere" in err) == (4, True)


# Decode


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
