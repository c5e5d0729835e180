"""Triangle meshes from and to files. Coordinates are double, in the file's own frame and units."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nidcli.errors import InputError, UsageError
from nidcli.files.atomic import replacing
from nidcli.files.ply import write_ply

MESHES = (".ply", ".obj", ".stl", ".glb")
READ = frozenset({*MESHES, ".off", ".gltf"})
_LOST = 1e-5  # of the longest side: rounding beyond this is not written in single precision


@dataclass(frozen=True)
class Mesh:
    """vertices_V3 : float64; faces_F3 : int64, counter-clockwise seen from outside."""

    vertices_V3: np.ndarray
    faces_F3: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.vertices_V3.nbytes + self.faces_F3.nbytes

    @property
    def area(self) -> float:
        """In the vertices' units squared."""
        a, b, c = self.vertices_V3[self.faces_F3].transpose(1, 0, 2)
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2


def read_mesh(path: Path) -> Mesh:
    """The triangles of a file, equal vertices merged. Raises InputError for one without any."""
    import trimesh

    if path.suffix.lower() not in READ:
        raise InputError(f"{path} is no mesh that can be read; give a {', '.join(sorted(READ))} file.")
    try:
        scene = trimesh.load_scene(path, process=False)
        mesh = scene.to_mesh()
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path.") from error
    except Exception as error:  # trimesh's loaders raise whatever the bytes lead them to
        raise InputError(
            f"{path} is not a whole mesh ({' '.join(str(error).split())[:80]}); export it again."
        ) from None
    if not len(faces) or not np.isfinite(vertices[faces]).all():
        raise InputError(f"{path} holds no triangles; give a mesh, not a cloud of points.")
    return Mesh(vertices, faces)


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write `.ply`, `.obj`, `.stl` or `.glb` by suffix, whole or not at all.

    PLY takes doubles where single precision would round coarsely, OBJ as many digits as it takes, GLB an offset as a
    translation of its node. Raises UsageError for another suffix, and for an STL, which has single precision only,
    of coordinates too large for it.
    """
    import trimesh

    suffix, vertices = path.suffix.lower(), mesh.vertices_V3
    if suffix not in MESHES:
        raise UsageError(f"{path} is no mesh file that can be written; name it {', '.join(MESHES)}.")
    side = float(np.ptp(vertices, axis=0).max()) if len(vertices) else 0.0
    coarse = len(vertices) > 0 and float(np.abs(vertices - vertices.astype(np.float32)).max()) > _LOST * side
    if suffix == ".stl" and coarse:
        raise UsageError(f"{path} cannot hold coordinates this large, STL has single precision; write .ply or .obj.")
    with replacing(path) as temporary:
        if suffix == ".ply":
            write_ply(temporary, vertices, mesh.faces_F3, double=coarse)
        elif suffix == ".obj":
            _write_obj(temporary, mesh)
        else:
            shift = vertices.mean(0) if coarse else np.zeros(3)
            part = trimesh.Trimesh(vertices - shift, mesh.faces_F3, process=False)
            scene, place = trimesh.Scene(), np.eye(4)
            place[:3, 3] = shift
            scene.add_geometry(part, node_name="mesh", transform=place)
            data = part.export(file_type="stl") if suffix == ".stl" else scene.export(file_type="glb")
            assert isinstance(data, bytes)
            temporary.write_bytes(data)


def _write_obj(path: Path, mesh: Mesh) -> None:
    text = io.StringIO()
    np.savetxt(text, mesh.vertices_V3, fmt="v %.12g %.12g %.12g")
    np.savetxt(text, mesh.faces_F3 + 1, fmt="f %d %d %d")
    path.write_text(text.getvalue(), encoding="ascii")
