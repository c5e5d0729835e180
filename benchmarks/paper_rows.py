"""Rows of ours for tables 2 and 3, through the command line: a dictionary learned for so long, and what it recovers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def learned(preset: str, data: Sequence[str], seconds: float, path: Path) -> Path:
    """A dictionary of a preset, from files or folders, after so many seconds; at `path`."""
    listed = "".join(f"{name}\n" for name in data)
    flags = [
        "--preset",
        preset,
        "--files-from",
        "-",
        "--time-limit",
        f"{seconds:g}s",
        "-o",
        str(path),
        "--overwrite",
        "-q",
    ]
    _nid(["learn-dict", *flags], listed)
    return path


def run(arguments: list[str]) -> tuple[dict[str, object], float]:
    """The first item of a command's report, and the seconds that the item took. Raises RuntimeError where it fails."""
    start = time.perf_counter()
    item = json.loads(_nid([*arguments, "--json"]))["items"][0]
    return item, float(item.get("seconds", time.perf_counter() - start))


def ct(dictionary: Path, sinogram_VB: np.ndarray, degrees_V: np.ndarray, size: int) -> np.ndarray:
    """A slice (size, size) from views as scikit-image makes them, (views, bins)."""
    with tempfile.TemporaryDirectory() as folder:
        angles, source, result = (Path(folder, name) for name in ("angles.txt", "sinogram.npy", "slice.npy"))
        np.savetxt(angles, degrees_V)
        np.save(source, sinogram_VB.astype(np.float32))
        flags = ["--dict", str(dictionary), "--angles", str(angles), "--convention", "skimage"]
        run(["ct-recon", str(source), "-o", str(result), *flags, "--layout", "angles-bins", "--size", str(size)])
        return np.load(result).reshape(size, size)


def surface(dictionary: Path, cloud: Path, result: Path) -> None:
    """A mesh (.ply) of a cloud (.ply with normals)."""
    run(["sdf-recon", str(cloud), "-o", str(result), "--dict", str(dictionary), "--normals", "file"])


def _nid(arguments: list[str], given: str | None = None) -> str:
    done = subprocess.run([sys.executable, "-m", "nidcli", *arguments], input=given, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nid {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
