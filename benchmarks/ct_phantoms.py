"""Random Shepp-Logan phantoms from 128, 16 and 8 views of 128 rays: ours, total variation, and scikit-image.

    python -m benchmarks.ct_phantoms [--dict phantom] [--data FOLDER] [--images 64] [--slow-images 16]

The last 64 phantoms of the training file, which no dictionary learns from. Rays are line sums of the bilinearly
interpolated picture, for every method. Total variation (ours, converged) has the penalty that is best on 8 others, with
and without non-negativity; SART is scikit-image's, three sweeps, on the first `--slow-images`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.common import table
from benchmarks.ct_common import DATA, best_penalty, ours, peer, phantoms, psnr, scanner, total_variation
from nidcli.artifacts import load_model

TARGETS = {128: "46", 16: "37", 8: "33.5"}
PAPER = {128: "37.5", 16: "26.3", 8: "16.8"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="phantom")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--slow-images", type=int, default=16)
    given = parser.parse_args()
    model = load_model(given.dict).model
    others, truth = phantoms(given.data)
    truth = truth[:, : given.images].contiguous()
    rows = [("views", "ours", "target", "TV", "TV, f >= 0", "FBP", "SART", "paper")]
    for views, target in TARGETS.items():
        scan = scanner(128, views, "nid")
        sinogram = scan.forward(truth)
        found = [psnr(ours(model, scan, sinogram, torch.zeros(truth.shape[1])), truth)]
        for non_negative in (False, True):
            penalty = best_penalty(scan, others, 0.0, non_negative)
            found.append(psnr(total_variation(scan, sinogram, penalty, non_negative), truth))
        found.append(psnr(peer("fbp", scan, sinogram), truth))
        slow = given.slow_images
        found.append(psnr(peer("sart", scan, sinogram[:, :slow]), truth[:, :slow]))
        first, *rest = (f"{value:.2f}" for value in found)
        rows.append((str(views), first, target, *rest, PAPER[views]))
        print(rows[-1], flush=True)
    table(rows)


if __name__ == "__main__":
    main()
