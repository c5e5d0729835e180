"""Photos come out of their files upright, whole, at full depth and with their alpha; what is no photo is named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as pil
from PIL import ImageOps

from nidcli.errors import InputError
from nidcli.files.images import read_image, write_image

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
WORDS = RNG.integers(0, 65536, (20, 30, 4), dtype=np.uint16)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The EXIF orientations, by numpy's own words."""
    return {
        1: pixels,
        2: np.fliplr(pixels),
        3: np.rot90(pixels, 2),
        4: np.flipud(pixels),
        5: np.transpose(pixels, (1, 0, 2)),
        6: np.rot90(pixels, -1),
        7: np.rot90(np.transpose(pixels, (1, 0, 2)), 2),
        8: np.rot90(pixels),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_exif_orientation_is_applied_once_and_the_rest_of_exif_is_kept(tmp_path: Path, suffix: str, orientation: int):
    exif = pil.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    path = tmp_path / f"a{suffix}"
    pil.fromarray(BYTES).save(path, exif=exif, lossless=True, quality=95)
    with pil.open(path) as photo:
        expected = np.asarray(ImageOps.exif_transpose(photo))
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, expected)
    if suffix != ".jpg":
        np.testing.assert_array_equal(image.pixels, turned(BYTES, orientation))
    write_image(tmp_path / f"b{suffix}", image.pixels, exif=image.exif)
    with pil.open(tmp_path / f"b{suffix}") as photo:
        assert photo.size == (image.width, image.height)
        assert photo.getexif().get(0x0112, 1) == 1
        assert photo.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_colour_tiff_keeps_every_bit(
    tmp_path: Path, orientation: int, compression: str | None, byteorder: Literal["<", ">"]
):
    tag = (0x0112, "H", 1, orientation, True)
    tifffile.imwrite(
        tmp_path / "a.tif",
        WORDS[..., :3],
        photometric="rgb",
        compression=compression,
        byteorder=byteorder,
        extratags=[tag],
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, turned(WORDS[..., :3], orientation))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])  # OpenCV compresses the TIFF by LZW
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_files_of_another_program_keep_every_bit(tmp_path: Path, suffix: str, channels: int):
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    cv2.imwrite(str(tmp_path / f"a{suffix}"), WORDS[..., order])
    image = read_image(tmp_path / f"a{suffix}")
    assert image.bit_depth == 16
    np.testing.assert_array_equal(image.pixels, WORDS[..., : min(channels, 3)])
    if channels == 4:
        np.testing.assert_array_equal(image.alpha, WORDS[..., 3])


def test_interlaced_16_bit_png_is_read_as_any_other(tmp_path: Path):
    lines = b""
    for left, top, right, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)):
        lines += b"".join(b"\0" + row.astype(">u2").tobytes() for row in WORDS[top::down, left::right, :3])
    lines += b"".join(b"\0" + row.astype(">u2").tobytes() for row in WORDS[1::2, :, :3])
    head = struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, 1)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, WORDS[..., :3])


@pytest.mark.parametrize(
    ("mode", "shape", "alpha"),
    [
        ("1", (20, 30, 1), False),
        ("L", (20, 30, 1), False),
        ("LA", (20, 30, 1), True),
        ("P", (20, 30, 3), False),
        ("RGB", (20, 30, 3), False),
        ("RGBA", (20, 30, 3), True),
        ("CMYK", (20, 30, 3), False),
    ],
)
def test_every_mode_becomes_grey_or_colour_with_its_alpha_apart(
    tmp_path: Path, mode: str, shape: tuple[int, ...], alpha: bool
):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    pil.fromarray(BYTES).convert(mode).save(path)
    image = read_image(path)
    assert (image.pixels.shape, image.alpha is not None, image.bit_depth) == (shape, alpha, 8)
    if mode != "1" and mode != "P":
        expected = np.asarray(pil.fromarray(BYTES).convert(mode).convert("L" if shape[2] == 1 else "RGB"))
        np.testing.assert_array_equal(image.pixels.squeeze(), expected)


def test_a_palette_with_a_transparent_colour_has_an_alpha(tmp_path: Path):
    photo = pil.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2)).convert("P")
    photo.save(tmp_path / "a.png", transparency=0)
    alpha = read_image(tmp_path / "a.png").alpha
    assert alpha is not None
    assert alpha.tolist() == [[0, 255], [255, 255]]


@pytest.mark.parametrize("values", [np.array([[0, 0.5], [1, 0.25]], np.float32), np.array([[[0.1, 0.2, 0.3]]])])
def test_float_arrays_are_read_as_they_are(tmp_path: Path, values: np.ndarray):
    np.save(tmp_path / "a.npy", values)
    image = read_image(tmp_path / "a.npy")
    assert (image.pixels.dtype.name, image.bit_depth) == ("float32", 32)
    np.testing.assert_array_equal(image.pixels.reshape(values.shape), values.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (np.full((4, 4), 200.0), "outside"),
        (np.full((4, 4), np.nan), "outside"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((2, 3, 4, 4), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
    ],
)
def test_an_array_that_is_no_photo_is_refused_by_name(tmp_path: Path, values: np.ndarray, word: str):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=rf"a\.npy.*{word}.*\.$"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".npy"])
@pytest.mark.filterwarnings("ignore")
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str):
    path = tmp_path / f"cut{suffix}"
    write_image(path, BYTES)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"only words\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.npy", "notes.txt"])
def test_a_file_that_is_no_image_is_refused_by_name_whatever_its_suffix(tmp_path: Path, content: bytes, name: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_image(tmp_path / name)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_a_photo_beyond_the_limit_of_pillow_is_read_and_a_bomb_is_not(tmp_path: Path):
    pil.new("1", (20_000, 9_000)).save(tmp_path / "large.png")  # 180 megapixels, where Pillow by itself would raise
    image = read_image(tmp_path / "large.png")
    assert (image.width, image.height) == (20_000, 9_000)
    head = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 30_000, 8, 2, 0, 0, 0)
    small = (tmp_path / "large.png").read_bytes()
    (tmp_path / "bomb.png").write_bytes(small[:12] + head + struct.pack(">I", zlib.crc32(head)) + small[33:])
    with pytest.raises(InputError, match=r"bomb\.png claims 40000 x 30000"):
        read_image(tmp_path / "bomb.png")
