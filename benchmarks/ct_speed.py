"""Time of one slice with the dictionary loaded: 128 x 128 from 16 views, 512 x 512 from 60, and the peers.

    python -m benchmarks.ct_speed [--dict phantom] [--repeat 3]

The first slice of a geometry also measures the rays and the experts; of a stack every further one is as the second.
Targets: 1 s at 128 x 128; 20 s and under 3 GiB at 512 x 512, the matrix of the rays included.
"""

from __future__ import annotations

import argparse
import resource

import torch

from benchmarks.common import clock, table
from benchmarks.ct_common import scanner
from nidcli.artifacts import load_model
from nidcli.ct.baselines import classical
from nidcli.ct.reconstruct import Reconstructor, Settings
from nidcli.phantoms import shepp_logan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="phantom")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    model = load_model(given.dict).model
    rows = [("slice", "views", "first", "further", "target", "SART", "TV", "peak memory")]
    for size, views, target in ((128, 16, "1 s"), (512, 60, "20 s, 3 GiB")):
        rays = scanner(size, views, "nid")
        sinogram = rays.forward(torch.from_numpy(shepp_logan(size)).reshape(-1, 1)).view(views, size)
        geometry = rays.geometry
        del rays
        reconstructor = Reconstructor(model, Settings())
        with clock() as first:
            reconstructor.slice(sinogram, geometry)
        further = []
        for _ in range(given.repeat):
            with clock() as seconds:
                reconstructor.slice(sinogram, geometry)
            further += seconds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        peers = []
        for kind in ("sart", "tv"):
            with clock() as seconds:
                classical(kind, reconstructor.scanner(geometry), sinogram, 0.02, True)
            peers += seconds
        times = [f"{value:.2f} s" for value in (first[0], min(further), *peers)]
        rows.append((str(size), str(views), *times[:2], target, *times[2:], f"{peak:.2f} GiB"))
    table(rows)


if __name__ == "__main__":
    main()
