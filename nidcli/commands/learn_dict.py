"""`nid learn-dict`: from photos to a dictionary."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nidcli.commands import options
from nidcli.commands.groups import ReportOptions, RunOptions
from nidcli.commands.learn_options import LearnOptions
from nidcli.errors import OutputError, UsageError

_DATA = typer.Option("--data", help="A folder, a glob, a stack, .tar shards, a clip, phantoms:N; may be repeated.")
_OUTPUT = typer.Option("-o", "--output", metavar="FILE.nid", help="The dictionary.")
_RUN = typer.Option("--run", metavar="FOLDER", help="For metrics.jsonl and the checkpoint; by default FILE.run.")


def command(
    report: ReportOptions,
    learn: LearnOptions,
    output: Annotated[Path, _OUTPUT],
    data: Annotated[list[str] | None, _DATA] = None,
    run: Annotated[Path | None, _RUN] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: options.Overwrite = False,
    recursive: options.Recursive = False,
    files_from: options.FilesFrom = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
) -> None:
    """
    Ctrl-C ends the step at hand and saves; the same command with --resume goes on, to the same result.

    \b
      nid learn-dict --data photos/ -o photos.nid
      nid learn-dict --data faces/ -o faces.nid --preset face --time-limit 10m
      nid learn-dict --data 'shards/*.tar' -o small.nid --preset small --experts 512 --cells 4
      nid learn-dict --kind ct --data phantoms:1024 -o heads.nid
      nid learn-dict --kind video --data monday.mp4 -o camera.nid
    \b
    Slices of CT are arrays, 16-bit images, DICOM or NIfTI; their lookup codes are solved for: nid encode slices/.
    """
    start, console, name = time.perf_counter(), report.console("learn-dict"), ", ".join(data or [str(files_from)])
    if output.suffix.lower() != ".nid":
        raise UsageError(f"-o {output} does not end in .nid; name a file such as {output.stem or 'my'}.nid.")
    from nidcli.files.atomic import make_folder
    from nidcli.files.collections import BUDGET
    from nidcli.outcome import Item, Outcome
    from nidcli.runs import RunFolder, drive

    (taught, spec), limit, folder = learn.read(), learn.seconds(), run or output.with_suffix(".run")
    running = RunFolder.of(folder, spec.learn, "")
    if output.exists() and not overwrite and not running.checkpoint.exists():
        if not resume:
            raise OutputError(f"{output} exists already; give --overwrite.")
        console.conclude(Outcome((Item(name, str(output), skipped=True),)))
    place = RunOptions(device=device, threads=threads, seed=spec.seed).start()
    photos = taught.open_data(data or (), spec, recursive=recursive, files_from=files_from, warn=console.note)
    learner = taught.learner(spec, photos, place, limit)
    if dry_run:
        item = Item(name, str(output), report=taught.plan(learner, BUDGET), planned=True)
        console.item(item)
        console.conclude(Outcome((item,)), device=place)
    make_folder(output.parent, probe=True)
    running = RunFolder.of(folder, spec.learn, photos.digest)
    running.start(learner, resume=resume, overwrite=overwrite)
    if not learner.held:
        console.note("Nothing is held out to judge the dictionary by; --holdout N would hold some.")
    if spec.data_licence and learn.licence is None:
        console.note(f"Licence recorded for the data, unless --licence says otherwise: {spec.data_licence}")
    drive(learner, running, console.progress)
    learned = taught.save(output, learner, spec, learn.command(), photos.digest)
    running.finish(learned)
    item = Item(name, str(output), time.perf_counter() - start, learned, output.stat().st_size)
    console.item(item)
    console.conclude(Outcome((item,)), device=place)
