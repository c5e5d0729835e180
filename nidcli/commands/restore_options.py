"""Options of inpaint and upscale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Mask = Annotated[
    Path | None, typer.Option("--mask", metavar="FILE|FOLDER", help="White = fill; one for all, or by stem.")
]
Invert = Annotated[bool, typer.Option("--invert-mask", help="Black = fill.")]
FromAlpha = Annotated[bool, typer.Option("--mask-from-alpha", help="Transparent = fill.")]
DamageMap = Annotated[
    Path | None, typer.Option("--damage-map", metavar="FOLDER", help="Write what was replaced, 0 or 255.")
]
Uncertainty = Annotated[
    Path | None, typer.Option("--uncertainty", metavar="FOLDER", help="Write 16-bit standard deviations.")
]
Align = Annotated[bool, typer.Option("--align", help="Find the face and work in its frame.")]
