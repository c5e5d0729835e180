"""The bundled dictionary keeps its quality on held-out faces: floors in golden/face.json, measured minus 0.3 dB.

python tests/test_golden.py        writes the floors again, after a dictionary was learned anew
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent
if str(REPOSITORY) not in sys.path:  # for the benchmarks, whose measure of quality this is
    sys.path.append(str(REPOSITORY))

from benchmarks.common import FACES, HELD_OUT, mean_psnr, reduced  # noqa: E402
from nidcli.artifacts import bundled, load_model  # noqa: E402
from nidcli.codes import ImageCode  # noqa: E402
from nidcli.coding import SolverName, coder, refiner  # noqa: E402
from nidcli.files.images import as_float, read_image, resize  # noqa: E402
from nidcli.imaging import encode, render_all  # noqa: E402
from nidcli.model import Model  # noqa: E402

FLOORS = Path(__file__).parent / "golden" / "face.json"
MARGIN = 0.3  # dB
SIDE, LARGE = 128, 200
CODERS: dict[str, tuple[SolverName, int]] = {
    "gate 32": ("gate", 32),
    "gate 128": ("gate", 128),
    "omp 8": ("omp", 8),
    "omp 16": ("omp", 16),
    "omp 32": ("omp", 32),
}

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary"),
    pytest.mark.skipif(not FACES.is_dir(), reason="no ../shared/data/faces beside the repository"),
]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("face").model


@pytest.fixture(scope="module")
def photos() -> list:
    return held_out()


@pytest.fixture(scope="module")
def floors() -> dict[str, float]:
    return json.loads(FLOORS.read_text())


def held_out() -> list:
    """Every 33rd of the faces that the dictionary never saw, 200 x 200 floats."""
    paths = sorted(FACES.glob("*.jpg"))[-HELD_OUT:]
    return [as_float(read_image(path).pixels) for path in paths[::33][:6]]


def coded(model: Model, images: Tensor, name: str) -> list[ImageCode]:
    if name == "gate 32, refined":
        return encode(model, images, refiner("cg", 10), init=coded(model, images, "gate 32"))
    solver, k = CODERS[name]
    codes = encode(model, images, coder(model, solver, k))
    cells = (SIDE // 16) ** 2
    assert all(code.coefficients <= (k + 3) * cells for code in codes)
    return codes


def quality(model: Model, photos: list, name: str) -> float:
    images = reduced(photos, SIDE)
    return mean_psnr(render_all(model, coded(model, images, name), SIDE, SIDE), images)


def enlarged(model: Model, photos: list) -> tuple[float, float]:
    """PSNR at 200 x 200, of codes of 128 x 128 and of bicubic enlargement."""
    truth, small = reduced(photos, LARGE), reduced(photos, SIDE)
    codes = encode(model, small, coder(model, "gate", 256))
    bicubic = torch.stack([torch.from_numpy(resize(image, LARGE, LARGE)) for image in small.numpy()])
    return mean_psnr(render_all(model, codes, LARGE, LARGE), truth), mean_psnr(bicubic, truth)


NAMES = [*CODERS, "gate 32, refined"]


@pytest.mark.parametrize("name", NAMES)
def test_held_out_faces_are_coded_no_worse_than_before(model: Model, photos: list, floors: dict[str, float], name: str):
    assert quality(model, photos, name) >= floors[name]


def test_a_code_drawn_larger_is_no_worse_than_bicubic_enlargement(model: Model, photos: list):
    ours, bicubic = enlarged(model, photos)
    assert ours >= bicubic


if __name__ == "__main__":
    face, faces = load_model("face").model, held_out()
    measured = {name: round(quality(face, faces, name) - MARGIN, 2) for name in NAMES}
    FLOORS.parent.mkdir(exist_ok=True)
    FLOORS.write_text(json.dumps(measured, indent=2) + "\n")
    print(FLOORS.read_text(), enlarged(face, faces))
