"""`nid inpaint`: photos with holes or damage, filled."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Dictionary, Inputs
from nidcli.commands.restore_options import Align, DamageMap, FromAlpha, Invert, Mask, Uncertainty

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
    mask: Mask = None,
    invert: Invert = False,
    alpha: FromAlpha = False,
    damage: DamageMap = None,
    unsure: Uncertainty = None,
    align: Align = False,
) -> None:
    """
    Without a mask the damage is found, and only what is found is replaced.

    \b
      nid inpaint photo.png -o whole.png --mask hole.png
      nid inpaint scans/ -o restored/ --damage-map damage/
    """
    console = report.console("inpaint")
    from nidcli import batch
    from nidcli.artifacts import load_model
    from nidcli.commands.restored import Holed, Inpainted, beside, one_mask, warn
    from nidcli.commands.shared import plan_note
    from nidcli.files.images import read_image
    from nidcli.files.masks import mask_from_alpha, masks_of, read_mask
    from nidcli.restore.photo import restore
    from nidcli.restore.writing import write_restored

    one_mask(mask, alpha, invert)
    found = files.inputs(inputs)
    masks = masks_of(found, mask, recursive=files.recursive) if mask else {}
    jobs = files.plan(found, "", dry_run=run.dry_run)
    maps = {job.input.path: [beside(job, folder, files.overwrite) for folder in (damage, unsure)] for job in jobs}
    device = run.start()
    artifact = load_model(dictionary, device)
    if run.dry_run:
        console.note(plan_note(artifact))
        console.conclude(batch.dry_run(jobs, console), dictionary=artifact.name, device=device)

    def load(item: Input) -> Holed:
        photo, path = read_image(item.path), item.path
        if alpha:
            return Holed(item, photo, mask_from_alpha(photo, path, invert=invert))
        return Holed(item, photo, read_mask(masks[path], photo, invert=invert) if masks else None)

    def compute(loaded: list[Holed]) -> list[Done]:
        (one,) = loaded
        r = restore(
            artifact.model, one.photo.pixels, one.hole_HW, aligned=align, unsure=unsure is not None, seed=run.seed
        )
        if not r.fit.fits:
            done = "filled without it" if one.hole_HW is not None else "only grains are looked for"
            console.note(warn(one.item.path, r.fit.misfit, r.fit.usual, done))
        keys = Inpainted(r.damaged_fraction, one.hole_HW is not None, r.fit.misfit, r.fit.fits, r.converged)
        to, sure = maps[one.item.path]
        write = partial(write_restored, photo=one.photo, result=r, opaque=alpha, damage=to, unsure=sure)
        return [batch.Done(keys, write)]

    console.conclude(batch.run(jobs, load, compute, console), dictionary=artifact.name, device=device)
