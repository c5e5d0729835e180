"""`nid convert`: the published checkpoint to a dictionary."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from nidcli.commands import options
from nidcli.commands.groups import ReportOptions
from nidcli.errors import OutputError, UsageError

_INPUT = typer.Argument(metavar="CKPT", help="A checkpoint of the paper's published code.")
_OUTPUT = typer.Option("-o", "--output", metavar="FILE.nid", help="The dictionary.")
_TOP_K = typer.Option("--top-k", min=1, help="Coefficients a cell, which the checkpoint does not tell.")


@dataclass(frozen=True)
class Conversion:
    """Keys of an item. dropped : parts of the checkpoint that the dictionary does without."""

    experts: int
    top_k: int
    gate: bool
    epochs: int
    dropped: tuple[str, ...]


def command(
    report: ReportOptions,
    checkpoint: Annotated[Path, _INPUT],
    output: Annotated[Path, _OUTPUT],
    top_k: Annotated[int, _TOP_K] = 256,
    licence: Annotated[str, typer.Option("--licence", metavar="TEXT", help="Of its training data.")] = "",
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
) -> None:
    """
    Reads tensors and numbers and nothing else; a file that holds more is refused.

    \b
      nid convert official.ckpt -o face.nid
    """
    start, console = time.perf_counter(), report.console("convert")
    if output.suffix.lower() != ".nid":
        raise UsageError(f"-o {output} does not end in .nid; name a file such as {output.stem or 'face'}.nid.")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists already; give --overwrite.")
    from nidcli.artifacts import Metadata, Provenance, save_model
    from nidcli.files.atomic import make_folder
    from nidcli.moe.official import convert
    from nidcli.outcome import Item, Outcome

    found = convert(checkpoint, top_k)
    level = found.model.spec.levels[0]
    told = Conversion(level.dictionary.experts, level.top_k, found.model.moe is not None, found.epochs, found.dropped)
    if not dry_run:
        make_folder(output.parent, probe=True)
        command_line = f"nid convert PATH --top-k {top_k}"
        save_model(output, found.model, Metadata(provenance=Provenance(command=command_line, data_licence=licence)))
    size = None if dry_run else output.stat().st_size
    item = Item(str(checkpoint), str(output), time.perf_counter() - start, told, size, planned=dry_run)
    console.item(item)
    console.conclude(Outcome((item,)))
