"""Make examples/astronaut.png: the face of NASA's portrait of Eileen Collins, aligned as the faces of `face` are.

    python examples/astronaut.py

The portrait is in the public domain and comes with scikit-image (skimage.data.astronaut). A similarity transform takes
both eyes and the mouth to where they lie in aligned face photos.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.data import astronaut
from skimage.transform import SimilarityTransform, warp

from nidcli.files.images import write_image

SIDE = 128
PORTRAIT_XY = np.array([(202.5, 101.0), (246.5, 103.5), (222.5, 145.0)])  # eyes and mouth, pixels of the portrait
ALIGNED_XY = np.array([(58.0, 57.0), (142.0, 57.0), (100.0, 140.0)]) * SIDE / 200  # in a mean aligned face


def main() -> None:
    to_portrait = SimilarityTransform.from_estimate(ALIGNED_XY, PORTRAIT_XY)
    face = warp(astronaut(), to_portrait, output_shape=(SIDE, SIDE), order=3)
    write_image(Path(__file__).with_name("astronaut.png"), np.clip(face, 0, 1).astype(np.float32), bit_depth=8)


if __name__ == "__main__":
    main()
