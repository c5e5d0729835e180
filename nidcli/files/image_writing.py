"""Photos to files: PNG, JPEG, TIFF, WebP, BMP and NPY by suffix, 8 and 16 bit, whole or not at all."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image as pil

from nidcli.errors import OutputError
from nidcli.files.atomic import replacing
from nidcli.files.pixels import as_float, as_integers, bands

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".npy": "NPY",
}
IMAGE_SUFFIXES = frozenset(FORMATS)
_DEEPEST = {"PNG": 16, "JPEG": 8, "TIFF": 32, "WEBP": 8, "BMP": 8}  # bits that a format can hold
_PNG_LEVEL = 4  # of zlib: half the time of the usual 6 for some 2 % more bytes


def write_image(
    path: Path,
    values: np.ndarray,
    *,
    bit_depth: int | None = None,
    alpha: np.ndarray | None = None,
    exif: bytes = b"",
    icc: bytes = b"",
) -> None:
    """Write a photo in the format of the path's suffix.

    values : (H, W, C) or (H, W), C = 1 or 3, floats in 0...1 (clipped) or uint8 or uint16; alpha : (H, W) alike.
    bit_depth : 8, 16 or 32 (float, TIFF only); by default that of integers, and 8 for floats; reduced to what the
    format holds. NPY keeps `values` as they are, float32 unclipped. JPEG and BMP leave the alpha out; EXIF goes into
    all but BMP, NPY and TIFFs deeper than 8 bits. Raises OutputError for an unknown suffix and for every failure.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise OutputError(f"{path} has no suffix of an image format; choose one of {known}.")
    values = values[:, :, None] if values.ndim == 2 else values
    depth = bit_depth or (8 if values.dtype.kind == "f" else 8 * values.dtype.itemsize)
    with replacing(path) as temporary:
        if kind == "NPY":
            _save_npy(temporary, values, alpha)
            return
        depth = min(depth, _DEEPEST[kind])
        convert = as_float if depth == 32 else lambda array: as_integers(array, depth)
        planes = _joined(convert(values), None if alpha is None or kind in ("JPEG", "BMP") else convert(alpha))
        if depth == 8:
            _save_pillow(path, temporary, kind, planes, exif, icc)
        elif kind == "PNG":
            _save_png16(temporary, planes, exif, icc)
        else:
            _save_tiff(temporary, planes, icc)


def _joined(values: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Pixels and alpha as one (H, W, C) array."""
    return values if alpha is None else np.concatenate([values, alpha[:, :, None]], axis=2)


def _save_npy(temporary: Path, values: np.ndarray, alpha: np.ndarray | None) -> None:
    values = as_float(values) if values.dtype.kind == "f" else values
    if alpha is not None and alpha.dtype != values.dtype:
        alpha = as_float(alpha) if values.dtype.kind == "f" else as_integers(alpha, 8 * values.dtype.itemsize)
    with temporary.open("xb") as file:
        np.save(file, _joined(values, alpha), allow_pickle=False)


def _save_pillow(path: Path, temporary: Path, kind: str, planes: np.ndarray, exif: bytes, icc: bytes) -> None:
    photo = pil.fromarray(np.ascontiguousarray(planes[:, :, 0] if planes.shape[2] == 1 else planes))
    profile = icc or None
    try:
        if kind == "JPEG":
            photo.save(temporary, kind, quality=95, subsampling=0, exif=exif, icc_profile=profile)
        elif kind == "PNG":
            photo.save(temporary, kind, compress_level=_PNG_LEVEL, exif=exif, icc_profile=profile)
        elif kind == "WEBP":
            photo = photo.convert("RGBA" if planes.shape[2] in (2, 4) else "RGB")  # the format has no grey
            photo.save(temporary, kind, quality=95, exif=exif, icc_profile=profile)
        elif kind == "TIFF":
            photo.save(temporary, kind, compression="tiff_adobe_deflate", exif=exif, icc_profile=profile)
        else:
            photo.save(temporary, kind)
    except ValueError as error:  # such as a side beyond the limits of WebP
        raise OutputError(f"{path} cannot be written as {kind}: {error}; choose another format.") from error


def _save_tiff(temporary: Path, planes: np.ndarray, icc: bytes) -> None:
    """16-bit and float TIFF, deflated; the alpha is not premultiplied."""
    channels = planes.shape[2]
    tifffile.imwrite(
        temporary,
        planes[:, :, 0] if channels == 1 else planes,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig=None if channels == 1 else "contig",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        iccprofile=icc or None,
        metadata=None,
    )


def _save_png16(temporary: Path, planes: np.ndarray, exif: bytes, icc: bytes) -> None:
    """16-bit PNG of 1 to 4 channels (ISO/IEC 15948), every row by the filter Sub; Pillow writes 16-bit grey only."""
    height, width, channels = planes.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    deflate = zlib.compressobj(_PNG_LEVEL)
    with temporary.open("xb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)))
        if icc:
            file.write(_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(icc)))
        if exif:
            file.write(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
        for rows in bands(height, width):
            stored = np.ascontiguousarray(planes[rows], dtype=">u2").view(np.uint8).reshape(-1, width, 2 * channels)
            lines = np.empty((len(stored), 1 + 2 * channels * width), np.uint8)
            filtered = stored.copy()
            np.subtract(stored[:, 1:], stored[:, :-1], out=filtered[:, 1:])
            lines[:, 0] = 1
            lines[:, 1:] = filtered.reshape(len(lines), -1)
            file.write(_chunk(b"IDAT", deflate.compress(lines.tobytes())))
        file.write(_chunk(b"IDAT", deflate.flush()))
        file.write(_chunk(b"IEND", b""))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
