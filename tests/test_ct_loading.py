"""Sinograms from files: layouts, angles and units, and one clear sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nidcli.ct.loading import Angles, Layout, Scan, open_scan
from nidcli.errors import InputError, NidError, UsageError


def saved(path: Path, values: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values, photometric="minisblack")
    return path


def opened(path: Path, angles: str | None = None, layout: Layout = "angles-bins") -> tuple[Scan, list[str]]:
    told: list[str] = []
    return open_scan(path, Angles(angles), layout, told.append), told


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
@pytest.mark.parametrize("turned", [False, True])
def test_arrays_and_tiffs_become_views_by_bins(tmp_path: Path, suffix: str, turned: bool):
    truth = values(3, 6, 20)
    path = saved(tmp_path / f"scan{suffix}", truth.transpose(0, 2, 1) if turned else truth)
    scan, told = opened(path, "6", "bins-angles" if turned else "angles-bins")
    assert scan.file.slices == 3 and not told
    assert list(scan.angles_V) == [0, 30, 60, 90, 120, 150]
    for number in range(3):
        assert np.array_equal(scan.sinogram(number).numpy(), truth[number])


def test_an_npz_brings_its_angles(tmp_path: Path):
    np.savez(tmp_path / "scan.npz", sinogram=values(4, 20), angles=[0.0, 50.0, 90.0, 130.0])
    scan, _ = opened(tmp_path / "scan.npz")
    assert list(scan.angles_V) == [0, 50, 90, 130] and scan.file.count == 0


def test_data_exchange_is_normalised_by_flat_and_dark(tmp_path: Path):
    h5py = pytest.importorskip("h5py")
    integrals = values(5, 3, 20)
    dark, white = np.full((2, 3, 20), 10.0), np.full((2, 3, 20), 1010.0)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["exchange/data"] = 1000 * np.exp(-integrals) + 10
        file["exchange/data_dark"], file["exchange/data_white"] = dark, white
        file["exchange/theta"] = np.deg2rad(np.arange(5) * 36.0)
    scan, told = opened(tmp_path / "scan.h5")
    assert len(told) == 1 and "radians" in told[0]
    assert scan.angles_V == pytest.approx([0, 36, 72, 108, 144])
    assert scan.file.slices == 3
    assert np.allclose(scan.sinogram(1).numpy(), integrals[:, 1], atol=1e-5)


@pytest.mark.parametrize(
    "text,degrees", [("4", [0, 45, 90, 135]), ("10:40:10", [10, 20, 30]), ("0:1:0.5", [0, 0.5]), ("9:0:-3", [9, 6, 3])]
)
def test_angles_are_a_number_or_a_range_whose_end_is_excluded(text: str, degrees: list[float]):
    found = Angles(text).degrees()
    assert found is not None and found.tolist() == pytest.approx(degrees)


def test_a_file_of_angles_in_radians_is_recognised_and_told(tmp_path: Path):
    (tmp_path / "angles.txt").write_text("\n".join(str(k * np.pi / 6) for k in range(6)))
    scan, told = opened(saved(tmp_path / "s.npy", values(6, 20)), str(tmp_path / "angles.txt"))
    assert scan.angles_V == pytest.approx([0, 30, 60, 90, 120, 150])
    assert "radians" in told[0]


@pytest.mark.parametrize(
    "shape,angles,layout,said",
    [
        ((6, 20), "20", "angles-bins", "is transposed.*--layout bins-angles"),
        ((6, 20), "6", "bins-angles", "is transposed.*--layout angles-bins"),
        ((6, 20), "7", "angles-bins", "has 6 views.*7 angles"),
        ((6, 4), "6", "angles-bins", "has 4 bins"),
        ((6, 20), None, "angles-bins", "does not say its angles"),
        ((6, 20), "0:0:1", "angles-bins", "holds no angle"),
        ((6, 20), "a:b:c", "angles-bins", "no START:STOP:STEP"),
        ((6, 20), "0", "angles-bins", "leaves no view"),
        ((6, 20), "missing.txt", "angles-bins", "holds no list of angles"),
        ((2, 2, 6, 20), "6", "angles-bins", "two axes of numbers"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    tmp_path: Path, shape: tuple[int, ...], angles: str | None, layout: Layout, said: str
):
    with pytest.raises(NidError, match=said) as caught:
        opened(saved(tmp_path / "s.npy", values(*shape)), angles, layout)
    assert str(caught.value).count("\n") == 0 and isinstance(caught.value, InputError | UsageError)


@pytest.mark.parametrize(
    "spoil,said", [(np.nan, "1 values that are not finite"), (np.inf, "not finite"), (None, "is constant")]
)
def test_values_that_no_rays_have_are_refused_by_slice(tmp_path: Path, spoil: float | None, said: str):
    stack = values(2, 6, 20)
    if spoil is None:
        stack[1] = 3.5
    else:
        stack[1, 2, 3] = spoil
    scan, _ = opened(saved(tmp_path / "s.npy", stack), "6")
    scan.sinogram(0)
    with pytest.raises(InputError, match=rf"s.npy\[1\].*{said}"):
        scan.sinogram(1)


@pytest.mark.parametrize("name,content", [("s.npy", b"no array"), ("s.tif", b"II*\0"), ("s.h5", b"x"), ("s.txt", b"1")])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        opened(tmp_path / name, "6")
