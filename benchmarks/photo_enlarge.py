"""Decoding at 200 x 200 from codes (k = 256) of 128 x 128 photos, against bicubic enlargement, held-out faces.

    python -m benchmarks.photo_enlarge [--dict face] [--faces FOLDER] [--images 40]

Reference: the 200 x 200 originals. `seam` is the energy of the error's horizontal difference across borders of cells,
over that elsewhere: below 1 where borders are no worse than the rest (both samplings meet there, which helps any
method: bicubic, which knows no cells, shows how much).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import FACES, faces, mean_psnr, reduced, table
from nidcli.artifacts import load_model
from nidcli.coding import coder
from nidcli.files.images import resize
from nidcli.imaging import encode, render


def seam(drawn: Tensor, truth: Tensor) -> float:
    """Energy of the horizontal difference of the error at cell borders (every 25 pixels), over its mean."""
    step = (drawn - truth).diff(dim=2).square().mean((0, 1, 3))
    border = torch.arange(len(step)) % 25 == 24
    return float(step[border].mean() / step[~border].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="face")
    parser.add_argument("--faces", type=Path, default=FACES)
    parser.add_argument("--images", type=int, default=40)
    given = parser.parse_args()
    model = load_model(given.dict).model
    photos = faces(given.images, folder=given.faces)
    truth, small = torch.from_numpy(np.stack(photos)), reduced(photos)
    bicubic = torch.from_numpy(np.stack([resize(image, 200, 200) for image in small.numpy()]))
    rows = [("method", "PSNR at 200 x 200", "seam")]
    for name in ("omp", "gate"):
        codes = encode(model, small, coder(model, name, 256))
        ours = torch.stack([render(model, code, 200, 200) for code in codes])
        rows.append((f"ours, {name}, k = 256", f"{mean_psnr(ours, truth):.2f}", f"{seam(ours, truth):.2f}"))
    rows.append(("bicubic", f"{mean_psnr(bicubic, truth):.2f}", f"{seam(bicubic, truth):.2f}"))
    table(rows)


if __name__ == "__main__":
    main()
