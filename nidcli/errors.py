"""Errors that a user can mend: one sentence each, with the exit status of the command-line contract."""

from __future__ import annotations


class NidError(Exception):
    """The run failed."""

    exit_code = 1


class UsageError(NidError):
    """The command line or a preset asks for something that does not exist."""

    exit_code = 2


class SomeInputsFailed(NidError):
    """Some inputs of a batch failed, the others are done."""

    exit_code = 3


class InputError(NidError):
    """An input is missing, unreadable or of no supported kind."""

    exit_code = 4


class ArtifactError(NidError):
    """A dictionary or code file is damaged, foreign, too new, or belongs to another dictionary."""

    exit_code = 5


class OutputError(NidError):
    """An output exists already or cannot be written."""

    exit_code = 6
