"""The chairs: which are held out, and which the bundled dictionary may learn from.

    python -m benchmarks.chairs [--credits]      the files that `chair` is learned from, or whose they are

Every seventh by name, from the first, is held out of learning; of the others those under CC0 or CC BY are learned from.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

MESHES = Path(__file__).resolve().parents[2] / "shared" / "data" / "meshes"


@dataclass(frozen=True)
class Chair:
    """A mesh file and its line of index.csv."""

    path: Path
    licence: str

    @property
    def free(self) -> bool:
        return self.licence.startswith(("CC0", "CC-BY"))


def chairs(folder: Path = MESHES) -> list[Chair]:
    """All, by name."""
    index = folder / "index.csv"
    if not index.is_file():
        raise SystemExit(f"{index} does not exist; give --meshes FOLDER.")
    with index.open(encoding="utf-8") as file:
        rows = sorted((row["file"], row["licence"]) for row in csv.DictReader(file))
    return [Chair(folder / "chairs" / name, licence) for name, licence in rows]


def held_out(folder: Path = MESHES) -> list[Chair]:
    return chairs(folder)[::7]


def learned_from(folder: Path = MESHES) -> list[Chair]:
    kept = set(held_out(folder))
    return [chair for chair in chairs(folder) if chair.free and chair not in kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=Path, default=MESHES)
    parser.add_argument("--credits", action="store_true")
    given = parser.parse_args()
    found = learned_from(given.meshes)
    if given.credits:
        names = sorted({chair.licence.partition("creator: ")[2].rstrip(")") for chair in found})
        print(", ".join(names))
    else:
        print("\n".join(str(chair.path) for chair in found))


if __name__ == "__main__":
    main()
