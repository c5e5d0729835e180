"""PCD files of the Point Cloud Library, version .7: ascii, binary, and binary_compressed (LZF, Lehmann)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from nidcli.errors import InputError


def read_pcd(path: Path) -> dict[str, np.ndarray]:
    """Every field of one number a point, (N,) float64 by its name. Raises InputError for what is no whole PCD."""
    data = path.read_bytes()
    header, start = _header(path, data)
    try:
        names, sizes = header["FIELDS"], list(map(int, header["SIZE"]))
        counts = list(map(int, header.get("COUNT", ["1"] * len(names))))
        points = int(header["POINTS"][0]) if "POINTS" in header else int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
        kinds = [
            np.dtype(f"<{ {'F': 'f', 'I': 'i', 'U': 'u'}[t] }{s}") for t, s in zip(header["TYPE"], sizes, strict=True)
        ]
        form = header["DATA"][0]
        parts = [(n, k, c) for n, k, c in zip(names, kinds, counts, strict=True)]
    except (KeyError, ValueError, IndexError, TypeError):
        raise InputError(f"{path} has no whole PCD header; export it again.") from None
    try:
        if form == "ascii":
            table = np.array(data[start:].split(), np.float64).reshape(points, sum(counts))
            place = np.cumsum([0, *counts])
            return {name: table[:, place[i]] for i, (name, _, count) in enumerate(parts) if count == 1}
        if form == "binary":
            rows = np.frombuffer(
                data, np.dtype([(f"{i}", k, (c,)) for i, (_, k, c) in enumerate(parts)]), points, start
            )
            return {n: rows[f"{i}"][:, 0].astype(np.float64) for i, (n, _, c) in enumerate(parts) if c == 1}
        if form == "binary_compressed":
            return _columns(_unpacked(data, start), parts, points)
    except (ValueError, struct.error, IndexError):
        raise InputError(f"{path} does not hold the {points} points that its header promises; copy it again.") from None
    raise InputError(f"{path} has data of form {form!r}; export it as ascii, binary or binary_compressed.")


def _header(path: Path, data: bytes) -> tuple[dict[str, list[str]], int]:
    """The words of each line up to DATA, and where the data begin."""
    found, place = dict[str, list[str]](), 0
    while place < min(len(data), 1 << 16):
        end = data.find(b"\n", place)
        end = len(data) if end < 0 else end
        words = data[place:end].decode("ascii", "replace").split()
        place = end + 1
        if words and not words[0].startswith("#"):
            found[words[0]] = words[1:]
        if words[:1] == ["DATA"]:
            return found, place
    raise InputError(f"{path} is not a PCD file; export it again.")


def _columns(data: bytes, parts: list[tuple[str, np.dtype, int]], points: int) -> dict[str, np.ndarray]:
    """Compressed data are stored one field after the other."""
    found, place = dict[str, np.ndarray](), 0
    for name, kind, count in parts:
        column = np.frombuffer(data, kind, points * count, place)
        place += column.nbytes
        if count == 1:
            found[name] = column.astype(np.float64)
    return found


def _unpacked(data: bytes, start: int) -> bytes:
    """LZF: runs of literal bytes, and references back into what is already there."""
    packed, size = struct.unpack_from("<II", data, start)
    source, out, place = data[start + 8 : start + 8 + packed], bytearray(), 0
    if len(source) < packed:
        raise ValueError("the data end early")
    while place < packed:
        control = source[place]
        place += 1
        if control < 32:
            out += source[place : place + control + 1]
            place += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += source[place]
            place += 1
        back = len(out) - ((control & 31) << 8) - source[place] - 1
        place += 1
        if back < 0:
            raise ValueError("a reference before the start")
        for i in range(back, back + length + 2):  # it may overlap what it writes
            out.append(out[i])
    if len(out) != size:
        raise ValueError("the size is another")
    return bytes(out)
