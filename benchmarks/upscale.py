"""Held-out faces averaged down from 200 x 200 and enlarged again, against bicubic interpolation.

python -m benchmarks.upscale [--dict face] [--images 200]
"""

from __future__ import annotations

import argparse
from statistics import fmean, median

import numpy as np

from benchmarks.common import clock, faces, table
from nidcli.artifacts import load_model
from nidcli.files.images import resize
from nidcli.restore.photo import upscaled

TARGETS = {2: 42.0, 4: 34.0, 8: 28.0}


def decibels(drawn: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(np.clip(drawn, 0, 1) - truth).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="face")
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    model = load_model(given.dict).model
    rows = [("scale", "ours", "target", "bicubic", "seconds")]
    for scale, target in TARGETS.items():
        ours, peer, seconds = [], [], []
        for truth in faces(given.images):
            small = truth.reshape(200 // scale, scale, 200 // scale, scale, 3).mean((1, 3))
            with clock() as spent:
                large, _ = upscaled(model, small, scale)
            seconds += spent
            ours.append(decibels(large, truth))
            peer.append(decibels(resize(small, 200, 200), truth))
        measured = (f"{fmean(ours):.2f}", f"{target:.0f}", f"{fmean(peer):.2f}", f"{median(seconds):.3f}")
        rows.append((f"x{scale}", *measured))
    table(rows)


if __name__ == "__main__":
    main()
