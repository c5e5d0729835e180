"""`nid sdf-recon`: point clouds to meshes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Dictionary, Inputs
from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.batch import Done
    from nidcli.files.clouds import Cloud

_PREVIEW = typer.Option("--preview", metavar="FILE.png", help="A picture of cloud and mesh; for many, a folder.")
_NOISE = typer.Option("--noise", min=0.0, metavar="SIGMA", help="Of the points, in the cloud's units; else estimated.")
_RESOLUTION = typer.Option("--resolution", min=0, max=1024, help="Steps along the longest side, about; 0 by density.")
_SYMMETRY = typer.Option("--symmetry", help="Use mirror images that lie on what is seen, where there is a mirror.")
_COMPLETE = typer.Option("--complete", help="The unseen: open, mirror images, then straight on, then as shapes are.")


def command(
    files: FileOptions,
    run: RunOptions,
    report: ReportOptions,
    inputs: Inputs = None,
    dictionary: Dictionary = "chair",
    resolution: Annotated[int, _RESOLUTION] = 0,
    normals: Annotated[
        Literal["auto", "file", "estimate"],
        typer.Option("--normals", help="Of the file, or estimated; auto takes what the file has."),
    ] = "auto",
    noise: Annotated[float | None, _NOISE] = None,
    complete: Annotated[Literal["none", "mirror", "straight", "shape"], _COMPLETE] = "none",
    symmetry: Annotated[Literal["auto", "none"], _SYMMETRY] = "auto",
    form: Annotated[Literal["ply", "obj", "stl", "glb"], typer.Option("--format", help="Of the meshes.")] = "ply",
    preview: Annotated[Path | None, _PREVIEW] = None,
) -> None:
    """
    Each cloud (.ply, .xyz, .npz, .pcd, .obj) becomes a mesh in its own frame.

    \b
      nid sdf-recon chair.ply -o chair.glb --preview chair.png
      nid sdf-recon scans/ -o meshes/ --normals estimate --noise 0.5 --json
    """
    console = report.console("sdf-recon")
    from nidcli import batch
    from nidcli.artifacts import load_model
    from nidcli.files.clouds import CLOUDS, read_cloud
    from nidcli.files.meshes import MESHES, write_mesh
    from nidcli.sdf.preview import write_preview
    from nidcli.sdf.reconstruct import Options, check_model, plan_note, reconstruct

    named = Path(files.output or "").suffix.lower()
    suffix = named if named in MESHES and not Path(files.output or "").is_dir() else f".{form}"
    jobs = files.plan(files.inputs(inputs, only=CLOUDS), suffix, dry_run=run.dry_run)
    if preview is not None and (len(jobs) == 1) != (preview.suffix.lower() == ".png"):
        raise UsageError(f"--preview {preview} should be a .png file for one cloud, and a folder for many; change it.")
    options = Options(resolution=resolution, normals=normals, noise=noise, complete=complete, symmetry=symmetry)
    artifact = load_model(dictionary, device := run.start())
    check_model(artifact.model, artifact.name, options)
    if run.dry_run:
        console.note(plan_note(options))
        console.conclude(batch.dry_run(jobs, console), dictionary=artifact.name, device=device)

    def compute(loaded: list[tuple[Path, Cloud]]) -> list[Done]:
        done = []
        for path, cloud in loaded:
            surface = reconstruct(artifact.model, cloud, options, console.note, str(path))
            if preview is not None:
                write_preview(preview, path.stem, surface)
            done.append(batch.Done(surface.report, partial(write_mesh, mesh=surface.mesh)))
        return done

    outcome = batch.run(jobs, lambda item: (item.path, read_cloud(item.path)), compute, console)
    console.conclude(outcome, dictionary=artifact.name, device=device)
