"""`nid verify`: are dictionaries and code files whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nidcli.commands.groups import ReportOptions
from nidcli.commands.options import FilesFrom, Inputs, Recursive

if TYPE_CHECKING:
    from nidcli.files.inputs import Input


@dataclass(frozen=True)
class Whole:
    """A file of which every byte, name, shape and type has been checked. fingerprint: of the dictionary."""

    kind: str
    fingerprint: str
    bytes: int


def command(
    report: ReportOptions, inputs: Inputs = None, recursive: Recursive = False, files_from: FilesFrom = None
) -> None:
    """
    Every byte is checked against the file's own sums, and every tensor against what the file says of itself.

    \b
      nid verify face faces.nid
      nid verify codes/ -r --json
    """
    from nidcli import batch
    from nidcli.artifacts import bundled_paths, load_codes, load_model
    from nidcli.files.inputs import ARTIFACTS, CODES, expand
    from nidcli.files.outputs import Job

    def load(item: Input) -> Whole:
        if item.path.suffix.lower() in CODES:
            codes = load_codes(item.path)
            return Whole("codes", codes.dictionary.fingerprint, codes.size)
        artifact = load_model(item.path)
        return Whole("dictionary", artifact.fingerprint, artifact.size)

    found = expand(bundled_paths(inputs or ()), recursive=recursive, files_from=files_from, only=ARTIFACTS)
    jobs = [Job(item) for item in found]
    console = report.console("verify")
    console.conclude(batch.run(jobs, load, lambda loaded: [batch.Done(report=whole) for whole in loaded], console))
