"""What the items and the summary of `nid eval` hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    mean: object | None


@dataclass(frozen=True)
class MaskQuality:
    """Shares of pixels; null where nothing moves and nothing is found."""

    precision: float
    recall: float
    f_measure: float


@dataclass(frozen=True)
class MaskItem(MaskQuality):
    reference: str


@dataclass(frozen=True)
class MaskSummary:
    """Over the pixels of all files, as changedetection.net has it."""

    total: MaskQuality | None
