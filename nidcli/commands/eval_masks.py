"""`nid eval --kind mask`: masks against labelled ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from nidcli.commands.eval_items import MaskItem, MaskQuality, MaskSummary

if TYPE_CHECKING:
    from nidcli.console import Console


def evaluate(console: Console, results: str, references: str, recursive: bool) -> NoReturn:
    """Masks (white is moving) and ground truth with the labels of changedetection.net, paired by stem or by order."""
    from nidcli.batch import Done, run
    from nidcli.files.inputs import expand
    from nidcli.files.mask_pairs import MaskPair, match_masks, read_masks
    from nidcli.files.outputs import Job
    from nidcli.metrics import MaskMeter

    pairs = match_masks(expand([results], recursive=recursive), expand([references], recursive=recursive))
    partners = dict(pairs)
    everything = MaskMeter()

    def compute(loaded: list[MaskPair]) -> list[Done]:
        done = []
        for pair in loaded:
            meter = MaskMeter()
            for each in (meter, everything):
                each.add(pair.result_HW, pair.reference_HW)
            done.append(Done(MaskItem(meter.precision, meter.recall, meter.f_measure, str(pair.reference))))
        return done

    outcome = run(
        [Job(item) for item in partners], lambda item: read_masks(item.path, partners[item]), compute, console
    )
    total = None
    if everything.pixels:
        total = MaskQuality(everything.precision, everything.recall, everything.f_measure)
        console.say(
            f"total  precision {total.precision:.4f}  recall {total.recall:.4f}  f_measure {total.f_measure:.4f}"
        )
    console.conclude(outcome, summary=MaskSummary(total))
