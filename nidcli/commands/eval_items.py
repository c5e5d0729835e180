"""What the items and the summary of `nid eval` hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean


@dataclass(frozen=True)
class Mean:
    """PSNR in dB, SSIM. In JSON null stands for infinity (equal images) and for no number (sides under 11 pixels)."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Quality(Mean):
    reference: str


@dataclass(frozen=True)
class Summary:
    mean: Mean | None


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


def mean_of(reports: Sequence[object | None]) -> Mean | None:
    """Means over the files that are done; of SSIM over those that have one."""
    found = [report for report in reports if isinstance(report, Quality)]
    similar = [report.ssim for report in found if not isnan(report.ssim)]
    return Mean(fmean(report.psnr for report in found), fmean(similar) if similar else nan) if found else None
