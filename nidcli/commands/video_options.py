"""The values of decompose-video's options as the library takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.video.job import Settings


def settings(threshold: str, min_area: int, roi: str | None) -> Settings:
    """Raises UsageError for what is no number."""
    from nidcli.video.job import Settings

    return Settings(_threshold(threshold), min_area, None if roi is None else _region(roi))


def _threshold(text: str) -> float | None:
    try:
        value = None if text == "auto" else float(text)
    except ValueError:
        value = -1.0
    if value is not None and not 0 < value <= 255:
        raise UsageError(f"--threshold is auto or a number of grey levels up to 255, not {text!r}.")
    return value


def _region(text: str) -> tuple[int, int, int, int]:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts) or 0 in map(int, parts[2:]):
        raise UsageError(f"--roi is X,Y,WIDTH,HEIGHT in pixels such as 0,120,640,360, not {text!r}.")
    x, y, width, height = (int(part) for part in parts)
    return x, y, width, height
