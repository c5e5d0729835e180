"""`nid decode`: codes back to images, at any size."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Dictionary, Inputs
from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.artifacts import CodeFile
    from nidcli.batch import Done


def command(
    files: FileOptions,
    run: RunOptions,
    report: ReportOptions,
    inputs: Inputs = None,
    dictionary: Dictionary = "face",
    scale: Annotated[float | None, typer.Option("--scale", help="Times the size of the photo, such as 2.")] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Pixels, such as 640x480.")] = None,
    form: Annotated[
        Literal["png", "jpg", "tif", "webp", "npy"] | None, typer.Option("--format", help="Of the images; png.")
    ] = None,
) -> None:
    """
    A code is a continuous field: it can be drawn at another size than the photo had.

    \b
      nid decode codes/ -o images/
      nid decode photo.nidc -o large.png --scale 2
    """
    console = report.console("decode")
    from pathlib import Path

    from nidcli import batch
    from nidcli.artifacts import check_dictionary, load_codes, load_model
    from nidcli.coding import decode_photo
    from nidcli.commands.items import Decoded
    from nidcli.commands.shared import drawn_size, plan_note
    from nidcli.files.image_writing import FORMATS
    from nidcli.files.images import write_image
    from nidcli.files.inputs import CODES

    if scale is not None and size is not None:
        raise UsageError("--scale and --size contradict each other; give one of them.")
    drawn_size(1, 1, scale, size)  # what makes no sense is told before any work
    named = Path(files.output or "").suffix.lower()
    suffix = f".{form}" if form else named if named in FORMATS else ".png"
    if FORMATS.get(named, FORMATS[suffix]) != FORMATS[suffix] and not Path(files.output or "").is_dir():
        raise UsageError(f"--format {form} and -o {files.output} contradict each other; give one of them.")
    jobs = files.plan(files.inputs(inputs, only=CODES), suffix, dry_run=run.dry_run)
    device = run.start()
    artifact = load_model(dictionary, device)
    if run.dry_run:
        console.note(plan_note(artifact))
        console.conclude(batch.dry_run(jobs, console), dictionary=artifact.name, device=device)

    def compute(loaded: list[CodeFile]) -> list[Done]:
        done = []
        for file in loaded:
            check_dictionary(file, artifact)
            width, height = drawn_size(file.code.width, file.code.height, scale, size)
            depth = 8 if suffix in (".jpg", ".webp") else 32 if suffix == ".npy" else min(file.source.bit_depth, 16)
            pixels = decode_photo(artifact.model, file.code, width, height, file.source.channels, depth)
            done.append(batch.Done(Decoded(width, height), partial(write_image, values=pixels)))
        return done

    outcome = batch.run(jobs, lambda item: load_codes(item.path), compute, console, size=1)
    console.conclude(outcome, dictionary=artifact.name, device=device)
