"""Photos from files: JPEG, PNG, TIFF, WebP, BMP and NPY, 8 and 16 bit, grey and colour, with their alpha set apart.

Pixels come as stored (sRGB values), row 0 at the top, with the EXIF orientation applied.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image as pil
from PIL import TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin
from PIL.Image import Image as PilImage

from nidcli.errors import InputError, NidError
from nidcli.files.exif import exif_of, upright
from nidcli.files.image_writing import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from nidcli.files.image_writing import write_image as write_image
from nidcli.files.pixels import as_float as as_float
from nidcli.files.pixels import as_integers as as_integers
from nidcli.files.pixels import bands as bands
from nidcli.files.pixels import resize as resize

pil.preinit()
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)  # Pillow would import them at the first such photo, in a reading thread
pil.MAX_IMAGE_PIXELS = None  # the size is checked here instead, and 100-megapixel photos are welcome
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs is raised as well
_MAX_PIXELS = 1 << 30  # a file that claims more is taken for a bomb
# What Pillow can only give by way of another mode; the colour profile does not fit after a change of colour space.
_CONVERT = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}
_CONVERT_COLOUR = {"CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB"}


@dataclass(frozen=True)
class Image:
    """One photo as its file stores it.

    pixels : (H, W, C) uint8, uint16 or float32, C = 1 (grey) or 3; alpha : (H, W) of the same type, or None;
    format : Pillow's name of the file's format, or "NPY"; bit_depth : 8, 16, or 32 for floats;
    exif, icc : bytes to write again, empty where there are none; the orientation in `exif` is already applied.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    format: str
    bit_depth: int
    exif: bytes = b""
    icc: bytes = b""

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        return int(self.pixels.shape[2])

    @property
    def nbytes(self) -> int:
        return int(self.pixels.nbytes) + (0 if self.alpha is None else int(self.alpha.nbytes))


def read_image(path: Path | str) -> Image:
    """Read a photo. Raises InputError, in one sentence that names the file, for anything that is not a whole one."""
    path = Path(path)
    try:
        return _read_npy(path) if path.suffix.lower() == ".npy" else _read_photo(path)
    except (NidError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, not an image; give the images in it.") from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be opened: permission is denied; change its permissions.") from error
    except Exception as error:  # decoders raise whatever their parsers stumble over: SyntaxError, struct.error ...
        if isinstance(error, UnidentifiedImageError):
            kinds = "JPEG, PNG, TIFF, WebP, BMP or NPY"
            raise InputError(f"{path} is not an image that can be read; give a {kinds} file.") from error
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(f"{path} is damaged or cut short ({reason}); copy it again from its source.") from error


def _read_photo(path: Path) -> Image:
    try:
        photo = pil.open(path)
    except UnidentifiedImageError:
        if path.suffix.lower() not in (".tif", ".tiff"):
            raise
        return _read_tiff(path)
    with photo:
        if photo.width * photo.height > _MAX_PIXELS:
            raise InputError(f"{path} claims {photo.width} x {photo.height} pixels; cut it into parts below 2^30.")
        kind, icc = photo.format or "", photo.info.get("icc_profile") or b""
        pixels = _sixteen_bit(photo, path)
        if pixels is None:
            if photo.mode in _CONVERT_COLOUR:
                icc = b""
            pixels = _eight_bit(photo)
        # After load(): a PNG may carry its EXIF block behind the pixels, and Pillow turns TIFFs itself.
        orientation, exif = exif_of(photo)
        return _split(upright(pixels, orientation), kind, exif, icc)


def _eight_bit(photo: PilImage) -> np.ndarray:
    """(H, W, C) of every mode but 16-bit colour; C counts an alpha channel."""
    if "transparency" in photo.info and photo.mode in ("1", "L", "P", "RGB"):
        photo = photo.convert("LA" if photo.mode in ("1", "L") else "RGBA")
    target = _CONVERT.get(photo.mode) or _CONVERT_COLOUR.get(photo.mode)
    if target:
        photo = photo.convert(target)
    photo.load()
    if photo.mode == "I":  # 32-bit integers hold 16-bit values in practice; anything wider has no known white
        values = np.asarray(photo)
        if values.min() < 0 or values.max() > 65535:
            raise InputError(f"{photo.filename} has 32-bit values; save it as 16-bit.")  # type: ignore[attr-defined]
        return values.astype(np.uint16)[:, :, None]
    return _array(photo)


def _array(photo: PilImage) -> np.ndarray:
    """A photo as a writable (H, W, C) array; a large one by bands, since Pillow's own export holds it three times."""
    parts = list(bands(photo.height, photo.width))
    if len(parts) == 1:
        out = np.array(photo)
        out = out.astype(out.dtype.newbyteorder("="), copy=False)
    else:
        sample = np.asarray(photo.crop((0, 0, 1, 1)))
        out = np.empty((photo.height, photo.width, *sample.shape[2:]), sample.dtype.newbyteorder("="))
        for rows in parts:
            out[rows] = np.asarray(photo.crop((0, rows.start, photo.width, rows.stop)))
    return out[:, :, None] if out.ndim == 2 else out


def _sixteen_bit(photo: PilImage, path: Path) -> np.ndarray | None:
    """(H, W, C) uint16 of a PNG or TIFF with 16-bit colour, or None for other photos.

    Pillow keeps the high bytes only; asked to take the samples for the other byte order it gives the low ones.
    """
    if photo.format not in ("PNG", "TIFF") or photo.mode not in ("RGB", "RGBA") or not photo.tile:  # type: ignore[attr-defined]
        return None
    args = photo.tile[0].args  # type: ignore[attr-defined]
    raw = args if isinstance(args, str) else args[0]
    mode, _, order = str(raw).partition(";16")
    if not order:
        return None
    if mode == "LA":  # grey with alpha has as many bits as 8-bit RGBA, which gives all four bytes at once
        _retile(photo, "RGBA")
        both = _array(photo).astype(np.uint16)
        return both[:, :, 0::2] << 8 | both[:, :, 1::2]
    native = "L" if sys.byteorder == "little" else "B"
    other = "B" if (native if order == "N" else order) == "L" else "L"
    with pil.open(path) as again:
        _retile(again, f"{mode};16{other}")
        low = _array(again)
    photo.load()
    out = _array(photo).astype(np.uint16)
    out <<= 8
    out |= low
    return out


def _retile(photo: PilImage, raw: str) -> None:
    """Have a photo decoded under another raw mode."""
    photo.tile = [  # type: ignore[attr-defined]
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:]))
        for tile in photo.tile  # type: ignore[attr-defined]
    ]


def _read_tiff(path: Path) -> Image:
    """TIFFs that Pillow does not know, such as colour in float."""
    return _split(_checked(path, tifffile.imread(path)), "TIFF")


def _read_npy(path: Path) -> Image:
    return _split(_checked(path, np.load(path, allow_pickle=False)), "NPY")


def _checked(path: Path, values: np.ndarray) -> np.ndarray:
    """An array from a file as (H, W, C) uint8, uint16 or float32, if its layout and its range make a photo."""
    values = values[:, :, None] if values.ndim == 2 else values
    if values.size == 0:
        raise InputError(f"{path} holds no pixels; copy it again from its source.")
    if values.ndim != 3 or not 1 <= values.shape[2] <= 4:
        raise InputError(f"{path} has the shape {values.shape}; an image is (height, width, 1 to 4 channels).")
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        values = values.astype(np.float32, copy=False)
        if not (values.min() >= -0.5 and values.max() <= 1.5):  # also refuses NaN
            raise InputError(f"{path} has floats outside 0...1 or none at all; divide them by the value of white.")
    elif values.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} holds {values.dtype} values; save uint8, uint16, or floats in 0...1.")
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


def _split(pixels: np.ndarray, kind: str, exif: bytes = b"", icc: bytes = b"") -> Image:
    """Set the alpha channel (the second of two, the fourth of four) apart."""
    alpha = None
    if pixels.shape[2] in (2, 4):
        alpha = np.ascontiguousarray(pixels[:, :, -1])
        pixels = np.ascontiguousarray(pixels[:, :, :-1])
    return Image(pixels, alpha, kind, 8 * pixels.dtype.itemsize, exif, icc)
