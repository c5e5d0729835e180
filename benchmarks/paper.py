"""The paper's tables and figures on the data at hand, every method under the same budget of time.

    python -m benchmarks.paper table1|table2|table3|figure2 --budget SECONDS [--out FOLDER] [--data FOLDER]

table1   faces 128 x 128: FFM, SIREN, Meta, the paper's NID, ours, PCA, scikit-learn
table2   phantoms from 128, 16 and 8 views: FFM, SIREN, Meta, NID, ours, filtered back-projection, SART, total variation
table3   chairs from 500k, 50k and 10k points: SIREN, IGR, DeepSDF, MetaSDF, ConvONet, NID, ours, screened Poisson
figure2  the early steps of a face, side by side

The budget is what each method may learn for, from the collection; and of tables 2 and 3, with --fit, what each may
take for one signal. --moe FILE.nid takes dictionaries that `nid learn-dict --method moe` has learned.
"""

from __future__ import annotations

import argparse
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table1", "table2", "table3", "figure2"])
    parser.add_argument("--budget", type=float, default=60, help="seconds of learning, for each method that learns")
    parser.add_argument("--fit", type=float, default=10, help="seconds for one signal (tables 2 and 3)")
    parser.add_argument("--out", type=Path, default=Path("paper_results"))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--images", type=int, default=20, help="signals to measure on")
    parser.add_argument("--train", type=int, default=500, help="faces to learn from")
    parser.add_argument("--moe", type=Path, action="append", default=[], help="a dictionary of --method moe")
    given = parser.parse_args()
    if given.what in ("table1", "figure2"):
        from benchmarks.paper_images import figure2, table1

        folder = given.data / "faces"
        if given.what == "table1":
            table1(folder, given.out, given.budget, given.images, given.train, given.moe)
        else:
            given.out.mkdir(parents=True, exist_ok=True)
            figure2(folder, given.out, given.budget, given.train, given.moe)
    elif given.what == "table2":
        from benchmarks.paper_ct import table2

        table2(given.data / "ct" / "phantoms", given.out, given.budget, given.fit, given.images)
    else:
        from benchmarks.paper_shapes import table3

        table3(given.data / "meshes", given.out, given.budget, given.fit, given.images)


if __name__ == "__main__":
    main()
