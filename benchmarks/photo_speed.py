"""Speed of the photo commands on 128 x 128 faces, dictionary loaded, and of encoding with ever larger dictionaries.

    python -m benchmarks.photo_speed [--dict face] [--faces FOLDER] [--images 200]

Figures: `nid encode --solver gate` over a folder of JPEG files, in images a second: reading, coding, measuring (PSNR
and SSIM) and writing, loading left out as the difference between five times the images and once, medians of five runs
(the paper: 30 on a GPU); `refine --steps 10` in milliseconds an image; `omp` at k = 32 with 1,024 to 16,384 random
experts, as a ratio to the first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from benchmarks.common import FACES, clock, faces, reduced, table
from nidcli.artifacts import load_model
from nidcli.coding import coder, refiner
from nidcli.files.images import write_image
from nidcli.imaging import encode
from nidcli.model import LevelSpec, Model, ModelSpec

COPIES, RUNS = 5, 5


def command(*arguments: str) -> float:
    """Seconds of a `nid` command, by its own report."""
    done = subprocess.run(
        [sys.executable, "-m", "nidcli", *arguments, "--json", "-q"], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout)["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="face")
    parser.add_argument("--faces", type=Path, default=FACES)
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    images = reduced(faces(given.images, folder=given.faces))
    model = load_model(given.dict).model
    rows = [("what", "ours", "target")]
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        few.mkdir()
        many.mkdir()
        for number, image in enumerate(images.numpy()):
            write_image(few / f"{number:04}.jpg", image)
            for copy in range(COPIES):
                write_image(many / f"{copy}{number:04}.jpg", image)
        for k in (32, 128, 256):
            seconds = dict[str, list[float]]()
            for run in range(RUNS):
                for photos in (few, many):
                    codes = Path(folder, f"{photos.name}{k}{run}")
                    spent = command("encode", str(photos), "--dict", given.dict, "--top-k", str(k), "-o", str(codes))
                    seconds.setdefault(photos.name, []).append(spent)
            rate = (COPIES - 1) * len(images) / (median(seconds["many"]) - median(seconds["few"]))
            rows.append((f"encode --solver gate --top-k {k}", f"{rate:.0f} images/s", "300"))
    for k in (32, 128, 256):
        batch = images[:16]
        guess = encode(model, batch, coder(model, "gate", k))
        encode(model, batch, refiner("cg", 10), init=guess)
        with clock() as seconds:
            for _ in range(3):
                encode(model, batch, refiner("cg", 10), init=guess)
        rows.append((f"refine --steps 10, k = {k}", f"{seconds[0] / 3 / len(batch) * 1e3:.1f} ms", "20 ms"))
    first = 0.0
    for experts in (1024, 4096, 16384):
        spec = LevelSpec(basis=0)
        spec = replace(spec, dictionary=replace(spec.dictionary, experts=experts))
        torch.manual_seed(0)
        untrained = Model(ModelSpec(levels=(spec,)))
        code = coder(untrained, "omp", 32, pooled=False)
        encode(untrained, images[:4], code)
        with clock() as seconds:
            encode(untrained, images[:16], code)
        first = first or seconds[0]
        what = f"omp, k = 32, {experts} experts"
        rows.append((what, f"{seconds[0] / 16 * 1e3:.0f} ms, x {seconds[0] / first:.1f}", "x 4 at 16384"))
    table(rows)


if __name__ == "__main__":
    main()
