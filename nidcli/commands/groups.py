"""Groups of options that commands take as one parameter: where files are, how to compute, what to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nidcli.commands import options
from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.console import Console
    from nidcli.files.inputs import Input
    from nidcli.files.outputs import Job


@dataclass(frozen=True)
class FileOptions:
    output: options.Output = None
    overwrite: options.Overwrite = False
    skip_existing: options.SkipExisting = False
    recursive: options.Recursive = False
    files_from: options.FilesFrom = None

    def inputs(self, arguments: Sequence[str] | None, only: frozenset[str] = frozenset()) -> list[Input]:
        """What the arguments and --files-from name; `only` are the suffixes to take from folders (files/inputs.py)."""
        from nidcli.files.inputs import expand

        return expand(arguments or (), recursive=self.recursive, files_from=self.files_from, only=only)

    def plan(self, inputs: Sequence[Input], suffix: str, *, dry_run: bool = False) -> list[Job]:
        """Where the output of each goes; an empty suffix keeps each input's own (files/outputs.py)."""
        from nidcli.files.outputs import plan

        flags = {"overwrite": self.overwrite, "skip_existing": self.skip_existing, "dry_run": dry_run}
        return plan(inputs, self.output, suffix, **flags)


@dataclass(frozen=True)
class RunOptions:
    device: options.Device = "auto"
    threads: options.Threads = 0
    seed: options.Seed = 0
    dry_run: options.DryRun = False
    preset: options.Preset = None
    config: options.Config = None

    def start(self) -> str:
        """Set the threads and the seed; the device as torch calls it. UsageError if this machine has none such."""
        import torch

        from nidcli import devices

        device = devices.chosen(self.device)
        if self.threads:
            torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        return device


@dataclass(frozen=True)
class ReportOptions:
    json: options.Json = False
    jsonl: options.JsonLines = False
    quiet: options.Quiet = False
    verbose: options.Verbose = False
    debug: options.Debug = False

    def console(self, command: str) -> Console:
        """The console of a run that starts now."""
        from nidcli.console import Console

        if self.json and self.jsonl:
            raise UsageError("--json and --jsonl contradict each other; give one of them.")
        flags = {"quiet": self.quiet, "verbose": self.verbose, "debug": self.debug}
        return Console(command, json=self.json, jsonl=self.jsonl, **flags)
