"""`nid encode`: photos to sparse codes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Dictionary, Inputs

if TYPE_CHECKING:
    from nidcli.batch import Done
    from nidcli.files.images import Image


def command(
    files: FileOptions,
    run: RunOptions,
    report: ReportOptions,
    inputs: Inputs = None,
    dictionary: Dictionary = "face",
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, help="Coefficients a cell; the dictionary's own.")
    ] = None,
    solver: Annotated[
        Literal["gate", "omp", "fista", "map", "adam"],
        typer.Option("--solver", help="gate is instant, omp the best; adam is the paper's."),
    ] = "gate",
    size: Annotated[int | None, typer.Option("--size", min=1, help="Resize the longer side first.")] = None,
    cells: Annotated[str, typer.Option("--cells", help="Cells along the longer side, or auto.")] = "auto",
) -> None:
    """
    Each photo becomes STEM.nidc: which experts draw it, and how strongly.

    \b
      nid encode photos/ -o codes/ --dict face
      nid encode photo.png -o photo.nidc --solver omp --top-k 16 --json
    """
    console = report.console("encode")
    from nidcli import batch
    from nidcli.artifacts import Source, load_model, save_codes
    from nidcli.coding import coder, encode_photos
    from nidcli.commands.items import Encoded
    from nidcli.commands.shared import cells_option, load_photo, plan_note

    jobs = files.plan(files.inputs(inputs), ".nidc", dry_run=run.dry_run)
    device, side = run.start(), cells_option(cells)
    artifact = load_model(dictionary, device)
    k = top_k or artifact.model.level(-1).spec.top_k
    if run.dry_run:
        console.note(plan_note(artifact))
        console.conclude(batch.dry_run(jobs, console), dictionary=artifact.name, device=device)
    code, gated = coder(artifact.model, solver, k), solver == "gate"

    def compute(photos: list[Image]) -> list[Done]:
        pixels = [photo.pixels for photo in photos]
        codes, found = encode_photos(artifact.model, pixels, code, cells=side, own_sampling=gated)
        done = []
        for photo, image_code, quality in zip(photos, codes, found, strict=True):
            source = Source(photo.bit_depth, photo.channels)
            item = Encoded(quality.psnr, quality.ssim, k, image_code.coefficients)
            save = partial(save_codes, code=image_code, dictionary=artifact.reference, source=source)
            done.append(batch.Done(item, save))
        return done

    load = lambda item: load_photo(item.path, size)  # noqa: E731
    outcome = batch.run(
        jobs,
        load,
        compute,
        console,
        size=32 if gated else 4,
        key=lambda photo: (photo.pixels.shape, photo.pixels.dtype),
    )
    console.conclude(outcome, dictionary=artifact.name, device=device)
