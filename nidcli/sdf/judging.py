"""Meshes as a kind of result that `nid eval` measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nidcli.files.meshes import Mesh, read_mesh
from nidcli.sdf.compare import MeshQuality, compare

Mean = MeshQuality


@dataclass(frozen=True)
class Quality(MeshQuality):
    reference: str


@dataclass(frozen=True)
class MeshPair:
    """A result and its reference."""

    reference: Path
    result_mesh: Mesh
    reference_mesh: Mesh

    @property
    def nbytes(self) -> int:
        return self.result_mesh.nbytes + self.reference_mesh.nbytes


def read(result: Path, reference: Path) -> MeshPair:
    """Raises InputError for a file that is no mesh."""
    return MeshPair(reference, read_mesh(result), read_mesh(reference))


def judge(pair: MeshPair) -> Quality:
    """Chamfer, normal consistency, F-score and IoU of a mesh."""
    found = compare(pair.result_mesh, pair.reference_mesh)
    return Quality(found.chamfer, found.normal_consistency, found.fscore, found.iou, str(pair.reference))
