"""What the benchmark scripts share: the held-out faces, their cells, a clock, and PSNR as the contract defines it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nidcli.files.images import as_float, read_image, resize

FACES = Path(__file__).resolve().parents[2] / "shared" / "data" / "faces"
HELD_OUT = 200  # last by name, as in presets/face.yaml
SIDE, PIXELS = 128, 16


def faces(count: int | None = None, *, held_out: bool = True, folder: Path = FACES) -> list[np.ndarray]:
    """Photos (200, 200, 3) float32, evenly spread over the held-out ones or over those before them."""
    paths = sorted(folder.glob("*.jpg"))
    if len(paths) <= HELD_OUT:
        raise SystemExit(
            f"{folder} holds {len(paths)} photos, and more than {HELD_OUT} are needed; give --faces FOLDER."
        )
    paths = paths[-HELD_OUT:] if held_out else paths[:-HELD_OUT]
    chosen = paths if count is None else [paths[i * len(paths) // count] for i in range(count)]
    return [as_float(read_image(path).pixels) for path in chosen]


def reduced(photos: list[np.ndarray], side: int = SIDE) -> Tensor:
    """(B, side, side, 3), bicubic with antialiasing, in float."""
    return torch.from_numpy(np.stack([resize(photo, side, side) for photo in photos]))


def cells(images_BHWC: Tensor, pixels: int = PIXELS) -> Tensor:
    """(B, S, pixels^2, 3): the cells of each image, each channel's mean taken off."""
    B, height, width, C = images_BHWC.shape
    cut = images_BHWC.reshape(B, height // pixels, pixels, width // pixels, pixels, C).transpose(2, 3)
    cut = cut.reshape(B, -1, pixels * pixels, C)
    return cut - cut.mean(2, keepdim=True)


def mean_psnr(drawn: Tensor, truth: Tensor) -> float:
    """Mean over images of the PSNR of clipped values."""
    return float((-10 * (drawn.clamp(0, 1) - truth).square().flatten(1).mean(1).log10()).mean())


def cell_psnr(error_BSN: Tensor) -> float:
    """Mean over images of the PSNR that an error of their cells makes, not clipped."""
    return float((-10 * error_BSN.square().flatten(1).mean(1).log10()).mean())


@contextmanager
def clock() -> Iterator[list[float]]:
    """with clock() as seconds: ...; seconds[0] afterwards."""
    seconds: list[float] = []
    start = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - start)


def table(rows: list[tuple[str, ...]]) -> None:
    """Print rows as a Markdown table, the first is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |", flush=True)
        if not number:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
