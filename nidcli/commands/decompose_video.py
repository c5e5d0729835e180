"""`nid decompose-video`: the background of a fixed camera, and what moves in front of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Inputs
from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.batch import Done
    from nidcli.files.inputs import Input
    from nidcli.files.video import Clip

_SAVE = "Keep the background as a dictionary."
_DICT = "Start from a background of the same camera; nothing is learned."


def command(
    files: FileOptions,
    run: RunOptions,
    report: ReportOptions,
    inputs: Inputs = None,
    threshold: Annotated[str, typer.Option("--threshold", metavar="auto|T", help="In grey levels of 255.")] = "auto",
    min_area: Annotated[int, typer.Option("--min-area", min=0, metavar="PX", help="Smaller parts are noise.")] = 40,
    roi: Annotated[str | None, typer.Option("--roi", metavar="X,Y,W,H", help="Where masks may be set.")] = None,
    save_dict: Annotated[Path | None, typer.Option("--save-dict", metavar="FILE.nid", help=_SAVE)] = None,
    dictionary: Annotated[str | None, typer.Option("--dict", metavar="FILE.nid", help=_DICT)] = None,
) -> None:
    """
    Each clip, or folder of frames, becomes background.png, background.mp4, foreground.mp4, masks/ and report.json.

    \b
      nid decompose-video clip.mp4 -o out/
      nid decompose-video monday.mp4 -o monday/ --save-dict camera.nid
      nid decompose-video tuesday.mp4 -o tuesday/ --dict camera.nid --roi 0,120,640,360
    """
    console = report.console("decompose-video")
    from nidcli import batch
    from nidcli.commands.frame_progress import FrameProgress
    from nidcli.commands.video_items import background, keep, memory_note, start
    from nidcli.commands.video_options import settings
    from nidcli.files.clips import expand_clips, plan_clips
    from nidcli.files.video import open_clip
    from nidcli.video.job import decompose
    from nidcli.video.report import write_report

    wanted = settings(threshold, min_area, roi)
    found = expand_clips(inputs or (), recursive=files.recursive, files_from=files.files_from)
    flags = {"overwrite": files.overwrite, "skip_existing": files.skip_existing, "dry_run": run.dry_run}
    jobs = plan_clips(found, files.output, **flags)
    if save_dict is not None:
        if len(found) != 1:
            raise UsageError(f"--save-dict keeps one background, but {len(found)} clips are given; name one.")
        keep(save_dict, files.overwrite)
    device = start(run)
    known = background(dictionary, device) if dictionary else None
    folders = {job.input: job.output.parent for job in jobs if job.output}

    def load(item: Input) -> tuple[Input, Clip]:
        return item, open_clip(item.path)

    if run.dry_run:
        console.note(memory_note())
        console.conclude(batch.dry_run(jobs, console), dictionary=dictionary, device=device)

    shown = FrameProgress(console)

    def compute(loaded: list[tuple[Input, Clip]]) -> list[Done]:
        ((item, clip),) = loaded
        result = decompose(clip, folders[item], wanted, device, known, shown.of(item.path.name, clip.count))
        if save_dict is not None:
            keep(save_dict, files.overwrite, result)
        return [batch.Done(result.report, lambda path: write_report(path, item.path.name, wanted, result))]

    console.conclude(batch.run(jobs, load, compute, shown), dictionary=dictionary, device=device)
