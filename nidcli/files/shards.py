"""Tar shards of photos, read in place: members are found once, then read by their offset."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from PIL import Image as pil

from nidcli.errors import InputError, NidError
from nidcli.files.exif import exif_of, upright
from nidcli.files.images import read_image

_MODES = {"1": "L", "LA": "L", "La": "L"}  # to what Pillow converts; 16-bit grey stays, all other modes become RGB
_KEPT = ("L", "RGB", "I;16", "I;16L", "I;16B")


class Shard:
    """The photos of one .tar file, in the order of their names. 16-bit colour gives its high bytes."""

    def __init__(self, path: Path, members: list[tuple[str, int, int]]) -> None:
        self.path, self.members = path, members

    def __len__(self) -> int:
        return len(self.members)

    def name(self, index: int) -> str:
        """FILE: member."""
        return f"{self.path}: {self.members[index][0]}"

    def pixels(self, index: int) -> np.ndarray:
        """(H, W, C) of one photo. Raises InputError."""
        try:
            return _decoded(self._bytes(index))
        except Exception as error:  # decoders raise whatever their parsers stumble over
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise InputError(f"{self.name(index)} is damaged or cut short ({reason}); make the shard again.") from error

    def feed(self, update: Callable[[bytes], None]) -> None:
        """What a folder of the same files would hand over."""
        for index in range(len(self)):
            update(hashlib.sha256(self._bytes(index)).digest())

    def _bytes(self, index: int) -> bytes:
        _, offset, size = self.members[index]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)


def open_shards(path: Path, skipped: list[str]) -> Shard:
    """The images among the members; names of others are added to `skipped`. Raises InputError for another file."""
    members = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile() or PurePosixPath(member.name).name.startswith("."):
                    continue
                stream = tar.extractfile(member)
                if stream is not None and identified(stream):
                    members.append((member.name, member.offset_data, member.size))
                else:
                    skipped.append(f"{path}: {member.name}")
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path} is not a plain tar file; make it again, without compression.") from error
    return Shard(path, sorted(members))


def identified(file: Path | IO[bytes]) -> bool:
    """Whether the header of a file is that of an image; TIFFs that Pillow does not know are decoded to find out."""
    try:
        with pil.open(file):
            return True
    except Exception:  # whatever a parser stumbles over
        if not isinstance(file, Path) or file.suffix.lower() not in (".tif", ".tiff"):
            return False
    try:
        return bool(read_image(file).pixels.size)
    except NidError:
        return False


def _decoded(raw: bytes) -> np.ndarray:
    with pil.open(io.BytesIO(raw)) as opened:
        opened.load()
        orientation, _ = exif_of(opened)
        photo = opened if opened.mode in _KEPT else opened.convert(_MODES.get(opened.mode, "RGB"))
        pixels = np.array(photo)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return upright(pixels if pixels.ndim == 3 else pixels[:, :, None], orientation)
