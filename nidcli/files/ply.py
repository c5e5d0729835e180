"""PLY files: the vertices with every number they carry, and meshes written in the precision that they need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nidcli.errors import InputError

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class _Element:
    """An element of the header. columns : name and numpy type, the type empty for a list."""

    name: str
    count: int
    columns: tuple[tuple[str, str], ...]


def read_ply_vertices(path: Path) -> dict[str, np.ndarray]:
    """Every scalar property of the vertices, (N,) float64 by its name. Raises InputError for what is no whole PLY."""
    data = path.read_bytes()
    end = data.find(b"end_header", 0, _LONGEST_HEADER)
    if not data.startswith(b"ply") or end < 0:
        raise InputError(f"{path} is not a PLY file; export it again.")
    start = data.find(b"\n", end) + 1
    form, elements = _header(path, data[:end].decode("ascii", "replace"))
    if not elements or elements[0].name != "vertex" or not all(kind for _, kind in elements[0].columns):
        raise InputError(f"{path} does not begin with plain vertices; export it with vertices first.")
    names, count = [name for name, _ in elements[0].columns], elements[0].count
    if form == "ascii":
        table = _numbers(path, data[start:], count, len(names))
        return {name: table[:, i] for i, name in enumerate(names)}
    order = "<" if form == "binary_little_endian" else ">"
    kind = np.dtype([(name, order + kind) for name, kind in elements[0].columns])
    if len(data) - start < count * kind.itemsize:
        raise InputError(f"{path} ends before its {count} vertices do; copy or export it again.")
    rows = np.frombuffer(data, kind, count, start)
    return {name: rows[name].astype(np.float64) for name in names}


def write_ply(path: Path, vertices_V3: np.ndarray, faces_F3: np.ndarray, *, double: bool) -> None:
    """A binary mesh; coordinates in single precision, or in double."""
    kind, name = ("<f8", "double") if double else ("<f4", "float")
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices_V3)}",
        *(f"property {name} {axis}" for axis in "xyz"),
        f"element face {len(faces_F3)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    rows = np.empty(len(faces_F3), np.dtype([("count", "u1"), ("corners", "<i4", (3,))]))
    rows["count"], rows["corners"] = 3, faces_F3
    path.write_bytes("\n".join(header).encode() + vertices_V3.astype(kind).tobytes() + rows.tobytes())


def _header(path: Path, text: str) -> tuple[str, list[_Element]]:
    form, elements = "", list[_Element]()
    for words in (line.split() for line in text.splitlines()):
        if words[:1] == ["format"] and len(words) > 1:
            form = words[1]
        elif words[:1] == ["element"] and len(words) == 3 and words[2].isdigit():
            elements.append(_Element(words[1], int(words[2]), ()))
        elif words[:1] == ["property"] and elements and len(words) >= 3:
            kind = "" if words[1] == "list" else _TYPES.get(words[1], "")
            last = elements[-1]
            elements[-1] = _Element(last.name, last.count, (*last.columns, (words[-1], kind)))
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise InputError(f"{path} is a PLY of format {form or 'unknown'!r}; export it as ascii or binary.")
    return form, elements


def _numbers(path: Path, body: bytes, count: int, columns: int) -> np.ndarray:
    """The first `count` lines as a table."""
    lines = body.split(b"\n", count)[:count]
    try:
        table = np.array(b" ".join(lines).split(), dtype=np.float64).reshape(count, columns)
    except ValueError:
        raise InputError(f"{path} does not hold {count} lines of {columns} numbers; export it again.") from None
    return table
