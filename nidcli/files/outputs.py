"""Where every output goes, settled before any work begins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nidcli.errors import OutputError, UsageError
from nidcli.files.atomic import make_folder
from nidcli.files.inputs import Input


@dataclass(frozen=True)
class Job:
    """An input and the file that it becomes, None where a command writes none; `skip`: the file is there already."""

    input: Input
    output: Path | None = None
    skip: bool = False


def plan(
    inputs: Sequence[Input],
    output: str | Path | None,
    suffix: str,
    *,
    overwrite: bool = False,
    skip_existing: bool = False,
    dry_run: bool = False,
) -> list[Job]:
    """A job for every input; two that would write the same file make the later one fail.

    output : a file for one input that is named itself, else a folder, which is made; None puts outputs beside their
    inputs. A name that has a suffix, no slash at its end, and is no folder yet is taken for a file.
    suffix : of the outputs, with its dot; empty keeps each input's own. An output beside its input that would be the
    input itself is called STEM_nid instead.
    Raises OutputError before any work for outputs that exist (without `overwrite` or `skip_existing`) or a folder
    that cannot be written, UsageError for flags that contradict one another.
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other; give one of them.")
    file = _as_file(inputs, output, suffix)
    folder = None if output is None or file else Path(output)
    jobs, taken = [], dict[Path, Input]()
    for item in inputs:
        target = file or _target(item, folder, suffix)
        if not item.problem and target in taken:
            others = f"{target} is written from {taken[target].path} already"
            item = replace(item, problem=f"{item.path} is left out: {others}; rename it or run it on its own.")
        elif not item.problem:
            taken[target] = item
        jobs.append(Job(item, target, skip=not item.problem and skip_existing and target.exists()))
    existing = [job.output for job in jobs if not job.input.problem and job.output is not None and job.output.exists()]
    if existing and not overwrite and not skip_existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise OutputError(f"{existing[0]} exists already{more}; give --overwrite or --skip-existing.")
    if not dry_run:
        roots = {folder} if folder else {job.output.parent for job in jobs if not job.input.problem and job.output}
        for root in sorted(roots):
            make_folder(root, probe=True)
    return jobs


def _as_file(inputs: Sequence[Input], output: str | Path | None, suffix: str) -> Path | None:
    """The output as one file, or None if it is a folder."""
    if output is None or Path(output).is_dir() or str(output).endswith(("/", os.sep)):
        return None
    path = Path(output)
    if len(inputs) == 1 and inputs[0].named:
        return path if path.suffix else None
    if path.is_file() or (suffix and path.suffix.lower() == suffix):
        raise UsageError(f"-o {output} is a file, but {len(inputs)} outputs are to be written; give a folder.")
    return None


def _target(item: Input, folder: Path | None, suffix: str) -> Path:
    name = (item.relative if item.relative.name else Path(item.path.name)).with_suffix(suffix or item.path.suffix)
    if folder is not None:
        return folder / name
    beside = item.path.with_name(name.name)
    return beside.with_stem(f"{beside.stem}_nid") if beside == item.path else beside
