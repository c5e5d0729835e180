"""Sealed safetensors files: what `.nid` and `.nidc` have in common.

A file is eight bytes of header length, a JSON header, and the tensors, as the safetensors format says; any reader of
that format opens it. The header's metadata has one key `nid`, whose text is one JSON document with sorted keys:

    file            "dictionary" or "codes"
    format          [major, minor]; a reader refuses a newer major, a newer minor only adds keys
    sha256_tensors  of the bytes after the header
    sha256_header   of all bytes before them, with these 64 digits as zeros

Together the two sums cover every byte. safetensors itself has no checksum, and a flipped bit would load silently.
Reading runs no code; writing goes to a temporary name in the same folder, which is then renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.numpy

from nidcli.errors import ArtifactError, InputError
from nidcli.files.atomic import replacing

FORMAT = (1, 0)
HEADER_LIMIT = 100_000_000  # bytes; safetensors' own limit
_ZEROS = "0" * 64
# the document lies as a JSON text inside JSON, so its quotes are escaped once; a user's text cannot look like this
_SEAL = re.compile(rb'\\"sha256_header\\":\\"([0-9a-f]{64})\\"')
_SUM = re.compile(rb'\\"sha256_tensors\\":\\"([0-9a-f]{64})\\"')
_MEANING = {"dictionary": "a dictionary (.nid)", "codes": "a code file (.nidc)"}

Kind = Literal["dictionary", "codes"]


@dataclass(frozen=True)
class Sealed:
    """What a file holds, with its sums checked. tensors : numpy, little-endian; sha256 : of all tensors' bytes."""

    document: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]
    sha256: str
    size: int  # bytes of the whole file
    newer: bool  # a newer minor format: keys may be unknown


def write_sealed(path: Path | str, file: Kind, document: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """Write one file and return the sha256 of its tensors.

    document : plain values for JSON, the keys above are added; tensors : contiguous arrays. The bytes depend on
    nothing else. Raises OutputError.
    """
    sums = {"sha256_header": _ZEROS, "sha256_tensors": _ZEROS}
    text = json.dumps(
        {**document, "file": file, "format": list(FORMAT), **sums},
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    )
    raw = safetensors.numpy.save(dict(tensors), {"nid": text})
    start = 8 + int.from_bytes(raw[:8], "little")
    header, payload = bytearray(raw[:start]), memoryview(raw)[start:]
    sha256 = hashlib.sha256(payload).hexdigest()
    _fill(header, _SUM, sha256)
    _fill(header, _SEAL, hashlib.sha256(header).hexdigest())
    with replacing(Path(path)) as temporary, open(temporary, "xb") as stream:
        stream.writelines([header, payload])
    return sha256


def read_sealed(path: Path | str, file: Kind) -> Sealed:
    """Read a file of that kind, every byte checked.

    Raises InputError where there is no readable file, ArtifactError where it is foreign, damaged, of the other kind,
    or of a newer format.
    """
    what = _MEANING[file]
    foreign = ArtifactError(f"{path} is damaged or is not {what} of nidcli; make or fetch it again.")
    damaged = ArtifactError(f"{path} is damaged (its checksum does not fit); make or fetch it again.")
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = 8 + int.from_bytes(stream.read(8), "little")
            if not 8 < start <= min(size, HEADER_LIMIT):
                raise foreign
            header = stream.read(start - 8)
            document = _document(header)
            if document is None:
                raise foreign
            newer = _newer(path, document)
            stream.seek(0)
            raw = stream.read()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except OSError as wrong:
        raise InputError(f"{path} cannot be read: {wrong.strerror or wrong}.") from None

    blank = bytearray(raw[:start])
    seal = _fill(blank, _SEAL, _ZEROS)
    if seal != hashlib.sha256(blank).hexdigest():
        raise damaged
    payload = memoryview(raw)[start:]
    sha256 = hashlib.sha256(payload).hexdigest()
    if sha256 != document.get("sha256_tensors"):
        raise damaged
    if document.get("file") != file:
        raise ArtifactError(f"{path} is {_MEANING.get(document.get('file', ''), 'another file')}, not {what}.")
    try:
        tensors = safetensors.numpy.load(raw)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError):
        raise foreign from None
    return Sealed(document, tensors, sha256, size, newer)


def _fill(header: bytearray, pattern: re.Pattern[bytes], digits: str) -> str:
    """Overwrite the one sum that the pattern finds; its old digits ("" where there is not exactly one)."""
    found = list(pattern.finditer(header))
    if len(found) != 1:
        return ""
    start, end = found[0].span(1)
    old = bytes(header[start:end]).decode()
    header[start:end] = digits.encode()
    return old


def _document(header: bytes) -> Mapping[str, Any] | None:
    """The document inside a safetensors header, None if there is none."""
    try:
        document = json.loads(json.loads(header)["__metadata__"]["nid"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _newer(path: Path | str, document: Mapping[str, Any]) -> bool:
    """Whether the minor format is newer than ours; raises ArtifactError if the major one is."""
    match document.get("format"):
        case [int(major), int(minor)] if major == FORMAT[0]:
            return minor > FORMAT[1]
        case [int(major), int(minor)] if major > FORMAT[0]:
            ours = f"this nidcli reads format {FORMAT[0]}"
            raise ArtifactError(f"{path} has the newer format {major}.{minor} and {ours}; update nidcli.")
    raise ArtifactError(f"{path} is damaged (it names no known format); make or fetch it again.")
