"""`nid upscale`: small photos to large ones."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Dictionary, Inputs
from nidcli.commands.restore_options import Align

if TYPE_CHECKING:
    from nidcli.batch import Done
    from nidcli.commands.restored import Holed
    from nidcli.files.inputs import Input


def command(
    files: FileOptions,
    run: RunOptions,
    report: ReportOptions,
    inputs: Inputs = None,
    dictionary: Dictionary = "face",
    scale: Annotated[Literal["2", "4", "8"], typer.Option("--scale", help="Times the size of the photo.")] = "4",
    align: Align = False,
    blur: Annotated[float, typer.Option("--blur", metavar="SIGMA", min=0, max=10, help="Of the photo, in pixels.")] = 0,
) -> None:
    """
    Averaged down again, the large photo is the small one.

    \b
      nid upscale small.png -o large.png --scale 4
    """
    console = report.console("upscale")
    from nidcli import batch
    from nidcli.artifacts import load_model
    from nidcli.commands.restored import Holed, Upscaled, warn
    from nidcli.commands.shared import drawn_size, plan_note
    from nidcli.files.images import read_image
    from nidcli.restore.photo import upscaled
    from nidcli.restore.writing import write_enlarged

    jobs = files.plan(files.inputs(inputs), "", dry_run=run.dry_run)
    device = run.start()
    artifact = load_model(dictionary, device)
    if run.dry_run:
        console.note(plan_note(artifact))
        console.conclude(batch.dry_run(jobs, console), dictionary=artifact.name, device=device)

    def load(item: Input) -> Holed:
        return Holed(item, read_image(item.path), None)

    def compute(loaded: list[Holed]) -> list[Done]:
        (one,) = loaded
        photo, times = one.photo, int(scale)
        width, height = drawn_size(photo.width, photo.height, times, None)
        large, fit = upscaled(artifact.model, photo.pixels, times, aligned=align, blur=blur)
        if not fit.fits:
            console.note(warn(one.item.path, fit.misfit, fit.usual, "enlarged without it"))
        keys = Upscaled(width, height, fit.misfit, fit.fits)
        return [batch.Done(keys, partial(write_enlarged, photo=photo, values=large))]

    console.conclude(batch.run(jobs, load, compute, console), dictionary=artifact.name, device=device)
