"""PSNR at k coefficients a cell on held-out faces: ours, and principal components that keep the k largest.

    python -m benchmarks.photo_quality [--dict face] [--faces FOLDER] [--images 200] [--slow-images 40]

128 x 128, 16 x 16 cells, each channel's mean stored apart. "a cell" gives every cell k coefficients; "an image" shares
64 k among the 64 cells of an image, which is what `nid encode --solver omp` does; the peer gets both as well.
The rows at 128 and 256 take the first `--slow-images` of the evenly spread photos.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common import FACES, cell_psnr, cells, faces, mean_psnr, reduced, table
from nidcli.artifacts import load_model
from nidcli.coding import coder, refiner
from nidcli.imaging import encode, render
from nidcli.model import Model


def drawn(model: Model, codes: list, side: int) -> Tensor:
    return torch.stack([render(model, code, side, side) for code in codes])


def components(images_BHWC: Tensor) -> Tensor:
    """Principal components of training cells, largest first."""
    rows = cells(images_BHWC).flatten(0, 1).flatten(1)
    return torch.linalg.eigh((rows.T @ rows).double()).eigenvectors.flip(1).float()


def largest(images_BHWC: Tensor, basis: Tensor, k: int, pooled: bool) -> float:
    """PSNR of the k largest components of each cell, or of 64 k of an image."""
    code = cells(images_BHWC).flatten(2) @ basis
    rows = code.flatten(1) if pooled else code
    kept = k * code.shape[1] if pooled else k
    dropped = rows.scatter(-1, rows.abs().topk(kept, dim=-1).indices, 0.0)
    return cell_psnr(dropped.view_as(code))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="face")
    parser.add_argument("--faces", type=Path, default=FACES)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--slow-images", type=int, default=40)
    given = parser.parse_args()
    model = load_model(given.dict).model
    every = reduced(faces(given.images, folder=given.faces))
    few = reduced(faces(given.slow_images, folder=given.faces))
    basis = components(reduced(faces(400, held_out=False, folder=given.faces)))
    rows = [
        ("k", "ours, a cell", "PCA, a cell", "ours, an image", "PCA, an image", "gate", "gate + 10 steps", "target")
    ]
    targets = {8: "34.5", 16: "38.5", 32: "42", 128: "50; gate 36, refined 45", 256: "57; gate 38, refined 49"}
    for k, target in targets.items():
        images = every if k <= 32 else few
        side = images.shape[1]
        omp = [
            mean_psnr(drawn(model, encode(model, images, coder(model, "omp", k, p)), side), images)
            for p in (False, True)
        ]
        guess = encode(model, images, coder(model, "gate", k))
        better = encode(model, images, refiner("cg", 10), init=guess)
        gate = [mean_psnr(drawn(model, codes, side), images) for codes in (guess, better)]
        peer = [largest(images, basis, k, p) for p in (False, True)]
        figures = (omp[0], peer[0], omp[1], peer[1], *gate)
        rows.append((str(k), *(f"{figure:.2f}" for figure in figures), target))
        print(rows[-1], flush=True)
    table(rows)


if __name__ == "__main__":
    main()
