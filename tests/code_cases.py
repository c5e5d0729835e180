"""Codes of photos, for the tests of refine and decode."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from photo_cases import Nid

from nidcli.files.images import as_float, read_image, write_image


@pytest.fixture(scope="module")
def astronaut(repository: Path) -> np.ndarray:
    """(128, 128, 3) floats of a real photo."""
    return as_float(read_image(repository / "examples" / "astronaut.png").pixels)


def items(result: tuple[int, str, str], status: int = 0) -> dict[str, dict]:
    """Items of a --json report by the names of their inputs."""
    code, out, err = result
    assert code == status, err
    return {Path(item["input"]).name: item for item in json.loads(out)["items"]}


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    error = as_float(image).clip(0, 1).astype(float) - as_float(truth)
    return float(-10 * np.log10(np.mean(error**2)))


@pytest.fixture
def coded(nid: Nid, tmp_path: Path, astronaut: np.ndarray) -> Path:
    """photos/ and codes/ of five photos of several sizes and kinds."""
    photos = tmp_path / "photos"
    photos.mkdir()
    write_image(photos / "wide.png", astronaut[30:67, :101])
    write_image(photos / "tall.jpg", astronaut[:120, 40:89])
    write_image(photos / "grey.png", astronaut[:40, 20:80, :1])
    write_image(photos / "deep.png", astronaut[60:100, 20:80], bit_depth=16)
    write_image(photos / "float.npy", astronaut[60:100, 50:110])
    items(nid("encode", photos, "-o", tmp_path / "codes", "--json"))
    return tmp_path


# Refine
