"""Table 1 and figure 2 of the paper, on the faces at hand."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import paper_faces as f
from benchmarks.lpips import lpips
from benchmarks.paper_classical import pca_way, sklearn_way
from benchmarks.paper_report import Table
from nidcli.artifacts import load_model
from nidcli.files.images import write_image
from nidcli.files.plots import Curve, draw_plot
from nidcli.metrics import quality
from nidcli.model import Model

PAPER = {  # PSNR, SSIM, LPIPS on CelebA, after steps
    ("FFM", 100): "22.60 / .636 / .244", ("SIREN", 100): "26.11 / .758 / .379",
    ("Meta", 5): "23.92 / .583 / .322", ("Meta", 10): "29.64 / .651 / .182",
    ("NID, k = 128", 0): "28.75 / .892 / .061", ("NID, k = 128", 5): "33.57 / .941 / .027",
    ("NID, k = 128", 10): "35.10 / .954 / .021", ("NID, k = 256", 0): "30.26 / .919 / .045",
    ("NID, k = 256", 5): "35.09 / .960 / .019", ("NID, k = 256", 10): "37.75 / .971 / .012",
}  # fmt: skip
COLUMNS = (
    "method", "steps", "PSNR", "SSIM", "LPIPS", "MB, 500 images", "GFLOP", "images/s", "learned", "paper (CelebA, GPU)",
)  # fmt: skip
FORMULAS = (
    "MB: 4 bytes a number; networks 500 x weights; dictionaries all their tensors (gate included) and for each image "
    "64 cells x k (value 4 bytes, index 2) and 3 constants",
    "GFLOP to render one: networks 2 x 16384 x (weights of their matrices); dictionaries counted by "
    "torch.utils.flop_counter (trunk on the 256 points of a cell, folded heads at them) + 2 x 64 k C F to fold heads",
    "images/s: coding (with its steps) and rendering; one image after another for networks, all at once otherwise",
    "steps: Adam on a network or, with the best of five rates, on a code; Meta the better of Adam and plain steps on "
    "every image; with ours conjugate gradients on the code, and none after a pursuit, whose code is solved for",
)


def moe_models(train: f.Photos, seconds: float, given: list[Path]) -> dict[int, tuple[Model, str]]:
    """The paper's NID for k = 128 and 256: learned now, or files of `learn-dict --method moe`."""
    found: dict[int, tuple[Model, str]] = {}
    for path in given:
        model = load_model(path).model
        found[model.level(-1).spec.top_k] = (model, f"from {path.name}")
    for k in (128, 256):
        if k not in found:
            found[k] = f.moe_model(train, k, seconds)
    return found


def table1(folder: Path, out: Path, seconds: float, images: int, train: int, moe: list[Path]) -> None:
    """PSNR, SSIM, LPIPS, size, FLOPs and throughput."""
    collection, truth, measure = f.photos(train, folder), f.test_images(images, folder), lpips()
    notes = (f"{images} held-out faces, {train} to learn from, {seconds:g} s of learning for each method that learns",)
    table = Table("Table 1: image regression", COLUMNS, (*notes, *FORMULAS))
    curves: dict[str, list[tuple[float, float]]] = {}

    def row(way: f.Way, steps: int) -> None:
        start = time.perf_counter()
        drawn = way.draw(truth, steps)
        rate = len(truth) / (time.perf_counter() - start)
        psnr, ssim = (float(value.mean()) for value in quality(drawn, truth))
        distance = float(measure(drawn, truth).mean()) if measure else None
        sizes = (4e-6 * way.numbers, way.gflop, rate, way.learned, PAPER.get((way.name, steps), ""))
        table.add(way.name, steps, psnr, ssim, distance, *sizes)
        curves.setdefault(way.name, []).append((1 / rate, psnr))

    for way in (f.ffm_way(), f.siren_way()):
        row(way, 100)
    learned = f.meta_way(collection, seconds)
    for steps in (5, 10):
        row(learned, steps)
    for k, (model, how) in sorted(moe_models(collection, seconds, moe).items()):
        for steps in (0, 5, 10):
            row(f.moe_way(model, k, how), steps)
    model, how = f.ours_model(collection, seconds)
    for k in (128, 256):
        for steps in (0, 5, 10):
            row(f.ours_way(model, k, how), steps)
        row(f.pursuit_way(model, k, how), 0)
        row(pca_way(collection, k), 0)
    row(sklearn_way(collection, 128, seconds), 0)
    table.write(out)
    lines = [Curve(name, tuple(points), "PSNR, dB, against seconds an image") for name, points in curves.items()]
    draw_plot(out / "table1.png", lines, "s an image")


def figure2(folder: Path, out: Path, seconds: float, train: int, moe: list[Path]) -> None:
    """The early steps of every method side by side, and PSNR against time on one image."""
    collection, truth = f.photos(train, folder), f.test_images(8, folder)[3:4]
    steps = (0, 1, 3, 5, 10)
    model, how = f.ours_model(collection, seconds)
    k, (theirs, learned) = sorted(moe_models(collection, seconds, moe or []).items())[0]
    ways = [f.ffm_way(), f.siren_way(), f.meta_way(collection, seconds), f.moe_way(theirs, k, learned)]
    ways.append(f.ours_way(model, k, how))
    table = Table("Figure 2: early steps", ("method", *(f"PSNR after {step}" for step in steps), "s for 10 steps"))
    curves, rows = [], []
    for way in ways:
        points, pictures, scores, taken = [], [], [], 0.0
        for step in steps:
            start = time.perf_counter()
            drawn = way.draw(truth, step)
            taken = time.perf_counter() - start
            scores.append(float(quality(drawn, truth)[0].mean()))
            points.append((taken, scores[-1]))
            pictures.append(drawn[0].clamp(0, 1))
        curves.append(Curve(way.name, tuple(sorted(points)), "PSNR, dB, against seconds"))
        rows.append(torch.cat([*pictures, truth[0]], 1))
        table.add(way.name, *scores, taken)
    table.write(out)
    write_image(out / "figure2.png", framed(rows))
    draw_plot(out / "figure2_time.png", curves, "seconds")


def framed(rows: list[Tensor]) -> np.ndarray:
    """Rows of pictures, a method each; the last column is the photo."""
    return torch.cat(rows).numpy()
