"""From a cloud to a mesh, in the cloud's own frame and units.

    thin -> frame -> normals, where there are none -> density -> cells, coarse to fine -> triangles -> parts -> fairing

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

from nidcli.errors import InputError, UsageError
from nidcli.files.clouds import Cloud
from nidcli.files.meshes import Mesh
from nidcli.model import Level, Model
from nidcli.sdf.caps import capped
from nidcli.sdf.continuation import continued
from nidcli.sdf.fairing import faired
from nidcli.sdf.field import Data, Share, solve_share
from nidcli.sdf.frame import Frame
from nidcli.sdf.lattice import BAND_NUMBERS, triangles
from nidcli.sdf.normals import estimate_normals
from nidcli.sdf.support import FAR, SPARSE, spacing, supported, thinned
from nidcli.sdf.symmetry import completed, doubled
from nidcli.sdf.topology import component_of_faces, is_closed

MOST_POINTS = 60_000  # points that are looked at; more are averaged in voxels
MOST_DOUBLED = 5_000  # points: more say by themselves what their images would, which then only blur
SIGHT = (4.0, 3.5)  # points across what a finest cell sees; fewer where they are sparse
ROUGH = 13.0  # and standard deviations of the noise, at least: finer cells would draw it
COARSEST, FINEST = 2, 64  # cells a side
LEVELS = 3
BLUR = 0.01  # of a half cell: what its experts cannot draw
LEAST = 4  # points that a cell of a finer level must see
MOST, MOST_COARSE = 128, 96  # points that a cell of the finest level looks at, and of those that it corrects
VALUE_NOISE = (0.001, 0.002)  # of clean data: of values, in units of the domain, dense and sparse
SLOPE_NOISE = (0.14, 0.1)  # and of slopes
GUESSED_SLOPE = 0.25  # of estimated normals
FEWEST = 12  # points of which a surface can be made
DESIGN_BYTES = 800 << 20
NormalSource = Literal["auto", "file", "estimate"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """resolution : lattice steps along the domain, 0 by density; noise : standard deviation of the points in the
    cloud's units, None to estimate it; complete : what is unseen with "mirror" images, with "straight" beyond these as
    well (`sdf/continuation.py`); symmetry : with "auto" mirror images of what is seen, see `sdf/symmetry.py`."""

    resolution: int = 0
    normals: NormalSource = "auto"
    complete: Literal["none", "mirror", "straight"] = "none"
    symmetry: Literal["auto", "none"] = "auto"
    noise: float | None = None


@dataclass(frozen=True)
class Report:
    """Keys of an item: counts, what the mesh is, and what was done.

    added : unseen points, by `complete`; mirrored : mirror images on what is seen; removed : parts that hardly any
    point supported; closed : holes that the cloud does not explain; noise : in the cloud's units;
    centre, scale : of the domain's frame.
    """

    points: int
    used: int
    added: int
    mirrored: int
    vertices: int
    faces: int
    watertight: bool
    components: int
    removed: int
    closed: int
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


def reconstruct(
    model: Model, cloud: Cloud, options: Options, tell: Callable[[str], None], name: str = "cloud"
) -> Surface:
    """The surface of a cloud. Raises InputError for a cloud of which there is none, UsageError where normals are asked
    of a file that has none."""
    if options.normals == "file" and cloud.normals_N3 is None:
        raise UsageError(f"{name} has no normals; leave --normals file out, and they are estimated.")
    frame = Frame.of(cloud.points_N3)
    points_N3, normals_N3 = thinned(frame.inwards(cloud.points_N3), cloud.normals_N3, MOST_POINTS)
    if len(points_N3) <= MOST_POINTS < len(cloud.points_N3):
        tell(f"{name}: {len(cloud.points_N3)} points are averaged to {len(points_N3)} in voxels.")
    elif len(points_N3) < len(cloud.points_N3):
        tell(f"{name}: {len(cloud.points_N3) - len(points_N3)} points are doubles and left out.")
    if cloud.dropped:
        tell(f"{name}: {cloud.dropped} rows without numbers are left out.")
    if len(points_N3) < FEWEST:
        raise InputError(f"{name} has {len(points_N3)} different points, too few for a surface; give {FEWEST} or more.")
    given = normals_N3 is not None and options.normals != "estimate"
    wanted = None if options.noise is None else options.noise * frame.scale
    noise = 0.0 if wanted is None else wanted
    if not given:
        estimated = estimate_normals(points_N3, wanted)
        normals_N3, noise = estimated.normals_N3, estimated.noise
    assert normals_N3 is not None
    gap, seen, added, alike = spacing(points_N3), len(points_N3), 0, 0
    if options.complete != "none":
        points_N3, normals_N3, mirrors = completed(points_N3, normals_N3, gap)
        planes = " and ".join("xyz"[mirror.axis] for mirror in mirrors) or "no axis: none is a mirror"
        added = len(points_N3) - seen
        tell(f"{name}: {added} points are added, mirrored along {planes}.")
        gap = spacing(points_N3)
        if options.complete == "straight":
            points_N3, normals_N3 = continued(points_N3, normals_N3, gap)
            tell(f"{name}: {len(points_N3) - seen - added} points are added where surfaces go straight on.")
            added = len(points_N3) - seen
        wider = Frame.of(frame.outwards(points_N3))  # what is added may lie outside
        points_N3, zoom = wider.inwards(frame.outwards(points_N3)), wider.scale / frame.scale
        frame, noise, gap = wider, noise * zoom, gap * zoom
    own_gap = gap  # images of points beside a mirror lie on these, and make nothing denser there
    if options.symmetry == "auto" and len(points_N3) <= MOST_DOUBLED:
        points_N3, normals_N3, mirrors = doubled(points_N3, normals_N3, gap, noise, MOST_DOUBLED)
        alike = len(points_N3) - seen - added
        if alike:
            planes = " and ".join("xyz"[mirror.axis] for mirror in mirrors)
            tell(f"{name} is symmetric along {planes}: {alike} mirrored points lie on what is seen.")
            gap = spacing(points_N3)
    finest = max(4, min(FINEST, 4 * round(1 / max(float(np.interp(gap, SPARSE, SIGHT)) * gap, ROUGH * noise))))
    steps = max(2, -(-(options.resolution or default_resolution(finest)) // finest))
    exact, slope = (float(np.interp(gap, SPARSE, ends)) for ends in (VALUE_NOISE, SLOPE_NOISE))
    data = _data(model, points_N3, normals_N3, math.hypot(noise, exact), slope if given else GUESSED_SLOPE)
    shares = solve(model, data, finest)
    vertices_V3, faces_F3 = triangles(shares, steps)
    vertices_V3, faces_F3, removed = supported(vertices_V3, faces_F3, points_N3, gap)
    vertices_V3, faces_F3, closed = capped(vertices_V3, faces_F3, points_N3, FAR[0] * own_gap)
    if not len(faces_F3):
        raise InputError(
            f"No surface runs through the points of {name}; check its normals, or give --normals estimate."
        )
    vertices_V3 = faired(vertices_V3, faces_F3, 2 / (finest * steps), gap, noise)
    components, _ = component_of_faces(faces_F3, len(vertices_V3))
    report = Report(
        points=len(cloud.points_N3),
        used=seen,
        added=added,
        mirrored=alike,
        vertices=len(vertices_V3),
        faces=len(faces_F3),
        watertight=is_closed(faces_F3),
        components=components,
        removed=removed,
        closed=closed,
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
        most = MOST if cells == finest else MOST_COARSE
        share = solve_share(nearest_level(model, cells), cells, data, LEAST if shares else 1, most, first=not shares)
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


def _data(model: Model, points_N3: np.ndarray, normals_N3: np.ndarray, noise: float, slope: float) -> Data:
    device = model.level(0).prior_mean_BK.device
    points = torch.from_numpy(points_N3).float().to(device)
    normals = torch.from_numpy(normals_N3).float().to(device)
    return Data(points, torch.zeros_like(points[:, 0]), normals, noise, torch.full_like(points[:, 0], slope))
