"""Kinds of results that `nid eval` measures, and photos as one of them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from nidcli.files.image_pairs import ImagePair, read_pair
from nidcli.metrics import Meter

# Kind: the module that judges it, which looks like Judging.
JUDGES = {"image": "nidcli.judging", "mesh": "nidcli.sdf.judging"}


class Judging(Protocol):
    """What the module of a kind offers; what `read` gives is what `judge` takes."""

    Mean: type[Any]  # a dataclass of numbers; in JSON null stands for one that is not finite

    def read(self, result: Path, reference: Path) -> Any:
        """Both files. Raises InputError for one that cannot be read, and for two that do not fit."""
        ...

    def judge(self, pair: Any) -> Any:
        """A Mean of one pair, with its `reference`."""
        ...


@dataclass(frozen=True)
class Mean:
    """PSNR in dB, SSIM. In JSON null stands for infinity (equal images) and for no number (sides under 11 pixels)."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Quality(Mean):
    reference: str


def read(result: Path, reference: Path) -> ImagePair:
    """Raises InputError for a file that cannot be read, and for sizes that differ."""
    return read_pair(result, reference)


def judge(pair: ImagePair) -> Quality:
    """PSNR and SSIM of a photo."""
    meter = Meter()
    for result, reference in pair.bands():
        meter.add(result, reference)
    return Quality(meter.psnr, meter.ssim, str(pair.reference))


def judging(kind: str) -> Judging:
    """The module of a kind."""
    module: Judging = importlib.import_module(JUDGES[kind])
    return module


def mean(judge: Judging, reports: Sequence[object | None]) -> Any | None:
    """Means over the files that are done; of each number over those that have one. None where there are none."""
    found = [report for report in reports if isinstance(report, judge.Mean)]
    names = [field.name for field in fields(judge.Mean)]
    known = [[value for report in found if not isnan(value := getattr(report, name))] for name in names]
    return judge.Mean(*(fmean(values) if values else nan for values in known)) if found else None


def line(means: object) -> str:
    """The means for people."""
    numbers = {field.name: getattr(means, field.name) for field in fields(means)}  # type: ignore[arg-type]
    return "  ".join(["mean", *(f"{name} {value:#.4g}" for name, value in numbers.items() if not isnan(value))])
