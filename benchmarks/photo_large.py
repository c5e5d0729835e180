"""Memory of `nid encode` on a 100-megapixel photo, and how long `nid --help` takes; both as processes of their own.

python -m benchmarks.photo_large [--dict face] [--megapixels 100] [--top-k 32]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from skimage.data import astronaut

from benchmarks.common import clock, table
from nidcli.files.images import write_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="face")
    parser.add_argument("--megapixels", type=int, default=100)
    parser.add_argument("--top-k", type=int, default=32)
    given = parser.parse_args()
    nid = [sys.executable, "-m", "nidcli"]
    helps = []
    for _ in range(5):
        with clock() as seconds:
            subprocess.run([*nid, "--help"], stdout=subprocess.DEVNULL, check=True)
        helps.append(seconds[0])
    side = int((given.megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "large.jpg")
        repeats = -(-side // 512)
        write_image(photo, np.tile(astronaut(), (repeats, repeats, 1))[:side, :side])
        arguments = ["encode", str(photo), "-o", str(Path(folder, "large.nidc")), "--dict", given.dict]
        with clock() as seconds:
            subprocess.run([*nid, *arguments, "--top-k", str(given.top_k)], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    rows = [("what", "ours", "target"), ("nid --help, median of 5", f"{sorted(helps)[2]:.2f} s", "0.25 s")]
    rows.append((f"encode {side} x {side}, peak memory", f"{peak:.2f} GiB in {seconds[0]:.0f} s", "3 GiB"))
    table(rows)


if __name__ == "__main__":
    main()
