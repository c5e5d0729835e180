"""Chest slices of patients that were not learned from, 256 x 256: ours, total variation, and scikit-image.

    nid learn-dict --preset chest --data ../shared/data/ct/chest -o chest.nid
    python -m benchmarks.ct_chest --dict chest.nid [--data FOLDER] [--held-out 14] [--slow-images 4]

Sinograms are scikit-image's radon of slices that are zero outside its circle; values are (HU + 1000) / 2000 in 0 ... 1.
Noise is Gaussian, 1 % of the largest ray. Total variation (ours, converged) has the penalty that is best on four
slices of other patients, with and without non-negativity.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from skimage.transform import radon

from benchmarks.common import table
from benchmarks.ct_common import DATA, best_penalty, chest, noisy, ours, peer, psnr, scanner, total_variation
from nidcli.artifacts import load_model

TARGETS = {(32, 0.0): 0.0, (16, 0.0): 2.0, (8, 0.0): 2.0, (32, 0.01): 1.5, (16, 0.01): 1.5, (8, 0.01): 1.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--held-out", type=int, default=14)
    parser.add_argument("--slow-images", type=int, default=4)
    given = parser.parse_args()
    model = load_model(given.dict).model
    others, truth = chest(given.held_out, given.data)
    rows = [("views", "noise", "ours", "TV", "TV, f >= 0", "ours - TV", "target", "FBP", "SART")]
    for (views, share), target in TARGETS.items():
        scan = scanner(256, views, "skimage")
        pictures = truth.T.reshape(-1, 256, 256).numpy().astype(np.float64)
        rays = np.stack([radon(picture, scan.geometry.angles_V).T.ravel() for picture in pictures], 1)
        sinogram, noise = noisy(torch.from_numpy(rays.astype(np.float32)), share)
        found = psnr(ours(model, scan, sinogram, noise), truth)
        tv = []
        for non_negative in (False, True):
            penalty = best_penalty(scan, others, share, non_negative)
            tv.append(psnr(total_variation(scan, sinogram, penalty, non_negative), truth))
        slow = given.slow_images
        classic = [psnr(peer(kind, scan, sinogram[:, :slow]), truth[:, :slow]) for kind in ("fbp", "sart")]
        figures = [f"{value:.2f}" for value in (found, *tv, found - max(tv))]
        rows.append((str(views), f"{share:.0%}", *figures, f"+{target}", *(f"{value:.2f}" for value in classic)))
        print(rows[-1], flush=True)
    table(rows)


if __name__ == "__main__":
    main()
