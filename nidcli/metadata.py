"""Facts about a dictionary that its tensors and spec do not say. They hold no clock times and no paths."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from typing import TypeVar

from nidcli import __version__

Base = TypeVar("Base")


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


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What every preset of `learn-dict` says beside how to learn: on what terms its data may be used."""

    seed: int = 0
    data_licence: str = ""
    data_attribution: str = ""

    def part(self, cls: type[Base]) -> Base:
        """The fields that another base of the preset has, as that base."""
        return cls(**{each.name: getattr(self, each.name) for each in fields(cls)})  # type: ignore[arg-type]


def described(
    terms: Terms,
    command: str,
    data_digest: str,
    data_count: int,
    *,
    psnr: float,
    samples: int,
    units: str = Metadata.units,
    value_range: tuple[float, float] = Metadata.value_range,
) -> Metadata:
    """The metadata of a dictionary just learned. psnr : held out, in dB, NaN for none; samples : `code_samples`."""
    return Metadata(
        units=units,
        value_range=value_range,
        code_samples=samples,
        metrics=() if math.isnan(psnr) else (Metric("psnr", psnr),),
        provenance=Provenance(
            command=command,
            seed=terms.seed,
            data_digest=data_digest,
            data_count=data_count,
            data_licence=terms.data_licence,
            data_attribution=terms.data_attribution,
        ),
    )


def without_paths(arguments: Sequence[str]) -> str:
    """A command line for `Provenance.command`: whatever looks like a path, or exists as one, becomes PATH."""

    def shown(argument: str) -> str:
        option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
        is_path = any(mark in value for mark in "/\\~") or (value and os.path.exists(value))
        return f"{option}{equals}PATH" if is_path else argument

    return " ".join(map(shown, arguments))
