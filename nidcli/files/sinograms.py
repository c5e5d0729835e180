"""Sinograms from files: .npy, .npz (sinogram, angles), TIFF, and HDF5 in the layout of Data Exchange.

A file holds one sinogram or a stack of them, and only the slice that is asked for is read. Data Exchange (De Carlo et
al. 2014) keeps counts (angles, slices, bins) in /exchange/data, with flat and dark fields, which become line integrals
-log((data - dark) / (white - dark)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from nidcli.errors import InputError, NidError

SINOGRAMS = frozenset({".npy", ".npz", ".tif", ".tiff", ".h5", ".hdf5", ".hdf", ".nxs"})
HDF5 = frozenset({".h5", ".hdf5", ".hdf", ".nxs"})
LEAST = 1e-6  # of the flat field: a ray through which less came counts as this


@dataclass(frozen=True, eq=False)
class SinogramFile:
    """A file's sinograms, read one by one.

    count : of slices, 0 for a single sinogram without a stack's axis; shape : (rows, columns) of each as the file has
    it; angles : the file's own, as stored, or None; fixed : the layout is known, rows are angles; read : slice number
    -> (rows, columns) float32.
    """

    path: Path
    count: int
    shape: tuple[int, int]
    angles: np.ndarray | None
    fixed: bool
    read: Callable[[int], np.ndarray]

    @property
    def slices(self) -> int:
        """How many sinograms there are."""
        return max(1, self.count)

    @property
    def nbytes(self) -> int:
        """Of one sinogram, float32."""
        return 4 * self.shape[0] * self.shape[1]


def open_sinograms(path: Path) -> SinogramFile:
    """Look at a file without reading its values. Raises InputError, in one sentence that names it."""
    suffix = path.suffix.lower()
    try:
        if suffix in HDF5:
            return _exchange(path)
        if suffix in (".tif", ".tiff"):
            return _arrays(path, tifffile.memmap(path, mode="r") if _mappable(path) else tifffile.imread(path), None)
        if suffix == ".npz":
            return _npz(path)
        if suffix == ".npy":
            return _arrays(path, np.load(path, mmap_mode="r", allow_pickle=False), None)
    except (NidError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path.") from error
    except Exception as error:  # whatever a parser stumbles over
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{path} is not a sinogram that can be read ({reason}); save it again.") from error
    raise InputError(f"{path} is no sinogram: its suffix is none of {', '.join(sorted(SINOGRAMS))}; convert it.")


def read_angles(path: Path) -> np.ndarray:
    """Angles in degrees from a text file or a .npy, one a view. Raises InputError."""
    try:
        if path.suffix.lower() == ".npy":
            angles = np.load(path, allow_pickle=False)
        else:
            angles = np.loadtxt(path, delimiter="," if "," in path.read_text(encoding="utf-8") else None, ndmin=1)
        angles = np.asarray(angles, np.float64).ravel()
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path} holds no list of angles; write one number in degrees a line.") from error
    if not len(angles) or not np.isfinite(angles).all():
        raise InputError(f"{path} holds no finite angles; write one number in degrees a line.")
    return angles


def _mappable(path: Path) -> bool:
    with tifffile.TiffFile(path) as file:
        return bool(file.series) and file.series[0].dataoffset is not None


def _npz(path: Path) -> SinogramFile:
    with np.load(path, allow_pickle=False) as arrays:
        names = list(arrays.files)
        key = next((name for name in ("sinogram", "sinograms", "data") if name in names), None)
        if key is None:
            rest = [name for name in names if name not in ("angles", "theta")]
            if len(rest) != 1:
                raise InputError(f"{path} holds the arrays {', '.join(names) or 'none'}; call one of them sinogram.")
            key = rest[0]
        angle_key = next((name for name in ("angles", "theta") if name in names), None)
        angles = None if angle_key is None else np.asarray(arrays[angle_key], np.float64).ravel()
        return _arrays(path, arrays[key], angles)


def _arrays(path: Path, array: np.ndarray, angles: np.ndarray | None) -> SinogramFile:
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "buif":
        raise InputError(
            f"{path} is {array.dtype} of the shape {array.shape}; a sinogram has two axes of numbers, a stack three."
        )
    count = len(array) if array.ndim == 3 else 0
    stack = array if array.ndim == 3 else array[None]

    def read(number: int) -> np.ndarray:
        return np.array(stack[number], np.float32)

    return SinogramFile(path, count, (array.shape[-2], array.shape[-1]), angles, False, read)


def _exchange(path: Path) -> SinogramFile:
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path} is HDF5, and h5py is not installed; pip install 'nidcli[ct]'.") from None
    with h5py.File(path, "r") as file:
        if "exchange/data" not in file:
            raise InputError(f"{path} has no /exchange/data; write the layout of Data Exchange.")
        shape, kind = file["exchange/data"].shape, file["exchange/data"].dtype.kind
        theta = np.asarray(file["exchange/theta"], np.float64).ravel() if "exchange/theta" in file else None
        dark, white = (_mean(file, name) for name in ("exchange/data_dark", "exchange/data_white"))
        units = str(file["exchange/theta"].attrs.get("units", "")) if theta is not None else ""
    if len(shape) not in (2, 3) or 0 in shape or kind not in "uif":
        raise InputError(f"{path}: /exchange/data has the shape {shape}; it is (angles, slices, bins).")
    if theta is not None and units.lower().startswith("rad"):
        theta = np.rad2deg(theta)
    for name, field in (("dark", dark), ("white", white)):
        if field is not None and field.shape != tuple(shape[1:]):
            raise InputError(f"{path}: /exchange/data_{name} has the shape {field.shape}, not {tuple(shape[1:])}.")

    def read(number: int) -> np.ndarray:
        # opened for every slice, so that nothing holds the file while a stack is solved
        with h5py.File(path, "r") as file:
            counts = np.asarray(file["exchange/data"][:, number] if len(shape) == 3 else file["exchange/data"])
        values = counts.astype(np.float32)
        if white is None:
            return values
        row = number if len(shape) == 3 else slice(None)
        low = 0.0 if dark is None else dark[row]
        flat = white[row] - low
        if not (flat > 0).all():
            raise InputError(f"{path}: the flat field of slice {number} is not brighter than the dark; check both.")
        integrals: np.ndarray = -np.log(np.maximum((values - low) / flat, LEAST))
        return integrals.astype(np.float32)

    count = shape[1] if len(shape) == 3 else 0
    return SinogramFile(path, count, (shape[0], shape[-1]), theta, True, read)


def _mean(file, name: str) -> np.ndarray | None:  # type: ignore[no-untyped-def]
    """The mean of the exposures of a field (n, slices, bins)."""
    if name not in file:
        return None
    field = np.asarray(file[name], np.float32)
    return field.mean(0) if field.ndim == len(file["exchange/data"].shape) else field
