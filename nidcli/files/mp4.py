"""MP4 files (ISO 14496-12) with AV1 video: samples in, each with its time, so that any frame rate is kept.

The samples come from AV1 image sequences, which are ISO files themselves: `samples_of` takes them apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

TIMESCALE = 90_000  # ticks a second: the usual one of video, which holds 24, 25, 29.97 and 30 frames a second exactly
_UNITY = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True)
class Coded:
    """Coded frames of an AV1 image sequence. setup : the boxes that a decoder needs before them (av1C, colr)."""

    samples: tuple[bytes, ...]
    setup: bytes


def samples_of(avif: bytes) -> Coded:
    """The frames of an AVIF image sequence. Raises ValueError if it is none."""
    table = _find(avif, b"moov", b"trak", b"mdia", b"minf", b"stbl")
    sizes_box, offsets_box, runs_box = (_find(table, name) for name in (b"stsz", b"stco", b"stsc"))
    fixed, count = struct.unpack(">II", sizes_box[4:12])
    sizes = [fixed] * count if fixed else list(struct.unpack(f">{count}I", sizes_box[12 : 12 + 4 * count]))
    (chunks,) = struct.unpack(">I", offsets_box[4:8])
    offsets = struct.unpack(f">{chunks}I", offsets_box[8 : 8 + 4 * chunks])
    (rows,) = struct.unpack(">I", runs_box[4:8])
    runs = [struct.unpack(">III", runs_box[8 + 12 * i : 20 + 12 * i]) for i in range(rows)]
    samples: list[bytes] = []
    for chunk, offset in enumerate(offsets, 1):
        held = next(per for first, per, _ in reversed(runs) if first <= chunk)
        for size in sizes[len(samples) : len(samples) + held]:
            samples.append(avif[offset : offset + size])
            offset += size
    entry = _find(table, b"stsd")[8:]  # one sample entry: its header, 78 bytes about the picture, then boxes
    inner = dict(_boxes(entry[8 + 78 :]))
    setup = b"".join(_box(name, inner[name]) for name in (b"av1C", b"colr") if name in inner)
    if len(samples) != count or b"av1C" not in inner:
        raise ValueError("not an AV1 image sequence")
    return Coded(tuple(samples), setup)


class Mp4:
    """A file that is being written: samples first, the index at the end, when all times are known."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._file: BinaryIO = path.open("wb")
        self._file.write(_box(b"ftyp", b"isom\0\0\2\0isomiso2av01mp41"))
        self._start = self._file.tell()
        self._file.write(struct.pack(">I4sQ", 1, b"mdat", 0))  # its length follows
        self._sizes: list[int] = []
        self._ticks: list[int] = []
        self._keys: list[int] = []
        self._setup = b""

    def add(self, sequence: Coded, seconds: Sequence[float]) -> None:
        """Coded frames, of which the first needs no other, and the time of each."""
        self._setup = self._setup or sequence.setup
        self._keys.append(len(self._sizes) + 1)
        for sample, when in zip(sequence.samples, seconds, strict=True):
            self._file.write(sample)
            self._sizes.append(len(sample))
            self._ticks.append(round(when * TIMESCALE))

    def close(self, last: float) -> None:
        """Write the index. last : seconds that the last frame is shown."""
        end = self._file.tell()
        if self._sizes:
            self._file.write(self._index(max(1, round(last * TIMESCALE))))
        self._file.seek(self._start)
        self._file.write(struct.pack(">I4sQ", 1, b"mdat", end - self._start))
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _index(self, last: int) -> bytes:
        deltas = [max(1, b - a) for a, b in zip(self._ticks, self._ticks[1:], strict=False)] + [last]
        total = sum(deltas)
        table = _box(
            b"stbl",
            _full(b"stsd", struct.pack(">I", 1) + self._entry()),
            _full(b"stts", _rows(_runs(deltas), ">II")),
            _full(b"stss", _rows([(key,) for key in self._keys], ">I")),
            _full(b"stsc", _rows([(1, len(self._sizes), 1)], ">III")),
            _full(
                b"stsz", struct.pack(">II", 0, len(self._sizes)) + struct.pack(f">{len(self._sizes)}I", *self._sizes)
            ),
            _full(b"co64", struct.pack(">IQ", 1, self._start + 16)),
        )
        reference = _box(b"dinf", _full(b"dref", struct.pack(">I", 1) + _full(b"url ", b"", flags=1)))
        information = _box(b"minf", _full(b"vmhd", bytes(8), flags=1), reference, table)
        handler = _full(b"hdlr", struct.pack(">I4s12x", 0, b"vide") + b"video\0")
        clock = struct.pack(">QQIQHH", 0, 0, TIMESCALE, total, 0x55C4, 0)  # language undetermined
        media = _box(b"mdia", _full(b"mdhd", clock, version=1), handler, information)
        shape = struct.pack(">II", self.width << 16, self.height << 16)
        track = struct.pack(">QQIIQ", 0, 0, 1, 0, total) + bytes(16) + _UNITY + shape
        movie = struct.pack(">QQIQ", 0, 0, TIMESCALE, total) + struct.pack(">IH10x", 0x10000, 0x100)
        header = _full(b"mvhd", movie + _UNITY + bytes(24) + struct.pack(">I", 2), version=1)
        return _box(b"moov", header, _box(b"trak", _full(b"tkhd", track, version=1, flags=3), media))

    def _entry(self) -> bytes:
        """The sample entry: 72 dots an inch, one frame a sample, 24 bits."""
        size = struct.pack(">HH", self.width, self.height)
        about = bytes(6) + struct.pack(">H", 1) + bytes(16) + size + struct.pack(">III", 0x480000, 0x480000, 0)
        return _box(b"av01", about + struct.pack(">H32sHh", 1, b"", 24, -1), self._setup)


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """(count, value) of equal neighbours."""
    runs: list[tuple[int, int]] = []
    for value in values:
        count = runs.pop()[0] if runs and runs[-1][1] == value else 0
        runs.append((count + 1, value))
    return runs


def _rows(rows: Sequence[tuple[int, ...]], form: str) -> bytes:
    return struct.pack(">I", len(rows)) + b"".join(struct.pack(form, *row) for row in rows)


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def _full(name: bytes, body: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), body)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of the boxes that lie one after another in some bytes."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        head = 8
        if size == 1:
            (size,) = struct.unpack(">Q", data[at + 8 : at + 16])
            head = 16
        size = size or len(data) - at
        yield name, data[at + head : at + size]
        at += max(size, head)


def _find(data: bytes, *path: bytes) -> bytes:
    """The body of a box inside boxes. Raises ValueError if it is not there."""
    for name in path:
        body = next((body for found, body in _boxes(data) if found == name), None)
        if body is None:
            raise ValueError("not an AV1 image sequence")
        data = body
    return data
