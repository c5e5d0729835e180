"""`nid eval`: results against references."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from nidcli.commands import options
from nidcli.commands.eval_items import Summary
from nidcli.commands.groups import ReportOptions


def command(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="A file, a folder or a glob.")],
    references: Annotated[str, typer.Argument(metavar="REFERENCES", help="Likewise; matched with RESULTS by stem.")],
    report: ReportOptions,
    kind: Annotated[Literal["image", "mesh", "mask"], typer.Option("--kind", help="What the files are.")] = "image",
    recursive: options.Recursive = False,
) -> None:
    """
    PSNR and SSIM of images, or Chamfer distance, normal consistency, F-score and IoU of meshes, and their means over
    the files; or precision, recall and F-measure of masks, and those of all pixels.

    \b
      nid eval decoded/ photos/
      nid eval decoded/face.png photos/face.jpg --json
      nid eval out/masks/ groundtruth/ --kind mask
      nid eval meshes/ truth/ --kind mesh
    """
    console = report.console("eval")
    if kind == "mask":
        from nidcli.commands.eval_masks import evaluate

        evaluate(console, results, references, recursive)
    from nidcli.batch import Done, run
    from nidcli.files.inputs import expand, match
    from nidcli.files.outputs import Job
    from nidcli.judging import judging, line, mean

    judge = judging(kind)
    mine, theirs = expand([results], recursive=recursive), expand([references], recursive=recursive)
    pairs = match(mine, theirs)
    pairs += [pair for pair in match(theirs, mine) if pair.problem]  # references without a result
    partners = {replace(pair.input, problem=pair.problem): pair.partner for pair in pairs}

    def compute(loaded: list[Any]) -> list[Done]:
        return [Done(judge.judge(pair)) for pair in loaded]

    outcome = run([Job(item) for item in partners], lambda i: judge.read(i.path, partners[i]), compute, console)
    means = mean(judge, [item.report for item in outcome.items])
    if means is not None:
        console.say(line(means))
    console.conclude(outcome, summary=Summary(means))
