"""`nid eval`: results against references."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import typer

from nidcli.commands import options
from nidcli.commands.eval_items import Quality, Summary, mean_of
from nidcli.commands.groups import ReportOptions


def command(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="A file, a folder or a glob.")],
    references: Annotated[str, typer.Argument(metavar="REFERENCES", help="Likewise; matched with RESULTS by stem.")],
    report: ReportOptions,
    kind: Annotated[Literal["image", "mask"], typer.Option("--kind", help="What the files are.")] = "image",
    recursive: options.Recursive = False,
) -> None:
    """
    PSNR and SSIM of images, and their means; precision, recall and F-measure of masks, and those of all pixels.

    \b
      nid eval decoded/ photos/
      nid eval decoded/face.png photos/face.jpg --json
      nid eval out/masks/ groundtruth/ --kind mask
    """
    console = report.console("eval")
    if kind == "mask":
        from nidcli.commands.eval_masks import evaluate

        evaluate(console, results, references, recursive)
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
    mean = mean_of([item.report for item in outcome.items])
    if mean is not None:
        console.say(f"mean  psnr {mean.psnr:.2f}  ssim {mean.ssim:.4f}")
    console.conclude(outcome, summary=Summary(mean))
