"""What the user names (files, folders, globs, lists) as a list of inputs, and inputs matched with their partners.

A folder yields every file in it that is not hidden, whatever its suffix: what cannot be read is then reported by name
instead of being left out in silence.
"""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nidcli.errors import InputError, UsageError

CODES = frozenset({".nidc"})
ARTIFACTS = frozenset({".nid", ".nidc"})


@dataclass(frozen=True)
class Input:
    """One input.

    path : where it is; relative : its path below the folder that was named (its name alone for a file), which outputs
    mirror; named : given by its own name, not found in a folder, by a glob or in a list; problem : the sentence of
    why there is nothing to read, or empty.
    """

    path: Path
    relative: Path
    named: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Pair:
    """An input and its partner, or the sentence of why it has none (`partner` is then the input's own path)."""

    input: Input
    partner: Path
    problem: str = ""


def expand(
    arguments: Sequence[str],
    *,
    recursive: bool = False,
    files_from: Path | None = None,
    only: frozenset[str] = frozenset(),
) -> list[Input]:
    """Inputs in the order in which they were named, those of a folder or a glob sorted.

    arguments : files, folders, globs, and `-` for a list of paths on standard input; files_from : a file with one path
    a line. `only` keeps files of these suffixes (with the dot, lower case) of a folder; without it all but the
    tool's own files (.nid, .nidc) are taken. A path that does not exist becomes an input with a `problem`.
    Raises UsageError if nothing is named, InputError for a list that is empty or cannot be read.
    """
    inputs: list[Input] = []
    for argument in arguments:
        if argument == "-":
            inputs += _listed(_lines(None), recursive, only)
        else:
            inputs += _one(argument, recursive, only)
    if files_from is not None:
        inputs += _listed(_lines(None if str(files_from) == "-" else files_from), recursive, only)
    if not inputs:
        raise UsageError("No inputs are given; name files, folders or globs, or - for a list on standard input.")
    return inputs


def match(inputs: Sequence[Input], partners: Sequence[Input]) -> list[Pair]:
    """Pair every input with the partner of the same path below its folder, suffix apart; one with one always fit."""
    if len(inputs) == len(partners) == 1 and inputs[0].named and partners[0].named:
        return [Pair(inputs[0], partners[0].path, inputs[0].problem or partners[0].problem)]
    exact, stems = Counter[Path](), Counter[str]()
    found: dict[Path | str, Path] = {}
    for partner in partners:
        if not partner.relative.name:  # an empty folder
            continue
        key = partner.relative.with_suffix("")
        exact[key] += 1
        stems[key.name] += 1
        found[key] = found[key.name] = partner.path
    pairs = []
    for item in inputs:
        if item.problem:
            pairs.append(Pair(item, item.path, item.problem))
            continue
        key = item.relative.with_suffix("")
        hits = exact[key] or stems[key.name]
        partner_path = found[key if exact[key] else key.name] if hits else item.path
        problem = ""
        if hits == 0:
            problem = f"{item.path} has no partner of the same name; add one called {key.name}.*."
        elif hits > 1:
            problem = f"{item.path} has {hits} partners called {key.name}.*; leave one."
        pairs.append(Pair(item, partner_path, problem))
    return pairs


def _one(argument: str, recursive: bool, only: frozenset[str]) -> list[Input]:
    path = Path(argument)
    if path.is_dir():
        return _folder(path, recursive, only)
    if path.exists() or not glob.has_magic(argument):
        problem = "" if path.exists() else f"{path} does not exist; check the path."
        return [Input(path, Path(path.name), named=True, problem=problem)]
    found = sorted(Path(hit) for hit in glob.glob(argument, recursive=True))
    root = _root(path) if recursive else None
    inputs: list[Input] = []
    for hit in found:
        if hit.is_file():
            inputs.append(Input(hit, hit.relative_to(root) if root is not None else Path(hit.name)))
        elif recursive and hit.is_dir() and "**" not in argument:  # ** has been into its folders already
            inputs += _folder(hit, recursive, only)
    return inputs or [Input(path, Path(path.name), problem=f"{argument} matches no file; check the pattern.")]


def _root(pattern: Path) -> Path:
    """The part of a glob in front of its first wildcard."""
    parts: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _folder(folder: Path, recursive: bool, only: frozenset[str]) -> list[Input]:
    found: list[Path] = []
    try:
        if recursive:
            for place, folders, names in os.walk(folder):
                folders[:] = [name for name in folders if not name.startswith(".")]
                found += [Path(place, name) for name in names]
        else:
            found = list(folder.iterdir())
    except OSError as error:
        reason = error.strerror or error
        return [Input(folder, Path(), problem=f"{folder} cannot be listed ({reason}); change its permissions.")]
    kept = [path for path in sorted(found) if _wanted(path, only)]
    if not kept:
        what = f"{' or '.join(sorted(only))} files" if only else "files"
        hint = "name another folder" if recursive else "add -r for its subfolders"
        return [Input(folder, Path(), problem=f"{folder} holds no {what}; {hint}.")]
    return [Input(path, path.relative_to(folder)) for path in kept]


def _wanted(path: Path, only: frozenset[str]) -> bool:
    suffix = path.suffix.lower()
    right = suffix in only if only else suffix not in ARTIFACTS
    return right and not path.name.startswith(".") and path.is_file()


def _listed(lines: list[str], recursive: bool, only: frozenset[str]) -> list[Input]:
    inputs: list[Input] = []
    for line in lines:
        inputs += [Input(i.path, i.relative, problem=i.problem) for i in _one(line, recursive, only)]
    return inputs


def _lines(path: Path | None) -> list[str]:
    """The lines that are not blank, of a file or of standard input."""
    name = "The list on standard input" if path is None else f"The list {path}"
    try:
        text = sys.stdin.read() if path is None else path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or error}); check the path.") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{name} is empty; write one path a line.")
    return lines
