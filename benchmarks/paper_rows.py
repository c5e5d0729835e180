"""Rows of ours for tables 2 and 3, through the command line: None where the command or its dictionary is absent."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nidcli.artifacts import bundled
from nidcli.cli import COMMANDS

CT, SURFACES = ("ct-recon", "phantom"), ("sdf-recon", "chair")


def there(command: str, dictionary: str) -> bool:
    """Whether a command can be run with a dictionary that the package brings."""
    return command in COMMANDS and dictionary in bundled()


def run(arguments: list[str]) -> tuple[dict[str, object], float]:
    """The first item of a command's report, and the seconds that the item took. Raises RuntimeError where it fails."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "nidcli", *arguments, "--json"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nid {arguments[0]}: {done.stderr.strip()}")
    item = json.loads(done.stdout)["items"][0]
    return item, float(item.get("seconds", time.perf_counter() - start))


def ct(sinogram_VB: np.ndarray, degrees_V: np.ndarray, size: int) -> tuple[np.ndarray, float] | None:
    """A slice (size, size) from views as scikit-image makes them, (views, bins), and the seconds."""
    if not there(*CT):
        return None
    with tempfile.TemporaryDirectory() as folder:
        angles, source, result = (Path(folder, name) for name in ("angles.txt", "sinogram.npy", "slice.npy"))
        np.savetxt(angles, degrees_V)
        np.save(source, sinogram_VB.astype(np.float32))
        flags = ["--dict", CT[1], "--angles", str(angles), "--convention", "skimage", "--layout", "angles-bins"]
        _, seconds = run([CT[0], str(source), "-o", str(result), *flags, "--size", str(size)])
        return np.load(result).reshape(size, size), seconds


def surface(cloud: Path, result: Path) -> float | None:
    """A mesh (.ply) of a cloud (.ply with normals); the seconds."""
    if not there(*SURFACES):
        return None
    return run([SURFACES[0], str(cloud), "-o", str(result), "--dict", SURFACES[1], "--normals", "file"])[1]
