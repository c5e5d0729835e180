"""The options of `nid learn-dict`: what to learn, and from what."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.kinds import Teaching

_WHAT, _TERMS = "Dictionary", ("licence", "attribution")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def _whole(flag: str, text: str, least: int = 1) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, min=least, metavar="N", rich_help_panel=_WHAT, help=text)
    return option


def _text(flag: str, metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, rich_help_panel=_WHAT, help=text)
    return option


_CELLS = "Cells a side; 1 is the whole photo, 0 as many as it takes at the preset's pixels a cell."
_KIND = "Photos, CT slices, meshes, or the clip of a fixed camera (video); by default the preset's."
_METHOD = "Codes solved for, or experts and gate trained together as in the paper (moe); by default the preset's."
_HOLDOUT = "To judge by: the last photos, 0 is a 20th; of a clip frames in between, 0 is an 8th."
_GATES, _GATE = "cell|none|cnn|set|lookup", "For codes at once; the last three are for --method moe."
_OVERLAP = typer.Option("--overlap", min=0, max=1, rich_help_panel=_WHAT, help="Of cells, as a share of a half cell.")
_SEED = typer.Option("--seed", rich_help_panel=_WHAT, help="Equal seeds give equal files, unless time is limited.")


@dataclass(frozen=True)
class LearnOptions:
    preset: Annotated[str | None, _text("--preset", "NAME", "A named set of values; by default the kind's.")] = None
    config: Annotated[Path | None, _text("--config", "FILE.yaml", "The preset's keys with values that win.")] = None
    kind: Annotated[str | None, _text("--kind", "image|ct|sdf|video", _KIND)] = None
    method: Annotated[Literal["solve", "moe"] | None, _text("--method", "solve|moe", _METHOD)] = None
    experts: Annotated[int | None, _whole("--experts", "Experts of the (finest) level.", 2)] = None
    top_k: Annotated[int | None, _whole("--top-k", "Coefficients a cell, unless asked otherwise later.")] = None
    cells: Annotated[int | None, _whole("--cells", _CELLS, 0)] = None
    overlap: Annotated[float | None, _OVERLAP] = None
    size: Annotated[int | None, _whole("--size", "Pixels a side to which training photos are resized.", 16)] = None
    gate: Annotated[Literal["cell", "cnn", "set", "lookup", "none"] | None, _text("--gate", _GATES, _GATE)] = None
    steps: Annotated[int | None, _whole("--steps", "Batches of learning.")] = None
    holdout: Annotated[int | None, _whole("--holdout", _HOLDOUT, 0)] = None
    seed: Annotated[int | None, _SEED] = None
    time_limit: Annotated[str | None, _text("--time-limit", "90s|10m|1h", "Be done in about this time.")] = None
    licence: Annotated[str | None, _text("--licence", "TEXT", "Of the photos; the dictionary records it.")] = None
    attribution: Annotated[str | None, _text("--attribution", "TEXT", "Whose the photos are, likewise.")] = None

    def read(self) -> tuple[Teaching, Any]:
        """Who teaches; and the preset, the configuration file above it, and the flags above both."""
        from nidcli.kinds import prepare
        from nidcli.training import Changes

        changes: Changes = Changes(**{field.name: getattr(self, field.name) for field in fields(Changes)})
        return prepare(self.kind, self.preset, self.config, changes, self.method)

    def command(self) -> str:
        """The command line as the dictionary records it: what shapes the result, no paths."""
        given = [f for f in fields(self) if getattr(self, f.name) != f.default and f.name not in _TERMS]
        values = [
            f"--{f.name.replace('_', '-')} {'PATH' if f.name == 'config' else getattr(self, f.name)}" for f in given
        ]
        return " ".join(["nid learn-dict --data PATH", *values])

    def seconds(self) -> float | None:
        """The time limit. Raises UsageError for what is no time."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", self.time_limit or "")
        if self.time_limit is not None and (not found or not float(found[1])):
            raise UsageError(f"--time-limit {self.time_limit} is no time; write it as 90s, 10m or 1h.")
        return float(found[1]) * _UNITS[found[2]] if found else None
