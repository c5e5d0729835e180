"""Facts about a dictionary that its tensors and spec do not say. They hold no clock times and no paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from nidcli import __version__


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made the dictionary, and of what. data_digest : sha256 of the training data's list or content."""

    command: str = ""  # the command line, see `without_paths`
    seed: int = 0
    data_digest: str = ""
    data_count: int = 0
    data_licence: str = ""
    data_attribution: str = ""
    nidcli: str = __version__
    torch: str = field(default_factory=lambda: version("torch").partition("+")[0])


@dataclass(frozen=True)
class Metric:
    """One number measured on held-out data, such as Metric("psnr", 31.2)."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Everything about a dictionary that its tensors and spec do not say."""

    units: str = "sRGB values as stored"  # of the field
    value_range: tuple[float, float] = (0.0, 1.0)
    licence: str = ""  # of the dictionary itself
    code_samples: int = 0  # training codes that the prior was estimated from
    metrics: tuple[Metric, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)

    def metric(self, name: str) -> float | None:
        """The held-out metric of that name, None if it was not measured."""
        return next((metric.value for metric in self.metrics if metric.name == name), None)


def without_paths(arguments: Sequence[str]) -> str:
    """A command line for `Provenance.command`: whatever looks like a path, or exists as one, becomes PATH."""

    def shown(argument: str) -> str:
        option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
        is_path = any(mark in value for mark in "/\\~") or (value and os.path.exists(value))
        return f"{option}{equals}PATH" if is_path else argument

    return " ".join(map(shown, arguments))
