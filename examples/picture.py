"""Make examples/astronaut_codes.png, the picture of the README: one photo, drawn from ever shorter codes.

    python examples/picture.py

From left to right: the photo; its code from the gate, k = 128; from pursuit with k = 16 and k = 8 coefficients a cell;
and a part of the k = 32 code drawn at four times the size, beside bicubic enlargement of the photo.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nidcli.artifacts import load_model
from nidcli.coding import coder
from nidcli.files.images import as_float, read_image, resize, write_image
from nidcli.imaging import encode, render

HERE = Path(__file__).parent
SHOWN = 256  # pixels a side of each picture
GAP = 8


def main() -> None:
    model = load_model("face").model
    photo = as_float(read_image(HERE / "astronaut.png").pixels)
    images_BHWC = torch.from_numpy(photo)[None]
    pictures = [np.kron(photo, np.ones((2, 2, 1), np.float32))]
    for solver, k in (("gate", 128), ("omp", 16), ("omp", 8)):
        (code,) = encode(model, images_BHWC, coder(model, solver, k))
        drawn = render(model, code, 128, 128).clamp(0, 1).numpy()
        pictures.append(np.kron(drawn, np.ones((2, 2, 1), np.float32)))
    (code,) = encode(model, images_BHWC, coder(model, "omp", 32))
    for large in (render(model, code, 512, 512).clamp(0, 1).numpy(), np.clip(resize(photo, 512, 512), 0, 1)):
        pictures.append(large[112 : 112 + SHOWN, 80 : 80 + SHOWN])
    gap = np.ones((SHOWN, GAP, 3), np.float32)
    row = np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)
    write_image(HERE / "astronaut_codes.png", row.astype(np.float32), bit_depth=8)


if __name__ == "__main__":
    main()
