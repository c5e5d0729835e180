"""Files appear whole or not at all: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nidcli.errors import OutputError

_SERIAL = itertools.count()  # next() on it is atomic, so that threads never share a name

REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place with -o",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place with -o",
    errno.EACCES: "permission is denied; choose another place with -o",
    errno.EPERM: "permission is denied; choose another place with -o",
    errno.EROFS: "the disk is read-only; choose another place with -o",
    errno.ENOENT: "its folder does not exist; choose another place with -o",
    errno.ENOTDIR: "a part of its path is a file, not a folder; choose another place with -o",
    errno.EEXIST: "a file of that name is in the way; choose another place with -o",
    errno.EISDIR: "a folder of that name is in the way; choose another name with -o",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one with -o",
}


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The sentence for a failed write; raise it `from error`."""
    reason = REASONS.get(error.errno or 0) or f"{error.strerror or error}; choose another place with -o"
    return OutputError(f"{path} cannot be written: {reason}.")


def disk_is_full(error: BaseException) -> bool:
    """Whether an error, or the one that it comes from, says that no space is left."""
    cause = error.__cause__ if isinstance(error, OutputError) else error
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that becomes `path` when the block ends well.

    Nothing is left behind when it ends badly, and an older file at `path` is then untouched.
    Raises OutputError where the folder is missing or not writable, or the disk is full.
    """
    # The leading dot keeps a half-written file out of every listing of the folder.
    temporary = path.with_name(f".{path.stem[:100]}.{os.getpid()}-{next(_SERIAL)}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def make_folder(folder: Path, *, probe: bool = False) -> None:
    """Make a folder and those above it; with `probe`, find out by trying whether a file can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if probe:
            trial = folder / f".{os.getpid()}-{next(_SERIAL)}.tmp"
            trial.touch(exist_ok=False)
            trial.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from error
