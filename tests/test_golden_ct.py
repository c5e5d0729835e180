"""The bundled dictionary of heads keeps its quality on held-out phantoms, and is better than total variation alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import shepp_logan_phantom
from skimage.transform import resize

REPOSITORY = Path(__file__).resolve().parent.parent
if str(REPOSITORY) not in sys.path:  # for the benchmarks, whose measure of quality this is
    sys.path.append(str(REPOSITORY))

from benchmarks.ct_common import DATA, ours, phantoms, psnr, scanner, total_variation  # noqa: E402
from nidcli.artifacts import bundled, load_model  # noqa: E402
from nidcli.coding import coder  # noqa: E402
from nidcli.imaging import encode, render  # noqa: E402

FLOORS = json.loads((Path(__file__).parent / "golden" / "phantom.json").read_text())

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("phantom" not in bundled(), reason="no bundled dictionary"),
    pytest.mark.skipif(not (DATA / "phantoms").is_dir(), reason="no ../shared/data/ct beside the repository"),
]


@pytest.mark.parametrize("views", [8, 16])
def test_slices_from_few_views_keep_their_quality(views: int):
    _, truth = phantoms()
    truth = truth[:, ::16].contiguous()
    scan = scanner(128, views, "nid")
    sinogram = scan.forward(truth)
    found = psnr(ours(load_model("phantom").model, scan, sinogram, torch.zeros(truth.shape[1])), truth)
    assert found >= FLOORS[f"{views} views"]
    assert found > psnr(total_variation(scan, sinogram, 0.01, True), truth)


@pytest.mark.parametrize(("size", "views"), [(160, 20), (160, 40), (128, 32)])
def test_soft_edges_are_no_worse_than_with_total_variation_alone(size: int, views: int):
    head = resize(shepp_logan_phantom(), (size, size), anti_aliasing=True).astype(np.float32)
    truth = torch.from_numpy(head).reshape(-1, 1)
    scan = scanner(size, views, "skimage")
    sinogram = scan.forward(truth)
    best = max(psnr(total_variation(scan, sinogram, penalty, True), truth) for penalty in (0.001, 0.003, 0.02))
    assert psnr(ours(load_model("phantom").model, scan, sinogram, torch.zeros(1)), truth) > best


def test_a_code_for_every_cell_draws_any_slice_so_that_the_encoders_picture_is_one():
    """The encoder answers in pixels: the constants and experts of the finest cells are another basis of the same."""
    _, truth = phantoms()
    model, images = load_model("phantom").model, truth[:, :3].T.reshape(3, 128, 128, 1).contiguous()
    every = coder(model, "omp", model.level(-1).spec.orthonormal)
    drawn = torch.stack([render(model, code, 128, 128) for code in encode(model, images, every)])
    assert float((drawn - images).abs().max()) < 1e-4
