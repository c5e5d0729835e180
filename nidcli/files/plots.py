"""Curves over time as a PNG, in panels one above the other; drawn with OpenCV, nothing else is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from nidcli.files.atomic import replacing
from nidcli.files.image_writing import write_image

WIDTH, HEIGHT, LEFT, BELOW, ABOVE, RIGHT = 760, 220, 64, 40, 26, 190
INKS = (
    (31, 119, 180), (214, 92, 20), (44, 140, 60), (190, 40, 50), (120, 80, 170), (120, 80, 60), (200, 90, 170),
    (90, 90, 90), (150, 150, 20), (20, 160, 170), (0, 0, 0), (100, 60, 0),
)  # fmt: skip
GREY, PALE, BLACK = (110, 110, 110), (225, 225, 225), (20, 20, 20)


@dataclass(frozen=True)
class Curve:
    """A line through points (x, y); curves of one `panel` share it, with their labels beside."""

    label: str
    points: tuple[tuple[float, float], ...]
    panel: str = ""
    shows: tuple[float, ...] = ()  # values that the y axis holds in any case


def draw_plot(path: Path, curves: Sequence[Curve], across: str) -> None:
    """Write the panels, in the order of their first curves; `across` names the x axis. Raises OutputError."""
    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        panels.setdefault(curve.panel or curve.label, []).append(curve)
    pictures = [_panel(title, lines, across) for title, lines in panels.items()]
    values = np.concatenate(pictures)
    with replacing(path) as temporary:
        write_image(temporary, values)


def _panel(title: str, curves: list[Curve], across: str) -> np.ndarray:
    height = max(HEIGHT, ABOVE + BELOW + 16 * len(curves))
    picture = np.full((height, WIDTH, 3), 255, np.uint8)
    points = np.array([point for curve in curves for point in curve.points], float)
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    held = [value for curve in curves for value in curve.shows]
    y0, y1 = min([y0, *held]), max([y1, *held])
    pad = 0.05 * (y1 - y0) or 0.5
    y0, y1, x1 = y0 - pad, y1 + pad, x1 if x1 > x0 else x0 + 1
    inner = (WIDTH - LEFT - RIGHT, height - ABOVE - BELOW)

    def place(x: float, y: float) -> tuple[int, int]:
        return (
            round(LEFT + (x - x0) / (x1 - x0) * inner[0]),
            round(ABOVE + (y1 - y) / (y1 - y0) * inner[1]),
        )

    for tick in _ticks(y0, y1):
        (_, y), text = place(x0, tick), f"{tick:g}"
        cv2.line(picture, (LEFT, y), (WIDTH - RIGHT, y), PALE, 1)
        _write(picture, text, (LEFT - 8 - 7 * len(text), y + 4), GREY)
    for tick in _ticks(x0, x1):
        (x, _), text = place(tick, y0), f"{tick:g}"
        cv2.line(picture, (x, height - BELOW), (x, height - BELOW + 4), GREY, 1)
        _write(picture, text, (x - 3 * len(text), height - BELOW + 17), GREY)
    cv2.rectangle(picture, (LEFT, ABOVE), (WIDTH - RIGHT, height - BELOW), GREY, 1)
    _write(picture, title, (LEFT, ABOVE - 9), BLACK)
    _write(picture, across, (WIDTH - RIGHT - 7 * len(across), height - BELOW + 33), GREY)
    for number, curve in enumerate(curves):
        ink = INKS[number % len(INKS)]
        line = np.array([place(*point) for point in curve.points], np.int32)
        cv2.polylines(picture, [line], False, ink, 2, cv2.LINE_AA)
        for point in line if len(line) < 40 else line[-1:]:
            cv2.circle(picture, tuple(map(int, point)), 3, ink, -1, cv2.LINE_AA)
        if len(curves) > 1:
            _write(picture, curve.label, (WIDTH - RIGHT + 8, ABOVE + 12 + 16 * number), ink)
    return picture


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers."""
    raw = (high - low) / 5
    unit = 10.0 ** np.floor(np.log10(raw))
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= raw)
    first = int(np.ceil(low / step - 1e-9))
    return [round(number * step, 10) for number in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def _write(picture: np.ndarray, text: str, place: tuple[int, int], ink: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
