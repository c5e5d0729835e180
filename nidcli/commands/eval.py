"""`nid eval`: results against references."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan, nan
from statistics import fmean
from typing import Annotated, Literal

import typer

from nidcli.commands import options
from nidcli.commands.groups import ReportOptions


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


def command(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="A file, a folder or a glob.")],
    references: Annotated[str, typer.Argument(metavar="REFERENCES", help="Likewise; matched with RESULTS by stem.")],
    report: ReportOptions,
    kind: Annotated[Literal["image"], typer.Option("--kind", help="What the files are.")] = "image",
    recursive: options.Recursive = False,
) -> None:
    """
    PSNR and SSIM of every result, and their means over the files.

    \b
      nid eval decoded/ photos/
      nid eval decoded/face.png photos/face.jpg --json
    """
    console = report.console("eval")
    from nidcli.batch import Done, run
    from nidcli.files.image_pairs import ImagePair, read_pair
    from nidcli.files.inputs import expand, match
    from nidcli.files.outputs import Job
    from nidcli.metrics import Meter

    mine, theirs = expand([results], recursive=recursive), expand([references], recursive=recursive)
    pairs = match(mine, theirs)
    pairs += [pair for pair in match(theirs, mine) if pair.problem]  # references without a result
    partners = {replace(pair.input, problem=pair.problem): pair.partner for pair in pairs}

    def compute(loaded: list[ImagePair]) -> list[Done]:
        done = []
        for pair in loaded:
            meter = Meter()
            for result, reference in pair.bands():
                meter.add(result, reference)
            done.append(Done(Quality(meter.psnr, meter.ssim, str(pair.reference))))
        return done

    outcome = run([Job(item) for item in partners], lambda i: read_pair(i.path, partners[i]), compute, console)
    mean = _mean([item.report for item in outcome.items])
    if mean is not None:
        console.say(f"mean  psnr {mean.psnr:.2f}  ssim {mean.ssim:.4f}")
    console.conclude(outcome, summary=Summary(mean))


def _mean(reports: list[object | None]) -> Mean | None:
    """Means over the files that are done; of SSIM over those that have one."""
    found = [report for report in reports if isinstance(report, Quality)]
    similar = [report.ssim for report in found if not isnan(report.ssim)]
    return Mean(fmean(report.psnr for report in found), fmean(similar) if similar else nan) if found else None
