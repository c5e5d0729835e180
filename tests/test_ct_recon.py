"""`nid ct-recon`, as a lab would run it: files in, slices and a report out, failures in one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ct_cases import SIDE, phantom, scan_of, tiny_file

from nidcli import cli
from nidcli.ct.reconstruct import Reconstructor
from nidcli.files.images import read_image

VIEWS = 12
HEAD = 2  # a phantom with rays beside it, which say that there is no noise
Run = Callable[..., tuple[int, dict, str]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_file(tmp_path_factory.mktemp("dict") / "tiny.nid")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `nid ct-recon` in this process: exit status, the JSON document, and standard error."""

    def run(*arguments: object) -> tuple[int, dict, str]:
        monkeypatch.setattr(sys, "argv", ["nid", "ct-recon", *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), json.loads(out) if out.strip() else {}, err

    return run


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    np.save(tmp_path / "scan.npy", scan_of(phantom(HEAD), VIEWS))
    np.save(tmp_path / "truth.npy", phantom(HEAD))
    return tmp_path / "scan.npy"


def test_a_slice_comes_back_with_its_report(run: Run, scan: Path, tiny: Path):
    flags = (
        "--angles",
        VIEWS,
        "--dict",
        tiny,
        "-o",
        scan.parent / "slice.npy",
        "--reference",
        scan.parent / "truth.npy",
    )
    code, document, _ = run(scan, *flags, "--baseline", "fbp", "--uncertainty", "--preview")
    (item,) = document["items"]
    assert code == 0
    assert (item["views"], item["size"], item["cor"]) == (VIEWS, SIDE, (SIDE - 1) / 2)
    assert item["residual"] < 0.02
    assert item["psnr"] > item["baseline"]["psnr"] + 5
    found = np.load(scan.parent / "slice.npy")
    assert found.shape == (SIDE, SIDE) and found.dtype == np.float32
    assert -10 * np.log10(np.mean((found.clip(0, 1) - phantom(HEAD)) ** 2)) == pytest.approx(item["psnr"], abs=0.01)
    assert np.load(scan.parent / "slice_fbp.npy").shape == (SIDE, SIDE)
    assert (np.load(scan.parent / "slice_uncertainty.npy") > 0).all()
    assert read_image(scan.parent / "slice_preview.png").width == SIDE


def test_what_some_view_does_not_see_is_zero_where_that_is_asked(run: Run, scan: Path, tiny: Path):
    rays, wide = np.load(scan), SIDE - 8
    np.save(scan, rays[:, 4:-4])  # a detector that is narrower than the head
    flags = ("--angles", VIEWS, "--dict", tiny, "--size", wide, "--uncertainty", "--baseline", "fbp")
    for name, more in (("all", ()), ("seen", ("--field-of-view",))):
        assert run(scan, *flags, "-o", scan.parent / f"{name}.npy", *more)[0] == 0
    away = np.hypot(*(np.indices((wide, wide)) - (wide - 1) / 2))
    for part in ("", "_uncertainty", "_fbp"):
        whole, seen = (np.load(scan.parent / f"{name}{part}.npy") for name in ("all", "seen"))
        assert not seen[away > wide / 2].any()
        assert np.array_equal(seen[away < wide / 2 - 1], whole[away < wide / 2 - 1])
    assert whole.shape == seen.shape and np.load(scan.parent / "all_uncertainty.npy")[away > wide / 2].all()


def test_attenuation_is_per_mm_where_the_pixel_size_is_told(run: Run, scan: Path, tiny: Path):
    for name, flags in (("pixel", ()), ("mm", ("--pixel-size", 0.5))):
        assert run(scan, "--angles", VIEWS, "--dict", tiny, "-o", scan.parent / f"{name}.npy", *flags)[0] == 0
    pixel, mm = (np.load(scan.parent / f"{name}.npy") for name in ("pixel", "mm"))
    assert np.allclose(mm, 2 * pixel, atol=1e-6)


def test_other_units_give_the_same_slice_in_those_units(run: Run, scan: Path, tiny: Path):
    np.save(scan.parent / "small.npy", np.load(scan) * np.float32(0.001))
    for name in ("scan", "small"):
        flags = ("--angles", VIEWS, "--dict", tiny, "--noise", 0, "-o", scan.parent / f"{name}_out.npy")
        code, document, _ = run(scan.parent / f"{name}.npy", *flags)
        assert code == 0
    assert document["items"][0]["scale"] < 0.01
    ours, theirs = (np.load(scan.parent / f"{name}_out.npy") for name in ("scan", "small"))
    assert np.sqrt(np.mean((theirs * 1000 - ours) ** 2)) < 0.1


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_a_stack_is_streamed_and_goes_on_where_it_stopped(
    run: Run, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
):
    stack = np.stack([scan_of(phantom(k), 8) for k in range(3)])
    np.save(tmp_path / "stack.npy", stack)
    flags = (tmp_path / "stack.npy", "--angles", 8, "--dict", tiny, "--noise", 0)
    assert run(*flags, "-o", tmp_path / f"whole{suffix}")[0] == 0
    solved = []
    true_slice = Reconstructor.slice

    def counted(self: Reconstructor, sinogram, geometry):
        solved.append(1)
        if len(solved) == 3:
            raise KeyboardInterrupt
        return true_slice(self, sinogram, geometry)

    monkeypatch.setattr(Reconstructor, "slice", counted)
    assert run(*flags, "-o", tmp_path / f"parts{suffix}")[0] == 130
    assert not (tmp_path / f"parts{suffix}").exists()
    code, document, _ = run(*flags, "-o", tmp_path / f"parts{suffix}")
    assert code == 0 and len(solved) == 4 and document["items"][0]["slices"] == 3
    read = np.load if suffix == ".npy" else tifffile.imread
    whole, parts = (read(tmp_path / f"{name}{suffix}") for name in ("whole", "parts"))
    assert whole.shape == (3, SIDE, SIDE)
    assert np.array_equal(whole, parts)
    assert not list(tmp_path.glob(".*part*"))


def test_a_folder_goes_on_past_a_broken_scan(run: Run, scan: Path, tiny: Path):
    (scan.parent / "truth.npy").unlink()
    np.save(scan.parent / "bad.npy", np.full((VIEWS, SIDE), np.nan))
    code, document, told = run(scan.parent, "--angles", VIEWS, "--dict", tiny, "-o", scan.parent / "out")
    assert code == 3
    assert [("error" in item) for item in document["items"]] == [True, False]
    assert "bad.npy" in told and "not finite" in told


def test_skimage_sinograms_give_back_the_image(run: Run, tmp_path: Path, tiny: Path):
    from skimage.transform import radon

    truth = phantom()
    np.save(tmp_path / "radon.npy", radon(truth, np.arange(24) * 7.5).astype(np.float32))
    flags = ("--angles", "0:180:7.5", "--convention", "skimage", "--dict", tiny, "--noise", 0)
    assert run(tmp_path / "radon.npy", *flags, "-o", tmp_path / "out.npy")[0] == 0
    assert np.sqrt(np.mean((np.load(tmp_path / "out.npy") - truth) ** 2)) < 0.02


def test_a_window_says_what_is_black_and_what_is_white(run: Run, scan: Path, tiny: Path):
    flags = ("--angles", VIEWS, "--dict", tiny, "-o", scan.parent / "out.png")
    assert run(scan, *flags, "--window", 0.2, "--level", 10)[0] == 0
    assert read_image(scan.parent / "out.png").pixels.max() == 0
    assert run(scan, *flags, "--window", 0.2, "--level", -10, "--overwrite")[0] == 0
    assert read_image(scan.parent / "out.png").pixels.min() == 255


@pytest.mark.parametrize(
    "flags,said",
    [
        (("--pixel-size", 0), "--pixel-size 0 is not above zero"),
        (("--noise", -1), "no standard deviation"),
        (("--cor", "left"), "neither auto nor a number"),
        (("--fan", 100, "--cor", "auto"), "parallel beams only"),
        (("--convention", "skimage", "--fan", 100), "fixes the rays"),
        (("--no-circle",), "belongs to --convention skimage"),
        (("-o", "slice.jpg"), "no file of slices"),
        (("--size", 3), "--size between"),
    ],
    ids=str,
)
def test_flags_that_make_no_sense_are_refused(run: Run, scan: Path, tiny: Path, flags: tuple[object, ...], said: str):
    code, _, told = run(scan, "--angles", VIEWS, "--dict", tiny, *flags)
    assert code == 2 and said in told


def test_a_dry_run_writes_nothing(run: Run, scan: Path, tiny: Path):
    code, document, _ = run(scan, "--angles", VIEWS, "--dict", tiny, "-o", scan.parent / "out.npy", "--dry-run")
    assert code == 0 and document["items"][0]["planned"]
    assert not (scan.parent / "out.npy").exists()


def test_the_help_says_that_it_is_not_for_diagnosis():
    context = cli.load("ct-recon").make_context("nid", [], resilient_parsing=True)
    assert "not for diagnosis" in " ".join(context.get_help().lower().split())
