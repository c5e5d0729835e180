"""Make examples/astronaut_inpainted.png, the picture of the README: a damaged photo, restored without a mask.

    python examples/inpainting.py

From left to right: damaged by a patch, a scratch and a line of text; where `nid inpaint` finds the damage; what it
makes of it; Telea's method (2004), which is given the true mask; the photo. The portrait is in the public domain.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from nidcli.artifacts import load_model
from nidcli.files.images import read_image, write_image
from nidcli.restore.photo import restore

HERE = Path(__file__).parent
GAP = 4


def damage(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo with paint on it, and where the paint is."""
    painted, mask = photo.copy(), np.zeros_like(photo)
    for canvas, colours in ((painted, ((40, 200, 120), (250, 250, 250), (250, 220, 30))), (mask, ((255,) * 3,) * 3)):
        cv2.rectangle(canvas, (24, 18), (55, 49), colours[0], -1)
        cv2.line(canvas, (90, 4), (76, 122), colours[1], 2)
        cv2.putText(canvas, "restore", (6, 112), cv2.FONT_HERSHEY_SIMPLEX, 0.9, colours[2], 2, cv2.LINE_8)
    return painted, mask[:, :, 0] > 0


def main() -> None:
    model = load_model("face").model
    photo = read_image(HERE / "astronaut.png").pixels
    painted, hole = damage(photo)
    result = restore(model, painted, None)
    found = np.repeat(result.damaged_HW[:, :, None], 3, 2).astype(np.uint8) * np.uint8(255)
    telea = cv2.inpaint(painted, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    gap = np.full((2 * len(photo), GAP, 3), 255, np.uint8)
    parts = [np.kron(part, np.ones((2, 2, 1), np.uint8)) for part in (painted, found, result.pixels, telea, photo)]
    row = np.concatenate([part for picture in parts for part in (picture, gap)][:-1], axis=1)
    write_image(HERE / "astronaut_inpainted.png", row)


if __name__ == "__main__":
    main()
