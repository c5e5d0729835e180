"""Options that commands share, each defined once: its flags, its help and its type."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nidcli.commands.layers import load_config

_FILES, _RUN, _REPORT = "Files", "Run", "Reports"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUTS", help="Files, folders, globs, or - for a list of paths on standard input."),
]
Dictionary = Annotated[
    str, typer.Option("--dict", metavar="NAME|FILE", help="A dictionary that the package brings, or a .nid file.")
]
Output = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="PATH", rich_help_panel=_FILES, help="A file for one input, or a folder."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", rich_help_panel=_FILES, help="Replace outputs that exist.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", rich_help_panel=_FILES, help="Leave inputs out whose outputs exist.")
]
Recursive = Annotated[
    bool, typer.Option("-r", "--recursive", rich_help_panel=_FILES, help="Go into subfolders and mirror them.")
]
FilesFrom = Annotated[
    Path | None,
    typer.Option("--files-from", metavar="LIST", rich_help_panel=_FILES, help="A file with one input path a line."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], typer.Option("--device", rich_help_panel=_RUN, help="Where to compute.")
]
Threads = Annotated[
    int, typer.Option("--threads", min=0, rich_help_panel=_RUN, help="CPU threads to compute with; 0 leaves it open.")
]
Seed = Annotated[int, typer.Option("--seed", rich_help_panel=_RUN, help="Seed of all that is random.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=_RUN, help="Tell the plan and its memory, and do nothing.")
]
Preset = Annotated[
    str | None, typer.Option("--preset", metavar="NAME", rich_help_panel=_RUN, help="A named set of values.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.yaml",
        is_eager=True,
        callback=load_config,
        rich_help_panel=_RUN,
        help="Values for the options, one `option: value` a line; flags win over them.",
    ),
]
Json = Annotated[bool, typer.Option("--json", rich_help_panel=_REPORT, help="One JSON document.")]
JsonLines = Annotated[bool, typer.Option("--jsonl", rich_help_panel=_REPORT, help="One line of JSON an item.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=_REPORT, help="No progress and no messages.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", rich_help_panel=_REPORT, help="More messages.")]
Debug = Annotated[bool, typer.Option("--debug", rich_help_panel=_REPORT, help="Tracebacks of errors.")]
