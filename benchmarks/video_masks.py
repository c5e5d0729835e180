"""Background and foreground of a fixed camera: masks, backgrounds and speed, beside OpenCV, the median and pursuit.

    python -m benchmarks.video_masks [--video FOLDER] [--long FRAMES] [--picture FILE.png]

highway (changedetection.net, 300 frames of 320 x 240 with ground truth): F-measure over all pixels, of the first 50
frames and of the rest; the background against the temporal median of the pixels labelled 0; frames a second of the
whole command, start and writing included. The synthetic clip has exact truth: a textured room, moving discs, light that
drifts by 10 %, noise of 5 grey levels. Our settings are the defaults throughout. Peers: the temporal median with the
fixed threshold that suits the ground truth best and a 5 x 5 median filter, principal component pursuit (Candes et al.
2011, inexact augmented Lagrangian, on grey levels), and OpenCV's MOG2 and KNN.
`--long` codes that many frames of highway, over and over, and tells the peak memory; `--picture` draws masks of the
pedestrians' clip to look at.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.common import FACES, clock, table
from nidcli.files.images import read_image, write_image
from nidcli.metrics import MaskMeter

VIDEO = FACES.parent / "video"
FIRST = 50  # frames that are measured apart


def command(source: Path, folder: Path) -> float:
    """Seconds of the whole command."""
    with clock() as seconds:
        words = [sys.executable, "-m", "nidcli", "decompose-video", str(source), "-o", str(folder), "-q"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return seconds[0]


def masks(folder: Path) -> np.ndarray:
    return np.stack([read_image(path).pixels[:, :, 0] > 127 for path in sorted((folder / "masks").iterdir())])


def f_measure(found: np.ndarray, labels: np.ndarray) -> float:
    meter = MaskMeter()
    meter.add(torch.from_numpy(found), torch.from_numpy(labels))
    return meter.f_measure


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2) / 255**2))


def empty_median(frames: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W, 3): the median over the frames in which a pixel is labelled background."""
    hidden = np.where((labels != 0)[..., None], np.nan, frames.astype(np.float32))
    return np.nanmedian(hidden, 0)


def smoothed(found: np.ndarray) -> np.ndarray:
    return np.stack([cv2.medianBlur(mask.astype(np.uint8) * 255, 5) > 0 for mask in found])


def best_threshold(far: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The masks of the fixed threshold that suits the truth best."""
    return max((smoothed(far > t) for t in range(8, 50, 2)), key=lambda found: f_measure(found, labels))


def pursuit(frames: np.ndarray, rounds: int = 40) -> np.ndarray:
    """(T, H, W) low-rank part of the grey levels."""
    D = frames.astype(np.float32).mean(-1).reshape(len(frames), -1)
    penalty, norm = 1 / D.shape[1] ** 0.5, float(np.linalg.norm(D @ D.T, 2) ** 0.5)
    dual, mu, S = D / max(norm, float(np.abs(D).max()) / penalty), 1.25 / norm, np.zeros_like(D)
    L = D
    for _ in range(rounds):
        X = D - S + dual / mu
        value, left = np.linalg.eigh((X @ X.T).astype(np.float64))
        size = np.sqrt(np.maximum(value, 1e-12))
        L = (left * np.maximum(1 - 1 / (mu * size), 0)) @ left.T @ X
        L = L.astype(np.float32)
        rest = D - L + dual / mu
        S = np.sign(rest) * np.maximum(np.abs(rest) - penalty / mu, 0)
        dual += mu * (D - L - S)
        mu *= 1.5
        if np.linalg.norm(D - L - S) < 1e-5 * np.linalg.norm(D):
            break
    return L.reshape(frames.shape[:3])


def subtractor(frames: np.ndarray, model: cv2.BackgroundSubtractor) -> np.ndarray:
    return smoothed(np.stack([model.apply(np.ascontiguousarray(frame[:, :, ::-1])) == 255 for frame in frames]))


def synthetic(count: int = 200, height: int = 240, width: int = 320) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """frames uint8, labels uint8, backgrounds float32 in 0 ... 255."""
    rng = np.random.default_rng(0)
    texture = np.zeros((height, width, 3), np.float32)
    for sigma, size in ((1, 12), (3, 18), (9, 25), (30, 30)):
        noise = cv2.GaussianBlur(rng.standard_normal((height, width, 3)).astype(np.float32), (0, 0), sigma)
        noise /= noise.std()
        texture += size * (0.6 * noise.mean(2, keepdims=True) + 0.4 * noise)
    room = np.clip(115 + texture, 15, 215)
    rows, columns = np.mgrid[:height, :width]
    start, speed = rng.uniform(20, (width - 20, height - 20), (5, 2)), rng.uniform(-2.5, 2.5, (5, 2))
    speed += 0.8 * np.sign(speed)
    radius, colour = rng.uniform(10, 24, 5), rng.uniform(20, 235, (5, 3))
    frames, labels, backgrounds = [], [], []
    for t in range(count):
        light = 0.95 + 0.1 * t / (count - 1)
        frame, label = room * light, np.zeros((height, width), np.uint8)
        backgrounds.append(frame.astype(np.float32))
        frame = frame.copy()
        for i in range(5):
            x, y = (abs(p % (2 * n) - n) for p, n in zip(start[i] + speed[i] * t, (width, height), strict=True))
            inside = (columns - x) ** 2 + (rows - y) ** 2 < radius[i] ** 2
            frame[inside], label[inside] = colour[i] * light, 255
        frames.append(np.clip(frame + 5 * rng.standard_normal(frame.shape), 0, 255).round().astype(np.uint8))
        labels.append(label)
    return np.stack(frames), np.stack(labels), np.stack(backgrounds)


def peers(frames: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> list[tuple[str, ...]]:
    """Rows: name, F, F of the first frames, of the rest, background, frames a second of the method alone."""
    rows = []

    def row(name: str, found: np.ndarray, background: np.ndarray | None, seconds: float) -> None:
        parts = [f_measure(found[part], labels[part]) for part in (slice(None), slice(FIRST), slice(FIRST, None))]
        shown = "" if background is None else f"{psnr(background, truth):.1f}"
        rows.append((name, *(f"{part:.3f}" for part in parts), shown, f"{len(frames) / seconds:.0f}"))

    with clock() as seconds:
        middle = np.median(frames, 0).astype(np.float32)
        far = np.abs(frames - middle).max(-1)
    row("median, best threshold", best_threshold(far, labels), middle, seconds[0])
    with clock() as seconds:
        low = pursuit(frames)
        far = np.abs(frames.astype(np.float32).mean(-1) - low)
    row("pursuit, best threshold", best_threshold(far, labels), None, seconds[0])
    for name, make in (("MOG2", cv2.createBackgroundSubtractorMOG2), ("KNN", cv2.createBackgroundSubtractorKNN)):
        with clock() as seconds:
            found = subtractor(frames, make())
        row(name, found, None, seconds[0])
    return rows


def ours(source: Path, labels: np.ndarray, truth: np.ndarray) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as folder:
        seconds = command(source, Path(folder) / "out")
        found = masks(Path(folder) / "out")
        background = read_image(Path(folder) / "out" / "background.png").pixels
    parts = [f_measure(found[part], labels[part]) for part in (slice(None), slice(FIRST), slice(FIRST, None))]
    return ("ours", *(f"{p:.3f}" for p in parts), f"{psnr(background, truth):.1f}", f"{len(found) / seconds:.0f}")


def long_clip(frames: np.ndarray, count: int) -> None:
    """Peak memory of the command on a clip of `count` frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        size = (frames.shape[2], frames.shape[1])
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25.0, size)
        for t in range(count):
            writer.write(np.ascontiguousarray(frames[t % len(frames), :, :, ::-1]))
        writer.release()
        seconds = command(path, Path(folder) / "out")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        written = len(list((Path(folder) / "out" / "masks").iterdir()))
    print(f"{written} frames: {peak:.2f} GiB at most (target 2), {count / seconds:.0f} frames/s")


def picture(source: Path, path: Path) -> None:
    """Eight frames of the pedestrians' clip with their masks in green, and the background."""
    with tempfile.TemporaryDirectory() as folder:
        command(source, Path(folder) / "out")
        found, capture = masks(Path(folder) / "out"), cv2.VideoCapture(str(source))
        frames = [capture.read()[1][:, :, ::-1].copy() for _ in range(len(found))]
        background = read_image(Path(folder) / "out" / "background.png").pixels
    shown = [np.where(m[..., None], f // 2 + np.uint8([0, 127, 0]), f) for f, m in zip(frames, found, strict=True)]
    chosen = [shown[i] for i in np.linspace(0, len(shown) - 1, 8).astype(int)] + [background]
    write_image(path, np.concatenate([np.concatenate(chosen[i : i + 3], 1) for i in (0, 3, 6)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, default=VIDEO)
    parser.add_argument("--long", type=int, default=0)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    source = given.video / "highway"
    frames = np.stack([read_image(path).pixels for path in sorted((source / "input").iterdir())])
    labels = np.stack([read_image(path).pixels[:, :, 0] for path in sorted((source / "groundtruth").iterdir())])
    if given.long:
        long_clip(frames, given.long)
        return
    head = ("highway", "F", "F first 50", "F rest", "background dB", "frames/s")
    empty = empty_median(frames, labels)
    targets = ("target", ".95", "within .02", "of each other", "35", "60")
    table([head, ours(source / "input", labels, empty), *peers(frames, labels, empty), targets])
    print()
    made, exact, backgrounds = synthetic()
    with tempfile.TemporaryDirectory() as folder:
        for number, frame in enumerate(made, 1):
            write_image(Path(folder) / f"{number:06d}.png", frame)
        mine = ours(Path(folder), exact, backgrounds.mean(0))
        drawn = drawn_backgrounds(Path(folder))
    mine = (*mine[:4], f"{psnr(drawn, backgrounds):.1f}", mine[5])
    head = ("synthetic", *head[1:])
    table([head, mine, *peers(made, exact, backgrounds), ("target", ".97", "", "", "38", "")])
    if given.picture:
        picture(given.video / "vtest_384x288.mp4", given.picture)


def drawn_backgrounds(source: Path) -> np.ndarray:
    """(T, H, W, 3) in 0 ... 255: every frame's background, as the command renders it before it is coded as video."""
    from nidcli.files.video import open_clip
    from nidcli.video.job import scheduled
    from nidcli.video.scene import codes, render
    from nidcli.video.windows import windows

    clip, drawn = open_clip(source), []
    for window, batch in scheduled(clip.frames(), windows(clip, "cpu"), 8):
        batch_THWC = torch.from_numpy(np.stack([frame.pixels for frame in batch])).float() / 255
        drawn.append(render(window.scene.model, codes(window.scene.model, batch_THWC), clip.width, clip.height))
    return 255 * torch.cat(drawn).clamp(0, 1).numpy()


if __name__ == "__main__":
    main()
