"""How decompose-video starts, and the backgrounds that it keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nidcli.commands.groups import RunOptions
from nidcli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from nidcli.model import Model
    from nidcli.video.job import Result


def start(run: RunOptions) -> str:
    """The device. Half the cores compute, unless --threads says otherwise: the others decode and write."""
    import torch

    device = run.start()
    if not run.threads:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    return device


def background(name: str, device: str) -> Model:
    """The model of a saved background. Raises ArtifactError if it is something else."""
    from nidcli.artifacts import load_model
    from nidcli.video.scene import check_scene

    model = load_model(name, device).model
    check_scene(model, name)
    return model


def keep(path: Path, overwrite: bool, result: Result | None = None) -> None:
    """Write the background of a result; without one only see whether it may be written."""
    from nidcli.artifacts import Metadata, Provenance
    from nidcli.files.atomic import make_folder
    from nidcli.video.keeping import save_background

    if path.suffix != ".nid":
        raise UsageError(f"--save-dict {path} has no suffix .nid; give it one.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; give --overwrite.")
    make_folder(path.parent, probe=True)
    if result is not None:
        provenance = Provenance(command="nid decompose-video PATH --save-dict PATH", data_count=result.report.frames)
        save_background(path, result.model, Metadata(provenance=provenance))


def memory_note() -> str:
    """What --dry-run says about memory."""
    return (
        "Memory: up to 1.5 GiB whatever the length of the clip, most of it for frames that the background is seen in."
    )
