"""Meshes of held-out chairs from clouds: ours, and screened Poisson (pymeshlab, where it is installed).

    python -m benchmarks.surfaces [--dict chair] [--meshes FOLDER] [--chairs 10] [--rows 500,2000,...] [--save FOLDER]

Truth: watertight shells (Huang et al. 2018) of the chairs that no dictionary learned from. Squared Chamfer x 1000 and
normal consistency as `nid eval --kind mesh` defines them; the row "floor" compares the truth with itself, sampled anew.
"noisy": 10,000 points without normals, noise 0.5 % of the longest side. "unseen": 10,000 points on one side of a plane
that leaves a quarter of the surface unseen, ours with --complete shape; Chamfer of what lies beyond it; "straight" is
the same with --complete straight. "time": 10,000 points, resolution 128, and Poisson at depth 8 as in every row.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.chairs import MESHES, held_out
from benchmarks.common import table
from nidcli.artifacts import load_model
from nidcli.files.clouds import Cloud
from nidcli.files.meshes import Mesh, read_mesh, write_mesh
from nidcli.model import Model
from nidcli.sdf.compare import compare, sample_surface
from nidcli.sdf.completion import Completion
from nidcli.sdf.reconstruct import Options, reconstruct
from nidcli.sdf.solids import Solid, solid

ROWS = {
    "floor": "",
    "500000": "not worse than Poisson",
    "50000": "not worse than Poisson",
    "10000": ".020 / .980",
    "2000": ".030 / .965",
    "500": ".12 / .92",
    "noisy": ".3 / .88",
    "unseen": "half of Poisson",
    "straight": "half of Poisson",
    "time": "3 x Poisson",
}
NOISE = 0.005 * 1.8
COMPLETE: dict[str, Completion] = {"unseen": "shape", "straight": "straight"}


@dataclass(frozen=True)
class Score:
    chamfer: float
    normal_consistency: float
    seconds: float


def poisson(cloud: Cloud) -> Mesh | None:
    """Screened Poisson at depth 8, with pymeshlab's own normals where the cloud has none; None without pymeshlab."""
    try:
        import pymeshlab
    except ImportError:
        return None
    meshes = pymeshlab.MeshSet()
    if cloud.normals_N3 is None:
        meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=cloud.points_N3))
        meshes.compute_normal_for_point_clouds(k=20)
    else:
        meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=cloud.points_N3, v_normals_matrix=cloud.normals_N3))
    meshes.generate_surface_reconstruction_screened_poisson(depth=8, threads=os.cpu_count() or 1)
    found = meshes.current_mesh()
    return Mesh(found.vertex_matrix(), found.face_matrix().astype(np.int64))


def beyond(mesh: Mesh, truth: Mesh, normal_3: np.ndarray, offset: float) -> float:
    """Squared Chamfer x 1000 of what lies on the far side of a plane."""
    rng = np.random.default_rng(1)
    sides = []
    for surface in (mesh, truth):
        points, _ = sample_surface(surface, 200_000, rng)
        sides.append(points[points @ normal_3 > offset])
    ours, theirs = sides
    if not len(ours):
        return float("inf")
    whole, _ = sample_surface(mesh, 200_000, rng)
    there = cKDTree(sample_surface(truth, 200_000, rng)[0]).query(ours)[0]
    return 1e3 * float((there**2).mean() + (cKDTree(whole).query(theirs)[0] ** 2).mean()) / 2


def clouded(truth: Solid, row: str, seed: int) -> tuple[Cloud, tuple[np.ndarray, float]]:
    """The cloud of a row, and the plane of the row "unseen"."""
    rng = np.random.default_rng(seed)
    count = int(row) if row.isdigit() else 10_000
    plane = (np.zeros(3), 0.0)
    if row in COMPLETE:
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        points, normals = truth.sample(count * 4 // 3 + 200, rng)
        plane = (direction, float(np.quantile(points @ direction, 0.75)))
        seen = points @ direction <= plane[1]
        return Cloud(points[seen][:count], normals[seen][:count]), plane
    points, normals = truth.sample(count, rng)
    if row == "noisy":
        return Cloud(points + rng.normal(size=points.shape) * NOISE), plane
    return Cloud(points, normals), plane


def measured(model: Model, truth: Solid, row: str, seed: int, save: Path | None) -> tuple[Score, Score]:
    """Ours and the peer's, NaN without one."""
    nothing = Score(np.nan, np.nan, np.nan)
    if row == "floor":
        found = compare(truth.mesh, truth.mesh)
        return Score(found.chamfer, found.normal_consistency, np.nan), nothing
    cloud, plane = clouded(truth, row, seed)
    start = time.perf_counter()
    options = Options(resolution=128 if row == "time" else 0, complete=COMPLETE.get(row, "none"))
    ours = reconstruct(model, cloud, options, lambda text: None).mesh
    middle = time.perf_counter()
    peer = poisson(cloud)
    times = (middle - start, time.perf_counter() - middle)
    scores = []
    for mesh, seconds in zip((ours, peer), times, strict=True):
        if mesh is None:
            scores.append(nothing)
        elif row in COMPLETE:
            scores.append(Score(beyond(mesh, truth.mesh, *plane), np.nan, seconds))
        else:
            found = compare(mesh, truth.mesh)
            scores.append(Score(found.chamfer, found.normal_consistency, seconds))
    if save is not None:
        for name, mesh in (("ours", ours), ("poisson", peer), ("truth", truth.mesh)):
            if mesh is not None:
                write_mesh(save / f"{seed:02d}_{row}_{name}.ply", mesh)
    return scores[0], scores[1]


def shown(scores: list[Score]) -> tuple[str, str]:
    """Means over the chairs: Chamfer / normal consistency, and seconds."""
    chamfer, normals, seconds = (float(np.mean([getattr(s, n) for s in scores])) for n in Score.__dataclass_fields__)
    if np.isnan(chamfer):
        return "-", "-"
    quality = f"{chamfer:.4f}" if np.isnan(normals) else f"{chamfer:.4f} / {normals:.4f}"
    return quality, "-" if np.isnan(seconds) else f"{seconds:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="chair")
    parser.add_argument("--meshes", type=Path, default=MESHES)
    parser.add_argument("--chairs", type=int, default=10)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    model = load_model(given.dict).model
    found = held_out(given.meshes)
    chosen = [found[i * len(found) // given.chairs] for i in range(min(given.chairs, len(found)))]
    solids = [solid(read_mesh(chair.path), chair.path.name) for chair in chosen]
    if given.save:
        given.save.mkdir(parents=True, exist_ok=True)
    rows = [("points", "ours", "s", "Poisson", "s", "target")]
    for row in given.rows.split(","):
        pairs = [measured(model, truth, row, seed, given.save) for seed, truth in enumerate(solids)]
        for name, (ours, peer) in zip((chair.path.name for chair in chosen), pairs, strict=True):
            print(
                f"{row:>8} {name[:40]:40}  {ours.chamfer:.4f} / {ours.normal_consistency:.4f}"
                f"   Poisson {peer.chamfer:.4f} / {peer.normal_consistency:.4f}",
                flush=True,
            )
        rows.append((row, *shown([ours for ours, _ in pairs]), *shown([peer for _, peer in pairs]), ROWS[row]))
    table(rows)


if __name__ == "__main__":
    main()
