"""From a cloud to a mesh, in the cloud's own frame and units.

    thin -> frame -> normals, where there are none -> density -> cells, coarse to fine -> triangles -> parts

Every choice follows from the cloud: the finest cells see about as many points at any density, since pieces of surfaces
look alike at every size.

Letters: N points, V vertices, F faces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from scipy.spatial import cKDTree

from nidcli.errors import InputError, UsageError
from nidcli.files.clouds import Cloud
from nidcli.files.meshes import Mesh
from nidcli.model import Level, Model
from nidcli.sdf.field import Data, Share, solve_share
from nidcli.sdf.frame import Frame
from nidcli.sdf.lattice import BAND_NUMBERS, triangles
from nidcli.sdf.normals import estimate_normals
from nidcli.sdf.topology import compacted, component_of_faces, is_closed

MOST_POINTS = 60_000  # points that are looked at; more are averaged in voxels
SIGHT = 4.0  # points across what a finest cell sees
COARSEST, FINEST = 2, 64  # cells a side
LEVELS = 3
BLUR = 0.01  # of a half cell: what its experts cannot draw
LEAST = 4  # points that a cell of a finer level must see
MOST = 128  # points that a cell looks at
NEAR, FAR = 1.5, 2.2  # spacings from the nearest point: supported up to the first, guessing beyond the second
SUPPORT = 3  # points that a part is the nearest to, or it is noise
VALUE_NOISE, SLOPE_NOISE = 0.0015, 0.08  # of clean data: of values in units of the domain, and of slopes
GUESSED_SLOPE = 0.25  # of estimated normals
FEWEST = 12  # points of which a surface can be made
DESIGN_BYTES = 800 << 20
NormalSource = Literal["auto", "file", "estimate"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """resolution : lattice steps along the domain, 0 by density; noise : standard deviation of the points in the
    cloud's units, None to estimate it."""

    resolution: int = 0
    normals: NormalSource = "auto"
    noise: float | None = None


@dataclass(frozen=True)
class Report:
    """Keys of an item: counts, what the mesh is, and what was done. centre, scale : of the domain's frame; noise : in
    the cloud's units; removed : parts that hardly any point supported."""

    points: int
    used: int
    vertices: int
    faces: int
    watertight: bool
    components: int
    removed: int
    normals: str
    noise: float
    resolution: int
    cells: int
    centre: tuple[float, ...]
    scale: float


@dataclass(frozen=True)
class Surface:
    """The mesh, and the thinned cloud that it was made of, in the cloud's frame."""

    mesh: Mesh
    points_N3: np.ndarray
    report: Report


def reconstruct(model: Model, cloud: Cloud, options: Options, tell: Callable[[str], None]) -> Surface:
    """The surface of a cloud. Raises InputError for a cloud of which there is none, UsageError where normals are asked
    of a file that has none."""
    if options.normals == "file" and cloud.normals_N3 is None:
        raise UsageError("The cloud has no normals; leave --normals file out, and they are estimated.")
    frame = Frame.of(cloud.points_N3)
    points_N3, normals_N3 = thinned(frame.inwards(cloud.points_N3), cloud.normals_N3, MOST_POINTS)
    if len(points_N3) < len(cloud.points_N3):
        tell(f"{len(cloud.points_N3)} points are averaged to {len(points_N3)} in voxels.")
    if len(points_N3) < FEWEST:
        raise InputError(f"{len(points_N3)} different points are too few for a surface; give {FEWEST} or more.")
    given = normals_N3 is not None and options.normals != "estimate"
    wanted = None if options.noise is None else options.noise * frame.scale
    noise = 0.0 if wanted is None else wanted
    if not given:
        estimated = estimate_normals(points_N3, wanted)
        normals_N3, noise = estimated.normals_N3, estimated.noise
    assert normals_N3 is not None
    gap = spacing(points_N3)
    finest = max(4, min(FINEST, 4 * round(1 / (SIGHT * gap))))
    steps = max(2, -(-(options.resolution or default_resolution(finest)) // finest))
    slope = SLOPE_NOISE if given else GUESSED_SLOPE
    data = _data(model, points_N3, normals_N3, math.hypot(noise, VALUE_NOISE), slope)
    shares = solve(model, data, finest)
    vertices_V3, faces_F3 = triangles(shares, steps)
    vertices_V3, faces_F3, removed = supported(vertices_V3, faces_F3, points_N3, gap)
    if not len(faces_F3):
        raise InputError("No surface runs through these points; check their normals, or give --normals estimate.")
    components, _ = component_of_faces(faces_F3, len(vertices_V3))
    report = Report(
        points=len(cloud.points_N3),
        used=len(points_N3),
        vertices=len(vertices_V3),
        faces=len(faces_F3),
        watertight=is_closed(faces_F3),
        components=components,
        removed=removed,
        normals="file" if given else "estimated",
        noise=noise / frame.scale,
        resolution=finest * steps,
        cells=sum(len(share.cell_S) for share in shares),
        centre=tuple(map(float, frame.centre_3)),
        scale=frame.scale,
    )
    return Surface(Mesh(frame.outwards(vertices_V3), faces_F3), frame.outwards(points_N3), report)


def check_model(model: Model, name: str) -> None:
    """Raises UsageError for a dictionary of another kind."""
    if model.spec.kind != "sdf":
        raise UsageError(f"{name} is a dictionary of kind {model.spec.kind}; give --dict one of kind sdf, as chair is.")


def plan_note(options: Options) -> str:
    """What --dry-run says about memory: a band of the lattice, and the designs of a run of cells."""
    lattice = 24 * min(BAND_NUMBERS, ((options.resolution or 256) + 1) ** 3)
    return f"Memory beyond the clouds: up to {(lattice + DESIGN_BYTES) / 2**20:.0f} MiB for the field and the designs."


def solve(model: Model, data: Data, finest: int) -> list[Share]:
    """Coarse to fine: each level explains what those below it left."""
    shares = list[Share]()
    noise = data.value_noise
    for cells in chain(finest):
        data = replace(data, value_noise=math.hypot(noise, BLUR / cells))
        share = solve_share(nearest_level(model, cells), cells, data, LEAST if shares else 1, MOST, first=not shares)
        shares.append(share)
        if cells != finest:
            data = data.minus(share.jets(data.points_N3))
    return shares


def chain(finest: int) -> Sequence[int]:
    """Cells a side of the levels, each half of the next."""
    return [finest >> i for i in reversed(range(LEVELS)) if finest >> i >= COARSEST]


def nearest_level(model: Model, cells: int) -> Level:
    """The level learned at the size nearest to that of `cells` a side."""
    return min(
        (model.level(i) for i in range(len(model.levels))), key=lambda one: abs(math.log(cells / one.spec.cells))
    )


def default_resolution(finest: int) -> int:
    """Lattice steps: a few a cell, more than a sparse cloud can fill are not needed."""
    return min(256, 8 * finest)


def spacing(points_N3: np.ndarray) -> float:
    """Distance between neighbours of points spread evenly over as much surface: from the eighth neighbour's (median),
    pi r^2 = 8 areas of a point."""
    near = min(9, len(points_N3))
    radius = float(np.median(cKDTree(points_N3).query(points_N3, k=near, workers=-1)[0][:, -1]))
    return max(radius * math.sqrt(math.pi / (near - 1)), 1e-6)


def thinned(points_N3: np.ndarray, normals_N3: np.ndarray | None, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Equal points made one; and of more than `most` the means in voxels as large as it takes, with their normals.

    A voxel whose normals cancel, such as that of a thin sheet, is split by their directions.
    """
    _, first = np.unique(points_N3, axis=0, return_index=True)
    first.sort()
    points_N3, normals_N3 = points_N3[first], None if normals_N3 is None else normals_N3[first]
    side = 2 * math.sqrt(2.0 / most)
    while len(points_N3) > most:
        key = np.floor(points_N3 / side).astype(np.int64) + (1 << 19)
        code = (key[:, 0] << 40) + (key[:, 1] << 20) + key[:, 2]
        if normals_N3 is not None:  # the main direction, one of six, tells the sides of a sheet apart
            axis = np.abs(normals_N3).argmax(1)
            code = code * 6 + 2 * axis + (normals_N3[np.arange(len(axis)), axis] > 0)
        _, voxel, count = np.unique(code, return_inverse=True, return_counts=True)
        if len(count) <= most:
            mean = np.stack([np.bincount(voxel, points_N3[:, d]) for d in range(3)], 1) / count[:, None]
            if normals_N3 is not None:
                total = np.stack([np.bincount(voxel, normals_N3[:, d]) for d in range(3)], 1)
                normals_N3 = total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12)
            return mean, normals_N3
        side *= 1.15
    return points_N3, normals_N3


def supported(
    vertices_V3: np.ndarray, faces_F3: np.ndarray, points_N3: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """The surface without what no points support, and how many parts were taken away.

    A patch without points near it closes a gap and stays, unless it reaches further from any point than the gaps
    between points go: then it is guessing. A part that is the nearest to almost none of the points goes as well.
    gap : the distance between neighbouring points.
    """
    if not len(faces_F3):
        return vertices_V3, faces_F3, 0
    distance_V = cKDTree(points_N3).query(vertices_V3, workers=-1)[0]
    before, _ = component_of_faces(faces_F3, len(vertices_V3))
    off_F = (distance_V[faces_F3] > NEAR * gap).any(1)
    patches, patch_X = component_of_faces(faces_F3[off_F], len(vertices_V3))
    reach = np.zeros(patches)
    np.maximum.at(reach, patch_X, distance_V[faces_F3[off_F]].max(1))
    guessed_F = off_F.copy()
    guessed_F[off_F] = reach[patch_X] > FAR * gap
    faces_F3 = faces_F3[~guessed_F]
    if not len(faces_F3):
        return vertices_V3[:0], faces_F3, before
    count, part_F = component_of_faces(faces_F3, len(vertices_V3))
    nearest_N = cKDTree(vertices_V3[faces_F3].mean(1)).query(points_N3, workers=-1)[1]
    points = np.bincount(part_F[nearest_N], minlength=count)
    keep = points >= SUPPORT
    faces_F3 = faces_F3[keep[part_F]]
    return *compacted(vertices_V3, faces_F3), max(0, before - int(keep.sum()))


def _data(model: Model, points_N3: np.ndarray, normals_N3: np.ndarray, noise: float, slope: float) -> Data:
    device = model.level(0).prior_mean_BK.device
    points = torch.from_numpy(points_N3).float().to(device)
    normals = torch.from_numpy(normals_N3).float().to(device)
    return Data(points, torch.zeros_like(points[:, 0]), normals, noise, torch.full_like(points[:, 0], slope))
