"""`nid encode`: photos of every kind become codes of their own size, within their budget; what fails is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photo_cases import Nid, _face_is_loaded_once, encoded, face, photo, scene  # noqa: F401
from PIL import Image

from nidcli.artifacts import bundled, load_codes
from nidcli.files.images import write_image

pytestmark = pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary")


# Sizes and kinds of files


@pytest.mark.parametrize("size", [(61, 37), (37, 61), (16, 16), (17, 15), (1, 1), (7, 500), (500, 7), (1, 33)], ids=str)
def test_a_photo_of_any_size_gives_a_code_of_that_size(nid: Nid, tmp_path: Path, size: tuple[int, int]):
    file, item = encoded(nid, photo(tmp_path / "a.png", *size))
    assert (file.code.width, file.code.height) == size
    assert file.code.pitch == 16
    assert file.code.levels[-1].cells == (-(-size[0] // 16), -(-size[1] // 16))
    assert item["psnr"] is None or item["psnr"] > 25


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_code_is_that_of_the_upright_photo(nid: Nid, tmp_path: Path, orientation: int):
    turns = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # of PIL.Image.Transpose, which make it upright
    stored = Image.fromarray(scene(48, 30))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    turn = turns[orientation]
    upright = stored if turn is None else stored.transpose(Image.Transpose(turn))
    upright.save(tmp_path / "upright.png")
    turned, _ = encoded(nid, tmp_path / "turned.png")
    expected, _ = encoded(nid, tmp_path / "upright.png")
    assert (turned.code.width, turned.code.height) == upright.size
    assert turned.code.levels[0].code.value_SJ.equal(expected.code.levels[0].code.value_SJ)


KINDS: dict[str, tuple[str, np.ndarray, tuple[int, int]]] = {
    "grey": ("a.png", scene(40, 28, 1)[:, :, 0], (8, 1)),
    "colour": ("a.png", scene(40, 28), (8, 3)),
    "colour and alpha": ("a.png", scene(40, 28, 4), (8, 3)),
    "grey and alpha": ("a.png", scene(40, 28, 2), (8, 1)),
    "16-bit grey PNG": ("a.png", scene(40, 28, 1, 65535)[:, :, 0], (16, 1)),
    "16-bit colour PNG": ("a.png", scene(40, 28, 3, 65535), (16, 3)),
    "16-bit colour TIFF": ("a.tif", scene(40, 28, 3, 65535), (16, 3)),
    "float TIFF": ("a.tif", scene(40, 28).astype(np.float32) / 255, (32, 3)),
    "float NPY": ("a.npy", scene(40, 28).astype(np.float32) / 255, (32, 3)),
    "JPEG": ("a.jpg", scene(40, 28), (8, 3)),
    "WebP": ("a.webp", scene(40, 28), (8, 3)),
    "BMP": ("a.bmp", scene(40, 28), (8, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_of_any_kind_is_coded_and_its_kind_is_kept(nid: Nid, tmp_path: Path, kind: str):
    name, values, source = KINDS[kind]
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, values, photometric="rgb")
    elif values.dtype == np.uint16 and values.ndim == 3:
        write_image(path, values, bit_depth=16)
    else:
        Image.fromarray(values).save(path)
    file, item = encoded(nid, path)
    assert (file.code.width, file.code.height) == (40, 28)
    assert (file.source.bit_depth, file.source.channels) == source
    assert item["psnr"] > 30


def test_alpha_changes_nothing_about_a_code(nid: Nid, tmp_path: Path):
    pixels = scene(40, 28, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:, :, :3]).save(tmp_path / "b.png")
    encoded(nid, tmp_path / "a.png")
    encoded(nid, tmp_path / "b.png")
    assert (tmp_path / "a.nidc").read_bytes() == (tmp_path / "b.nidc").read_bytes()


# The report and the budget


def test_an_item_reports_what_the_contract_names(nid: Nid, tmp_path: Path):
    path = photo(tmp_path / "a.png")
    output = tmp_path / "a.nidc"
    code, out, _ = nid("encode", path, "-o", output, "--json")
    document = json.loads(out)
    assert code == 0
    assert {"command", "version", "dictionary", "device", "seconds", "items"} <= document.keys()
    assert (document["command"], document["dictionary"]) == ("encode", "face")
    (item,) = document["items"]
    keys = {"input", "output", "seconds", "psnr", "ssim", "top_k", "coefficients", "bytes"}
    assert item.keys() == keys
    assert (item["input"], item["output"], item["top_k"]) == (str(path), str(output), 32)
    assert item["bytes"] == output.stat().st_size
    assert item["coefficients"] == load_codes(output).code.coefficients
    assert 0 < item["ssim"] <= 1


def test_jsonl_is_one_line_an_item(nid: Nid, tmp_path: Path):
    paths = [photo(tmp_path / f"{n}.png", 20 + n) for n in range(3)]
    code, out, _ = nid("encode", *paths, "-o", tmp_path / "codes", "--jsonl")
    items = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert sorted(item["input"] for item in items) == sorted(map(str, paths))


@pytest.mark.parametrize("solver", ["gate", "omp", "fista", "map", "adam"])
@pytest.mark.parametrize("k", [1, 5, 32])
def test_coefficients_keep_within_the_budget(nid: Nid, tmp_path: Path, solver: str, k: int):
    _, item = encoded(nid, photo(tmp_path / "a.png", 45, 30), "--solver", solver, "--top-k", k)
    cells = 3 * 2
    assert item["top_k"] == k
    assert 3 * cells <= item["coefficients"] <= (k + 3) * cells


@pytest.mark.parametrize("solver", ["gate", "omp"])
def test_more_coefficients_than_experts_still_give_a_code(nid: Nid, tmp_path: Path, solver: str):
    file, item = encoded(nid, photo(tmp_path / "a.png", 8, 8), "--solver", solver, "--top-k", 9999)
    assert item["coefficients"] <= file.dictionary.experts[0] + 3
    assert item["psnr"] > 45


@pytest.mark.parametrize("solver", ["gate", "omp"])
def test_more_coefficients_draw_better(nid: Nid, tmp_path: Path, solver: str):
    path = photo(tmp_path / "a.png", 32, 32)
    quality = []
    for k in (1, 8, 64):
        _, item = encoded(nid, path, "--solver", solver, "--top-k", k, "--overwrite")
        quality.append(item["psnr"])
    assert quality == sorted(quality)


def test_pursuit_is_no_worse_than_the_gate(nid: Nid, repository: Path, tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes((repository / "examples" / "astronaut.png").read_bytes())
    gate = encoded(nid, path, "--top-k", 16)[1]["psnr"]
    omp = encoded(nid, path, "--top-k", 16, "--solver", "omp", "--overwrite")[1]["psnr"]
    assert omp > gate


@pytest.mark.parametrize("solver", ["gate", "omp", "map"])
def test_a_code_does_not_depend_on_the_other_photos_of_its_run(nid: Nid, tmp_path: Path, solver: str):
    for n in range(3):
        values = np.roll(scene(40, 28), 5 * n, 1)
        write_image(photo(tmp_path / "photos" / f"{n}.png"), values)
    nid("encode", tmp_path / "photos", "-o", tmp_path / "together", "--solver", solver, "--top-k", 8)
    for n in range(3):
        alone = tmp_path / f"{n}.nidc"
        nid("encode", tmp_path / "photos" / f"{n}.png", "-o", alone, "--solver", solver, "--top-k", 8)
        ours, theirs = (load_codes(path).code.levels[0].code for path in (alone, tmp_path / "together" / alone.name))
        assert (ours.dense(4096) - theirs.dense(4096)).abs().max() < 0.01 * ours.value_SJ.abs().max()


def test_two_runs_with_one_seed_write_the_same_bytes(nid: Nid, tmp_path: Path):
    path = photo(tmp_path / "a.png")
    for solver in ("gate", "omp", "adam"):
        for name in ("one", "two"):
            assert nid("encode", path, "-o", tmp_path / f"{name}.nidc", "--solver", solver, "--overwrite")[0] == 0
        assert (tmp_path / "one.nidc").read_bytes() == (tmp_path / "two.nidc").read_bytes()


@pytest.mark.parametrize("solver", ["gate", "omp"])
def test_cells_are_those_asked_for_along_the_longer_side(nid: Nid, tmp_path: Path, solver: str):
    file, item = encoded(nid, photo(tmp_path / "a.png", 30, 17), "--cells", 3, "--solver", solver)
    assert (file.code.pitch, file.code.levels[0].cells) == (10, (3, 2))
    assert (file.code.width, file.code.height) == (30, 17)
    assert item["coefficients"] <= 35 * 6
    assert item["psnr"] > 25


@pytest.mark.parametrize("cells", ["0", "-1", "many", "2.5", "41"])
def test_cells_that_make_no_sense_are_a_usage_error(nid: Nid, tmp_path: Path, cells: str):
    code, _, err = nid("encode", photo(tmp_path / "a.png"), "--cells", cells)
    assert code == 2
    assert "--cells" in err
    assert not (tmp_path / "a.nidc").exists()
