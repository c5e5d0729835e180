"""`nid refine` makes codes better, never worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from code_cases import astronaut, coded, items, psnr  # noqa: F401
from photo_cases import Nid, _face_is_loaded_once, face  # noqa: F401

from nidcli.artifacts import DictionaryRef, bundled, load_codes, save_codes
from nidcli.files.images import write_image

pytestmark = pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary")


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
