"""What is written is what is read again, and nothing is left of what cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as pil

from nidcli.errors import OutputError
from nidcli.files.atomic import disk_is_full, make_folder, replacing
from nidcli.files.images import as_float, as_integers, read_image, resize, write_image

RNG = np.random.default_rng(1)


@given(
    st.sampled_from([".png", ".tif", ".npy"]),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_lossless_formats_give_back_every_value_and_the_alpha(
    tmp_path: Path, suffix: str, channels: int, with_alpha: bool, kind: type, height: int, width: int
):
    pixels = RNG.integers(0, np.iinfo(kind).max + 1, (height, width, channels), dtype=kind)
    alpha = RNG.integers(0, np.iinfo(kind).max + 1, (height, width), dtype=kind) if with_alpha else None
    write_image(tmp_path / f"a{suffix}", pixels, alpha=alpha)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.bit_depth == 8 * np.dtype(kind).itemsize
    np.testing.assert_array_equal(image.pixels, pixels)
    assert (image.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(image.alpha, alpha)


@pytest.mark.parametrize(("kind", "depth"), [(np.uint8, 8), (np.uint16, 16)])
def test_integers_survive_the_way_through_floats_and_floats_stay_in_0_1(kind: type, depth: int):
    values: np.ndarray = np.arange(np.iinfo(kind).max + 1, dtype=kind).reshape(-1, 64)
    floats = as_float(values)
    assert floats.dtype == np.float32
    assert (floats.min(), floats.max()) == (0, 1)
    np.testing.assert_array_equal(as_integers(floats, depth), values)


def test_floats_are_clipped_and_rounded_to_the_nearest():
    values = np.array([[-0.2, 0.4999 / 255, 0.5001 / 255, 1.7]], np.float32)
    assert as_integers(values, 8).tolist() == [[0, 0, 1, 255]]


def test_8_bit_values_widen_to_the_whole_range_of_16():
    assert as_integers(np.array([[0, 1, 255]], np.uint8), 16).tolist() == [[0, 257, 65535]]


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_formats_of_8_bits_take_16_bit_values(tmp_path: Path, suffix: str):
    ramp = np.linspace(0, 65535, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)
    write_image(tmp_path / f"a{suffix}", ramp)
    assert np.abs(as_float(read_image(tmp_path / f"a{suffix}").pixels) - as_float(ramp)).max() < 0.05


def test_float_tiff_and_npy_keep_floats(tmp_path: Path):
    values = RNG.random((9, 7, 3), dtype=np.float32)
    write_image(tmp_path / "a.tif", values, bit_depth=32)
    write_image(tmp_path / "a.npy", values + 0.25)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, values)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy").pixels, values + np.float32(0.25))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_the_colour_profile_is_kept(tmp_path: Path, suffix: str, depth: int):
    profile = b"profile" * 30
    write_image(tmp_path / f"a{suffix}", RNG.random((8, 8, 3)), bit_depth=depth, icc=profile)
    assert read_image(tmp_path / f"a{suffix}").icc == profile


def test_16_bit_png_keeps_exif(tmp_path: Path):
    exif = pil.Exif()
    exif[0x010F] = "Maker"
    write_image(tmp_path / "a.png", RNG.random((8, 8, 3)), bit_depth=16, exif=exif.tobytes())
    with pil.open(tmp_path / "a.png") as photo:
        assert photo.getexif()[0x010F] == "Maker"


def test_resizing_keeps_constants_and_means_and_does_not_round():
    image = RNG.random((64, 48, 3), dtype=np.float32)
    small = resize(image, 12, 16)
    assert small.shape == (16, 12, 3)
    assert abs(small.mean() - image.mean()) < 0.01
    assert np.abs(resize(np.full((9, 9, 1), 0.3, np.float32), 31, 17) - 0.3).max() < 1e-6
    assert len(np.unique(small)) > 500  # 8-bit values would be 256 at most


def test_shrinking_averages_instead_of_picking_pixels():
    board = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)[:, :, None]
    assert np.abs(resize(board, 8, 8)[2:-2, 2:-2] - 0.5).max() < 0.02


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path):
    with pytest.raises(OutputError, match=r"a\.gif .*\.png"):
        write_image(tmp_path / "a.gif", np.zeros((2, 2, 3)))


def test_a_path_below_a_regular_file_is_an_output_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_image(tmp_path / "file" / "a.png", np.zeros((2, 2, 3)))
    with pytest.raises(OutputError, match="cannot be written"):
        make_folder(tmp_path / "file" / "folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_an_output_error(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission"):
        write_image(tmp_path / "a.png", np.zeros((2, 2, 3)))
    with pytest.raises(OutputError, match="permission"):
        make_folder(tmp_path, probe=True)


def test_a_side_beyond_the_format_is_an_output_error_that_leaves_nothing(tmp_path: Path):
    with pytest.raises(OutputError, match=r"a\.webp"):
        write_image(tmp_path / "a.webp", np.zeros((1, 17_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [ValueError("any"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_failed_write_leaves_the_older_file_and_no_other(tmp_path: Path, failure: BaseException):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def attempt() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(OutputError if isinstance(failure, OSError) else type(failure)) as caught:
        attempt()
    assert disk_is_full(caught.value) == isinstance(failure, OSError)
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path):
    (tmp_path / "plain").write_text("")
    write_image(tmp_path / "a.png", np.zeros((2, 2, 3)))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
