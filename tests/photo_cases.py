"""Photos and the command line, for the tests of the photo commands: `nid` in this process, `face` loaded once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nidcli import artifacts
from nidcli.artifacts import Artifact, load_codes, load_model
from nidcli.codefile import CodeFile
from nidcli.files.images import write_image

Nid = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def face() -> Artifact:
    return load_model("face")


@pytest.fixture(autouse=True)
def _face_is_loaded_once(face: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second less for every command; other dictionaries, and commands in processes of their own, are loaded."""
    load = artifacts.load_model
    monkeypatch.setattr(artifacts, "load_model", lambda name, device: face if name == "face" else load(name, device))


def scene(width: int, height: int, channels: int = 3, white: int = 255) -> np.ndarray:
    """A smooth picture with an edge, another in each channel; no two of its corners are alike."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    layers = [0.2 + 0.3 * x + 0.2 * y**2 + 0.25 * (x + (1 + c) * y > 1) for c in range(channels)]
    return (np.stack(layers, 2) * white + 0.5).astype(np.uint8 if white == 255 else np.uint16)


def photo(path: Path, width: int = 40, height: int = 28) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, scene(width, height))
    return path


def encoded(nid: Nid, path: Path, *flags: object) -> tuple[CodeFile, dict]:
    """The code file of one photo, beside it, and its item of the report."""
    output = path.with_suffix(".nidc")
    code, out, err = nid("encode", path, "-o", output, "--json", *flags)
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    return load_codes(output), item
