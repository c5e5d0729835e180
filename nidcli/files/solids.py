"""Collections of meshes: folders and globs of mesh files, read one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from nidcli.errors import InputError, NidError
from nidcli.files.inputs import expand
from nidcli.files.meshes import READ, Mesh, read_mesh


class MeshCollection:
    """Meshes by number, in the order of their names. Files that cannot be read are named once and left out."""

    def __init__(self, paths: Sequence[Path], warn: Callable[[str], None]) -> None:
        self.paths, self.warn = list(paths), warn

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def mesh(self, index: int) -> Mesh:
        return read_mesh(self.paths[index])

    @cached_property
    def digest(self) -> str:
        """sha256 of the files' content in their order, never of their names."""
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def open_meshes(
    arguments: Sequence[str],
    *,
    recursive: bool = False,
    files_from: Path | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> MeshCollection:
    """The meshes that `learn-dict --data` names. Each is read once here: what is none is told, and left out.

    Raises InputError where nothing is left.
    """
    paths, strange = [], []
    for item in expand(arguments, recursive=recursive, files_from=files_from):
        if item.problem:
            raise InputError(item.problem)
        if item.path.suffix.lower() not in READ:
            strange.append(item.path.name)
            continue
        try:
            read_mesh(item.path)
        except NidError as error:
            warn(str(error))
            continue
        paths.append(item.path)
    if strange:
        warn(f"{len(strange)} files are no meshes and left out: {', '.join(strange[:8])}.")
    if not paths:
        raise InputError(f"{', '.join(map(str, arguments))} holds no mesh that can be read; name another folder.")
    return MeshCollection(paths, warn)
