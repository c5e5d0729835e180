"""Meshes as solids: a watertight shell around whatever a file holds, in the common frame, and its signed distance.

Meshes as people make them are not watertight: parts overlap, sheets have no inside. The shell is that of Huang, Su and
Guibas 2018 (Robust watertight manifold surface generation), from point-cloud-utils: it takes the outside to be what
can be reached from outside, and gives sheets the thickness of a leaf of its octree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from nidcli.errors import InputError, UsageError
from nidcli.files.meshes import Mesh
from nidcli.sdf.compare import sample_surface
from nidcli.sdf.frame import Frame
from nidcli.sdf.topology import is_closed

RESOLUTION = 20_000  # leaves of the octree, as the authors have it
HARD = 0.02  # of the longest side: a shell whose surface lies this far off the mesh's on average is worth a remark
STRAIGHT = 0.98  # cosine between a face's normal and the way from it
_PROBE = 60_000


@dataclass(frozen=True)
class Solid:
    """vertices_V3 : float32 in the common frame; faces_F3 : int32, closed. remark : why it was hard, or empty."""

    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    remark: str = ""

    @property
    def mesh(self) -> Mesh:
        return Mesh(self.vertices_V3.astype(np.float64), self.faces_F3.astype(np.int64))

    def distance(self, points_N3: np.ndarray) -> np.ndarray:
        """(N,) signed distances in units of the frame, negative inside.

        The sign is that of the nearest face where the point lies straight above it; beside edges and corners, where
        faces may disagree, it is that of the winding number, which takes twice as long.
        """
        if len(points_N3) == 1:  # the library takes a single row for something else
            return self.distance(np.repeat(points_N3, 2, 0))[:1]
        asked_N3 = np.ascontiguousarray(points_N3, np.float32)
        far_N, face_N, share_N3 = _library().closest_points_on_mesh(asked_N3, self.vertices_V3, self.faces_F3)
        corners_N33 = self.vertices_V3[self.faces_F3[face_N]]
        away_N3 = asked_N3 - np.einsum("nc,ncd->nd", share_N3, corners_N33)
        cross_N3 = np.cross(corners_N33[:, 1] - corners_N33[:, 0], corners_N33[:, 2] - corners_N33[:, 0])
        above_N = np.einsum("nd,nd->n", away_N3, cross_N3) / np.maximum(np.linalg.norm(cross_N3, axis=1), 1e-20)
        found_N = np.where(above_N > 0, far_N, -far_N).astype(np.float32)
        unsure_N = np.abs(above_N) < STRAIGHT * far_N
        if unsure_N.any():
            rows = np.flatnonzero(unsure_N) if unsure_N.sum() > 1 else np.flatnonzero(unsure_N).repeat(2)
            # of which only the sign is right: what it says of the distance is off by some thousandths of the domain
            signed_N = _library().signed_distance_to_mesh(asked_N3[rows], self.vertices_V3, self.faces_F3)[0]
            found_N[rows] = np.copysign(far_N[rows], signed_N)
        return found_N

    def sample(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points on the surface and their outward normals, (N, 3) each."""
        return sample_surface(self.mesh, count, rng)


def solid(mesh: Mesh, name: str) -> Solid:
    """The solid of a mesh. Raises InputError for a mesh around which there is no shell."""
    try:
        vertices, faces = _library().make_mesh_watertight(
            mesh.vertices_V3 - mesh.vertices_V3.mean(0), mesh.faces_F3.astype(np.int32), RESOLUTION, seed=0
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{name} has no watertight shell ({error}); leave it out or repair it.") from error
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    if not len(faces) or not is_closed(faces):
        raise InputError(f"{name} has no watertight shell; leave it out or repair it.")
    rng = np.random.default_rng(0)
    theirs, _ = sample_surface(Mesh(mesh.vertices_V3 - mesh.vertices_V3.mean(0), mesh.faces_F3), _PROBE, rng)
    ours, _ = sample_surface(Mesh(vertices, faces), _PROBE, rng)
    side = float(np.ptp(vertices, axis=0).max())
    hidden = float((cKDTree(ours).query(theirs)[0] > HARD * side).mean())
    off = float((cKDTree(theirs).query(ours)[0] > HARD * side).mean())
    frame = Frame.of(vertices)
    return Solid(frame.inwards(vertices).astype(np.float32), faces.astype(np.int32), _remark(hidden, off))


def _remark(hidden: float, off: float) -> str:
    """What the shell makes of a mesh that is more than a bare surface."""
    parts = []
    if hidden > HARD:
        parts.append(f"{hidden:.0%} of its surface lies inside")
    if off > HARD:
        parts.append(f"{off:.0%} of the shell bridges openings")
    return " and ".join(parts)


def _library():  # type: ignore[no-untyped-def]
    try:
        import point_cloud_utils
    except ImportError:
        raise UsageError(
            "Learning from meshes needs the package point-cloud-utils; install it with pip install 'nidcli[mesh]'."
        ) from None
    return point_cloud_utils
