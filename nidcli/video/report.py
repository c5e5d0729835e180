"""report.json: everything about a decomposition that is not a picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from nidcli.files.atomic import replacing
from nidcli.video.job import Result, Settings

DIGITS = 6


def write_report(path: Path, name: str, settings: Settings, result: Result) -> None:
    """`moving` holds the share of moving pixels of every frame that was decoded, in the order of `numbers`."""
    report = asdict(result.report)
    document = {
        "input": name,
        **{key: round(value, DIGITS) if isinstance(value, float) else value for key, value in report.items()},
        "mean_moving": round(result.report.moving, DIGITS),
        "moving": [round(share, DIGITS) for share in result.shares],
        "numbers": list(result.numbers),
        "min_area": settings.min_area,
        "roi": settings.roi,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
