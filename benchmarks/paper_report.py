"""Tables of the paper's benchmarks: Markdown on standard output, and Markdown, JSON and plots in a folder."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nidcli.metadata import without_paths

NONE = "n/a"


@dataclass
class Table:
    """Columns, and rows of numbers or texts; None is shown as n/a."""

    name: str
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    rows: list[tuple[object, ...]] = field(default_factory=list)

    def add(self, *values: object) -> None:
        """A row, told as soon as it is known."""
        assert len(values) == len(self.columns)
        self.rows.append(values)
        print("  ", " | ".join(shown(value) for value in values), file=sys.stderr, flush=True)

    def markdown(self) -> str:
        """The table with where and when it was made."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(shown(value) for value in row) + " |" for row in self.rows]
        return "\n".join([f"## {self.name}", "", *lines, "", *(f"- {note}" for note in (*self.notes, machine())), ""])

    def write(self, folder: Path) -> None:
        """NAME.md and NAME.json, and the Markdown on standard output."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = self.name.split(":")[0].lower().replace(" ", "")
        (folder / f"{stem}.md").write_text(self.markdown())
        rows = [dict(zip(self.columns, map(plain, row), strict=True)) for row in self.rows]
        document = {"name": self.name, "machine": machine(), "notes": self.notes, "rows": rows}
        (folder / f"{stem}.json").write_text(json.dumps(document, indent=1))
        print(self.markdown())


def shown(value: object) -> str:
    """A value in a table."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def plain(value: object) -> object:
    """A value in JSON."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def machine() -> str:
    """Command, date and machine."""
    command = without_paths(["python -m benchmarks.paper", *sys.argv[1:]])
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    where = f"{platform.processor() or platform.machine()}, {cores}, torch {torch.__version__}"
    return f"`{command}`, {datetime.date.today().isoformat()}, {where}"
