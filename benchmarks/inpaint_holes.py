"""Holes in held-out faces, mask given and unknown, against Telea, Navier-Stokes and biharmonic filling.

    python -m benchmarks.inpaint_holes [--dict face] [--images 200]

128 x 128; a 36 x 36 hole anywhere: PSNR inside the hole, mean over photos; unknown: the hole is a square of a random
colour, and IoU is that of what was found. Of 50 and 80 % of the pixels missing at random: PSNR of the whole photo.
"""

from __future__ import annotations

import argparse
from statistics import fmean, median

import numpy as np

from benchmarks import restoring as r
from benchmarks.common import clock, table
from nidcli.artifacts import load_model
from nidcli.restore.photo import restore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="face")
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    model = load_model(given.dict).model
    images = r.photos(given.images)
    restore(model, images[0], r.square(0))  # what is measured once for a dictionary

    scores: dict[str, list[float]] = {}
    seconds, seconds_unknown, found = [], [], []
    for i, truth in enumerate(images):
        hole = r.square(i)
        holed = np.where(hole[..., None], np.uint8(128), truth)
        colour = np.random.default_rng(1000 + i).integers(0, 256, 3, np.uint8)
        painted = np.where(hole[..., None], colour, truth)
        with clock() as spent:
            ours = restore(model, holed, hole).pixels
        seconds += spent
        with clock() as spent:
            unknown = restore(model, painted, None)
        seconds_unknown += spent
        found.append(r.overlap(unknown.damaged_HW, hole))
        results = {"ours": ours, "ours, unknown": unknown.pixels, "Telea": r.telea(holed, hole)}
        results |= {"Navier-Stokes": r.navier_stokes(holed, hole), "biharmonic": r.biharmonic(holed, hole)}
        for name, result in results.items():
            scores.setdefault(name, []).append(r.decibels(result, truth, hole))
    rows = [("36 x 36 hole", "PSNR inside", "target")]
    targets = {"ours": "23.5", "ours, unknown": "within 0.5 of ours"}
    rows += [(name, f"{fmean(values):.2f}", targets.get(name, "")) for name, values in scores.items()]
    table(rows)
    print(f"IoU of what was found: mean {fmean(found):.3f}, median {median(found):.3f} (target 0.9)")
    print(f"seconds a photo: mask given {median(seconds):.3f}, unknown {median(seconds_unknown):.3f} (target 0.3)")

    rows = [("missing at random", "ours", "biharmonic", "gain", "target")]
    for share in (0.5, 0.8):
        ours, peer = [], []
        for i, truth in enumerate(images[:: max(1, len(images) // 40)]):
            hole = r.missing(i, share)
            holed = np.where(hole[..., None], np.uint8(0), truth)
            ours.append(r.decibels(restore(model, holed, hole).pixels, truth))
            peer.append(r.decibels(r.biharmonic(holed, hole), truth))
        gain = fmean(ours) - fmean(peer)
        rows.append((f"{share:.0%}", f"{fmean(ours):.2f}", f"{fmean(peer):.2f}", f"{gain:+.2f}", "+2"))
    table(rows)


if __name__ == "__main__":
    main()
