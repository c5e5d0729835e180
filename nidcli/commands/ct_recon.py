"""`nid ct-recon`: sinograms to slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nidcli.commands.ct_options import RayOptions
from nidcli.commands.ct_slices import SliceOptions
from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Dictionary, Inputs
from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.batch import Done
    from nidcli.ct.loading import Scan
    from nidcli.files.inputs import Input


def command(
    files: FileOptions,
    run: RunOptions,
    report: ReportOptions,
    rays: RayOptions,
    slices: SliceOptions,
    inputs: Inputs = None,
    dictionary: Dictionary = "phantom",
) -> None:
    """
    The dictionary says what such slices look like, the rays decide, and total variation fills what neither holds.
    Not for diagnosis: where views are few, a plausible slice may still be a wrong one.

    Sinograms are .npy, .npz (sinogram, angles), TIFF, or HDF5 as of Data Exchange, one or a stack of them. Slices are
    .npy in float32, .tif or .png by the suffix of -o. A stack that was stopped goes on with the same command.

    \b
      nid ct-recon scan.npy --angles 16 --dict phantom -o slice.npy
      nid ct-recon scans/ --angles 0:180:3 -o slices/ --baseline tv --json
      nid ct-recon radon.npy --angles 32 --convention skimage -o slice.png --window 0.5 --level 0.4
    """
    console = report.console("ct-recon")
    from pathlib import Path

    from nidcli import batch
    from nidcli.artifacts import load_model
    from nidcli.ct.loading import open_scan
    from nidcli.ct.reconstruct import Reconstructor
    from nidcli.ct.stack import references, slices_of, unlike
    from nidcli.files.sinograms import SINOGRAMS
    from nidcli.files.slice_writing import SLICES

    settings, wanted = slices.settings(rays), slices.wanted()
    suffix = Path(files.output or "").suffix.lower()
    if suffix and suffix not in SLICES and not Path(files.output or "").is_dir():
        raise UsageError(f"-o {files.output} is no file of slices; end it in .npy, .tif or .png.")
    named = files.inputs(inputs, only=SINOGRAMS)
    true = references(named, slices.reference)
    jobs = files.plan(named, suffix if suffix in SLICES else ".npy", dry_run=run.dry_run)
    device = run.start()
    artifact = load_model(dictionary, device)
    if run.dry_run:
        console.conclude(batch.dry_run(jobs, console), dictionary=artifact.name, device=device)
    reconstructor = Reconstructor(artifact.model, settings)
    outputs = {job.input.path: job.output for job in jobs if job.output is not None and not job.input.problem}

    def load(item: Input) -> Scan:
        return open_scan(item.path, rays.degrees(), rays.axes, console.note)

    def compute(scans: list[Scan]) -> list[Done]:
        done = []
        for scan in scans:
            path, key = scan.file.path, artifact.fingerprint
            found, write = slices_of(reconstructor, scan, outputs[path], wanted, true.get(path), key, console.progress)
            if found.unfit:
                console.note(unlike(path, found, artifact.name))
            done.append(batch.Done(found, write))
        return done

    outcome = batch.run(jobs, load, compute, console)
    console.conclude(outcome, dictionary=artifact.name, device=device)
