"""`nid info`: what a dictionary or a code file holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nidcli.commands.groups import ReportOptions
from nidcli.commands.options import FilesFrom, Inputs, Overwrite, Recursive


def command(
    report: ReportOptions,
    inputs: Inputs = None,
    atoms: Annotated[
        Path | None, typer.Option("--atoms", metavar="FILE.png", help="Draw the atoms of one dictionary.")
    ] = None,
    overwrite: Overwrite = False,
    recursive: Recursive = False,
    files_from: FilesFrom = None,
) -> None:
    """
    Dictionaries may be given by the names of those that the package brings.

    \b
      nid info face
      nid info faces.nid --atoms atoms.png
      nid info codes/*.nidc --json
    """
    from nidcli import facts
    from nidcli.artifacts import bundled_paths
    from nidcli.errors import OutputError, UsageError
    from nidcli.files.inputs import ARTIFACTS, expand
    from nidcli.outcome import Item, Outcome, explain

    found = expand(bundled_paths(inputs or ()), recursive=recursive, files_from=files_from, only=ARTIFACTS)
    if atoms is not None and len(found) != 1:
        raise UsageError(f"--atoms draws one dictionary, but {len(found)} files are given; name one.")
    if atoms is not None and atoms.exists() and not overwrite:
        raise OutputError(f"{atoms} exists already; give --overwrite.")
    console = report.console("info")
    items: list[Item] = []
    for each in found:
        start = time.perf_counter()
        try:
            held = facts.read(each, atoms)
            item = Item(str(each.path), str(atoms) if atoms else None, time.perf_counter() - start, held)
        except Exception as error:
            item = Item(str(each.path), error=explain(error, str(each.path)))
        if item.error is None and not report.jsonl:
            console.say(facts.text(item))
        else:
            console.item(item)
        items.append(item)
    console.conclude(Outcome(tuple(items)), device="cpu")
