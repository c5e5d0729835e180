"""`nid refine`: better values for the coefficients of codes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Dictionary, Inputs
from nidcli.errors import InputError

if TYPE_CHECKING:
    from nidcli.batch import Done
    from nidcli.commands.items import Coded
    from nidcli.files.inputs import Input


def command(
    files: FileOptions,
    run: RunOptions,
    report: ReportOptions,
    data: Annotated[str, typer.Option("--data", metavar="IMAGES", help="The photos, matched with the codes by stem.")],
    inputs: Inputs = None,
    dictionary: Dictionary = "face",
    steps: Annotated[int, typer.Option("--steps", min=0, help="Steps of the solver.")] = 10,
    solver: Annotated[Literal["cg", "adam"], typer.Option("--solver", help="adam is the paper's.")] = "cg",
) -> None:
    """
    The experts of a code stay, their values are fitted to the photo.

    \b
      nid refine codes/ --data photos/ -o refined/
      nid refine photo.nidc --data photo.png -o better.nidc --steps 20
    """
    console = report.console("refine")
    from nidcli import batch
    from nidcli.artifacts import check_dictionary, load_codes, load_model, save_codes
    from nidcli.coding import encode_photos, measured_photos, refiner
    from nidcli.commands.items import Coded, Refined
    from nidcli.commands.shared import load_photo, plan_note
    from nidcli.files.inputs import CODES, expand, match

    found = files.inputs(inputs, only=CODES)
    pairs = {pair.input.path: pair for pair in match(found, expand([data], recursive=files.recursive))}
    found = [replace(item, problem=item.problem or pairs[item.path].problem) for item in found]
    jobs = files.plan(found, ".nidc", dry_run=run.dry_run)
    device = run.start()
    artifact = load_model(dictionary, device)
    if run.dry_run:
        console.note(plan_note(artifact))
        console.conclude(batch.dry_run(jobs, console), dictionary=artifact.name, device=device)
    code = refiner(solver, steps)

    def load(item: Input) -> Coded:
        file = load_codes(item.path)
        check_dictionary(file, artifact)
        width, height, partner = file.code.width, file.code.height, pairs[item.path].partner
        photo = load_photo(partner, max(width, height))
        if (photo.width, photo.height) != (width, height):
            raise InputError(f"{item.path} codes {width} x {height} pixels and {partner} has another shape; encode it.")
        return Coded(file, photo)

    def compute(loaded: list[Coded]) -> list[Done]:
        init, photos = [each.file.code for each in loaded], [each.photo.pixels for each in loaded]
        before = measured_photos(artifact.model, init, photos)
        codes, after = encode_photos(artifact.model, photos, code, init=init)
        done = []
        for each, image_code, first, last in zip(loaded, codes, before, after, strict=True):
            if not last.psnr >= first.psnr:  # steps of adam can overshoot, and cells that overlap are fitted apart
                image_code, last = each.file.code, first
            save = partial(save_codes, code=image_code, dictionary=artifact.reference, source=each.file.source)
            done.append(batch.Done(Refined(first.psnr, last.psnr, last.ssim), save))
        return done

    outcome = batch.run(jobs, load, compute, console, size=16, key=lambda each: each.key)
    console.conclude(outcome, dictionary=artifact.name, device=device)
