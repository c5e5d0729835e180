"""From a cloud to a mesh, in the cloud's own frame and units.

    thin -> frame -> normals, where there are none -> density -> cells, coarse to fine -> triangles -> parts -> fairing

Every choice follows from the cloud: the finest cells see about as many points at any density, since pieces of surfaces
look alike at every size.

Letters: N points, V vertices, F faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nidcli.errors import InputError, UsageError
from nidcli.files.clouds import Cloud
from nidcli.files.meshes import Mesh
from nidcli.model import Model
from nidcli.sdf.caps import capped
from nidcli.sdf.completion import Completion, whole_cloud
from nidcli.sdf.contrary import contrary
from nidcli.sdf.correcting import drawn
from nidcli.sdf.fairing import faired
from nidcli.sdf.frame import Frame
from nidcli.sdf.imagined import whole_level
from nidcli.sdf.lattice import BAND_NUMBERS, triangles
from nidcli.sdf.normals import estimate_normals
from nidcli.sdf.solving import MOST_NARROW, Oriented, understood
from nidcli.sdf.support import FAR, spacing, supported, thinned
from nidcli.sdf.topology import component_of_faces, is_closed

MOST_POINTS = 60_000  # points that are looked at; more are averaged in voxels
FEWEST = 12  # points of which a surface can be made
DESIGN_BYTES = 800 << 20
NormalSource = Literal["auto", "file", "estimate"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """resolution : lattice steps along the domain, 0 by density; noise : standard deviation of the points in the
    cloud's units, None to estimate it; complete : what is unseen, see `sdf/completion.py`; symmetry : with "auto"
    mirror images of what is seen, see `sdf/symmetry.py`."""

    resolution: int = 0
    normals: NormalSource = "auto"
    complete: Completion = "none"
    symmetry: Literal["auto", "none"] = "auto"
    noise: float | None = None


@dataclass(frozen=True)
class Report:
    """Keys of an item: counts, what the mesh is, and what was done.

    added : unseen points, by `complete`; mirrored : mirror images on what is seen; removed : parts that hardly any
    point supported; closed : holes that the cloud does not explain; corrected : whether the dictionary's corrector had
    a say; noise : in the cloud's units; centre, scale : of the domain's frame.
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
    corrected: bool
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
    gap, added = spacing(points_N3), 0
    if given and (wrong_N := contrary(points_N3, normals_N3, gap)).any():
        tell(f"{name}: {wrong_N.sum()} points are left out, whose normals contradict all around them.")
        points_N3, normals_N3 = points_N3[~wrong_N], normals_N3[~wrong_N]
    seen = len(points_N3)
    if options.complete != "none":
        points_N3, normals_N3 = whole_cloud(
            model, points_N3, normals_N3, gap, options.complete, lambda text: tell(f"{name}: {text}")
        )
        gap, added = spacing(points_N3), len(points_N3) - seen
        wider = Frame.of(frame.outwards(points_N3))  # what is added may lie outside
        points_N3, zoom = wider.inwards(frame.outwards(points_N3)), wider.scale / frame.scale
        frame, noise, gap = wider, noise * zoom, gap * zoom
    cloud_N3 = Oriented(points_N3, normals_N3, gap, noise, given)
    field = understood(model, cloud_N3, options.resolution, symmetric=options.symmetry == "auto")
    points_N3, alike = field.points_N3, len(field.points_N3) - seen - added
    if alike:
        planes = " and ".join("xyz"[mirror.axis] for mirror in field.mirrors)
        tell(f"{name} is symmetric along {planes}: {alike} mirrored points lie on what is seen.")
    if field.slit_N.any():
        tell(
            f"{name} has slits narrower than its points lie apart; they are open where {field.slit_N.sum()} points are."
        )
    lattice, corrected = drawn(model, field)
    vertices_V3, faces_F3 = triangles(lattice, field.side)
    vertices_V3, faces_F3, removed = supported(vertices_V3, faces_F3, points_N3, field.gap)
    # images of points beside a mirror lie on these, and make nothing denser there: the cloud's own spacing
    vertices_V3, faces_F3, closed = capped(vertices_V3, faces_F3, points_N3, FAR[0] * gap)
    if not len(faces_F3):
        raise InputError(
            f"No surface runs through the points of {name}; check its normals, or give --normals estimate."
        )
    vertices_V3 = faired(vertices_V3, faces_F3, field.step, field.gap, noise)
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
        corrected=corrected,
        normals="file" if given else "estimated",
        noise=noise / frame.scale,
        resolution=field.side,
        cells=sum(len(share.cell_S) for share in field.shares),
        centre=tuple(map(float, frame.centre_3)),
        scale=frame.scale,
    )
    return Surface(Mesh(frame.outwards(vertices_V3), faces_F3), frame.outwards(points_N3), report)


def check_model(model: Model, name: str, options: Options) -> None:
    """Raises UsageError for a dictionary of another kind, and one without what is asked for."""
    if model.spec.kind != "sdf":
        raise UsageError(f"{name} is a dictionary of kind {model.spec.kind}; give --dict one of kind sdf, as chair is.")
    if options.complete == "shape":
        whole_level(model)


def plan_note(options: Options) -> str:
    """What --dry-run says about memory: a band of the lattice, and the designs of a run of cells."""
    lattice = 24 * min(BAND_NUMBERS, ((options.resolution or MOST_NARROW) + 1) ** 3)
    return f"Memory beyond the clouds: up to {(lattice + DESIGN_BYTES) / 2**20:.0f} MiB for the field and the designs."
