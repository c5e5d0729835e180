"""Point clouds from files: PLY, XYZ, NPZ, PCD and OBJ, with normals where the file has them.

Coordinates stay in double precision and in the file's own units; nothing is merged or reordered.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nidcli.errors import InputError
from nidcli.files.pcd import read_pcd
from nidcli.files.ply import read_ply_vertices

CLOUDS = frozenset({".ply", ".xyz", ".npz", ".pcd", ".obj"})
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))


@dataclass(frozen=True)
class Cloud:
    """points_N3 : float64, as stored; normals_N3 : of unit length, or None; dropped : rows that held no numbers."""

    points_N3: np.ndarray
    normals_N3: np.ndarray | None = None
    dropped: int = 0

    @property
    def nbytes(self) -> int:
        return self.points_N3.nbytes * (1 if self.normals_N3 is None else 2)


def read_cloud(path: Path) -> Cloud:
    """The cloud of a file. Rows with a NaN or an infinity are dropped and counted.

    Raises InputError, in one sentence, for a file that cannot be read or holds no points.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".ply":
            return _cloud(path, *_split(path, read_ply_vertices(path)))
        if suffix == ".pcd":
            return _cloud(path, *_split(path, read_pcd(path)))
        if suffix == ".xyz":
            return _cloud(path, *_parted(path, _table(path, path.read_bytes().splitlines())))
        if suffix == ".npz":
            return _cloud(path, *_stored(path))
        if suffix == ".obj":
            return _cloud(path, *_wavefront(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path.") from error
    raise InputError(f"{path} is no point cloud that can be read; give a {', '.join(sorted(CLOUDS))} file.")


def _cloud(path: Path, points_N3: np.ndarray, normals_N3: np.ndarray | None) -> Cloud:
    whole = np.isfinite(points_N3).all(1)
    if normals_N3 is not None:
        length = np.linalg.norm(normals_N3, axis=1)
        whole &= np.isfinite(length) & (length > 1e-12)
        if not whole.any() and np.isfinite(points_N3).all(1).any():  # normals that nobody filled in
            return _cloud(path, points_N3, None)
        normals_N3 = normals_N3[whole] / length[whole, None]
    if not whole.any():
        raise InputError(f"{path} holds no points; export it again.")
    return Cloud(points_N3[whole], normals_N3, int((~whole).sum()))


def _split(path: Path, columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    if not {"x", "y", "z"} <= columns.keys():
        raise InputError(f"{path} has no fields x, y and z; export it again.")
    points_N3 = np.stack([columns[axis] for axis in "xyz"], 1)
    for names in _NORMALS:
        if columns.keys() >= set(names):
            return points_N3, np.stack([columns[name] for name in names], 1)
    return points_N3, None


def _parted(path: Path, table: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Columns x y z and, where columns four to six are of unit length, the normal; others are colours and the like."""
    if table.ndim != 2 or table.shape[1] < 3:
        raise InputError(f"{path} does not hold three or more numbers a line; give x y z, and nx ny nz if known.")
    table = table.astype(np.float64)
    if table.shape[1] >= 6:
        length = np.linalg.norm(table[:, 3:6], axis=1)
        known = length[np.isfinite(length)]
        if len(known) and np.mean(np.abs(known - 1) < 0.02) > 0.9:
            return table[:, :3], table[:, 3:6]
    return table[:, :3], None


def _table(path: Path, lines: Iterable[bytes]) -> np.ndarray:
    """Lines of numbers, parted by blanks, commas or semicolons; remarks, headings and a leading count are left out."""
    rows = [line.replace(b",", b" ").replace(b";", b" ").split() for line in lines]
    rows = [row for row in rows if row and not row[0].startswith((b"#", b"//")) and len(row) >= 3]
    if rows and not _is_number(rows[0][0]):
        rows = rows[1:]
    if not rows:
        raise InputError(f"{path} holds no lines of x y z; export it again.")
    columns = min(6, min(map(len, rows)))
    try:
        return np.array([row[:columns] for row in rows], dtype="S32").astype(np.float64)
    except ValueError:
        raise InputError(f"{path} holds lines that are no numbers; give x y z, and nx ny nz if known.") from None


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _stored(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Arrays called points (or vertices, xyz) and normals, or one array with three or six columns."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name.lower(): np.asarray(file[name]) for name in file.files}
    except (ValueError, zipfile.BadZipFile, EOFError):
        raise InputError(f"{path} is not a whole NPZ file of plain arrays; write it again with numpy.savez.") from None
    named = next((arrays[name] for name in ("points", "vertices", "xyz", "pos") if name in arrays), None)
    points = next(iter(arrays.values())) if named is None and len(arrays) == 1 else named
    if points is None or points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in "fiu":
        raise InputError(f"{path} has no array `points` of shape (N, 3); write it with numpy.savez(points=...).")
    normals = arrays.get("normals")
    if normals is None:
        return _parted(path, points)
    if normals.shape != (len(points), 3):
        raise InputError(f"{path} has normals of shape {normals.shape} for {len(points)} points; give as many.")
    return points[:, :3].astype(np.float64), normals.astype(np.float64)


def _wavefront(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    lines = path.read_bytes().splitlines()
    points = _table(path, [line[2:] for line in lines if line.startswith((b"v ", b"v\t"))])[:, :3]
    normals = [line[3:] for line in lines if line.startswith((b"vn ", b"vn\t"))]
    return points, _table(path, normals)[:, :3] if len(normals) == len(points) else None
