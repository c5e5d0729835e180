"""Which clips the user names: video files, and folders that are either full of them or are one clip, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nidcli.errors import OutputError, UsageError
from nidcli.files.atomic import make_folder
from nidcli.files.inputs import Input, expand
from nidcli.files.outputs import Job
from nidcli.files.video import VIDEO_SUFFIXES, frames_in

PRODUCTS = ("report.json", "background.png", "background.mp4", "foreground.mp4", "masks")


def expand_clips(arguments: Sequence[str], *, recursive: bool = False, files_from: Path | None = None) -> list[Input]:
    """As `expand`; a folder that holds images and no videos is one clip."""
    found: list[Input] = []
    for argument in arguments:
        path = Path(argument)
        if argument != "-" and path.is_dir() and not recursive and not _videos(path) and frames_in(path):
            found.append(Input(path, Path(path.resolve().name), named=True))
        else:
            found += expand([argument], recursive=recursive, only=VIDEO_SUFFIXES)
    if files_from is not None or not found:
        found += expand([], recursive=recursive, files_from=files_from, only=VIDEO_SUFFIXES)
    return found


def plan_clips(
    inputs: Sequence[Input],
    output: str | None,
    *,
    overwrite: bool = False,
    skip_existing: bool = False,
    dry_run: bool = False,
) -> list[Job]:
    """A job for every clip; its output is the report, written last, in the folder of all it makes.

    That folder is `output` itself for one clip that is named, a folder STEM in it for each of several. Raises
    OutputError before any work where outputs exist, UsageError where no folder is given or flags contradict.
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other; give one of them.")
    if output is None:
        raise UsageError("There is no folder for the results; give one with -o FOLDER/.")
    root = Path(output)
    if root.is_file():
        raise UsageError(f"-o {output} is a file, and the results are several; give a folder.")
    alone = len(inputs) == 1 and inputs[0].named
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    for item in inputs:
        stem = item.relative if item.path.is_dir() else item.relative.with_suffix("")
        folder = root if alone else root / stem
        if not item.problem and folder in taken:
            told = f"{item.path} is left out: {folder} is written from {taken[folder]} already"
            item = replace(item, problem=f"{told}; rename it or run it on its own.")
        elif not item.problem:
            taken[folder] = item.path
        there = [folder / name for name in PRODUCTS if (folder / name).exists()]
        if there and not item.problem and not overwrite and not skip_existing:
            raise OutputError(f"{there[0]} exists already; give --overwrite or --skip-existing.")
        report = folder / "report.json"
        jobs.append(Job(item, report, skip=skip_existing and not item.problem and report.exists()))
    if not dry_run:
        make_folder(root, probe=True)
    return jobs


def _videos(folder: Path) -> bool:
    return any(path.suffix.lower() in VIDEO_SUFFIXES for path in folder.iterdir())
