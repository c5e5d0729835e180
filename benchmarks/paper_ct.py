"""Table 2 of the paper: phantoms from 128, 16 and 8 views of 128 parallel rays.

Views are line integrals along rays through the pixels, bilinear, 128 samples a ray, at angles of [0, 180) degrees, as
scikit-image lays them out: bin s and sample t of angle a look at (c + s cos a + t sin a, c - s sin a + t cos a).
Letters: V views, B bins (128), P pixels, K experts, N samples of a ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import iradon, iradon_sart
from torch import Tensor

from benchmarks import paper_codes, paper_rows
from benchmarks.baselines import ffm, fields, meta, siren
from benchmarks.paper_report import Table
from nidcli.grid import image_coords
from nidcli.metrics import quality
from nidcli.model import Model
from nidcli.moe.learner import MoeLearner
from nidcli.moe.slices import Preset
from nidcli.presets import load_preset

SIDE, VIEWS, HELD = 128, (128, 16, 8), 64
RAYS = 256  # rays a step of a network
PAPER = {
    "FFM": "22.81 / 15.22 / 13.58", "SIREN": "24.32 / 18.48 / 17.26", "Meta": "32.70 / 21.39 / 18.28",
    "NID, k = 128": "36.56 / 24.48 / 16.24", "NID, k = 256": "37.49 / 26.32 / 16.77",
}  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """Where rays look, in pixels; the matrix (V B, P) of what they measure; a slice (P,) is (H, W) in reading order."""

    degrees_V: np.ndarray
    points_RN2: Tensor
    matrix: csr_matrix

    @staticmethod
    def of(views: int) -> Scan:
        """Equally spaced angles."""
        degrees = np.arange(views) * 180 / views
        c, at = SIDE // 2, np.arange(SIDE) - SIDE // 2
        a = np.deg2rad(degrees)[:, None, None]
        x = c + at[None, :, None] * np.cos(a) + at[None, None, :] * np.sin(a)
        y = c - at[None, :, None] * np.sin(a) + at[None, None, :] * np.cos(a)
        x, y = x.reshape(views * SIDE, SIDE), y.reshape(views * SIDE, SIDE)
        rows, columns, values = [], [], []
        ray = np.broadcast_to(np.arange(len(x))[:, None], x.shape)
        for dy in (0, 1):
            for dx in (0, 1):
                i, j = np.floor(y) + dy, np.floor(x) + dx
                weight = (1 - abs(y - i)) * (1 - abs(x - j))
                inside = (i >= 0) & (i < SIDE) & (j >= 0) & (j < SIDE) & (weight > 0)
                rows.append(ray[inside])
                columns.append((i * SIDE + j)[inside].astype(int))
                values.append(weight[inside])
        parts = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        matrix = csr_matrix(parts, shape=(len(x), SIDE * SIDE), dtype=np.float32)
        points = np.stack([(2 * x + 1) / SIDE - 1, (2 * y + 1) / SIDE - 1], 2)
        return Scan(degrees, torch.from_numpy(points).float(), matrix)

    def measure(self, slice_HW: Tensor) -> Tensor:
        """(V B,) line integrals, in pixels."""
        return torch.from_numpy(self.matrix @ slice_HW.flatten().numpy())


Method = Callable[[Scan, Tensor, float], Tensor]  # scan, sinogram (V B,), seconds -> (SIDE, SIDE)


def network(field: fields.Field, start: fields.Weights, rate: float) -> Method:
    """A network whose values along some rays must sum to what they measured; nothing outside the picture."""

    def fit(scan: Scan, sinogram: Tensor, seconds: float) -> Tensor:
        g = torch.Generator().manual_seed(0)

        def loss(weights: fields.Weights, step: int) -> Tensor:
            rays = torch.randint(len(sinogram), (min(RAYS, len(sinogram)),), generator=g)
            points = scan.points_RN2[rays]
            value = field(weights, points.flatten(0, 1)).view(points.shape[:2])
            inside = (points.abs() <= 1).all(2)
            return (((value * inside).sum(1) - sinogram[rays]) / SIDE).square().mean() * 100

        weights = fields.fit(start, loss, rate, seconds=seconds)[0]
        with torch.no_grad():
            return field(weights, image_coords(SIDE, SIDE)).view(SIDE, SIDE)

    return fit


def learned_start(slices: Tensor, seconds: float) -> fields.Weights:
    """Meta: a beginning for slices, from their pixels (as dense views would give them)."""
    points = image_coords(SIDE, SIDE)

    def task(number: int) -> Callable[[fields.Weights], Tensor]:
        g = torch.Generator().manual_seed(number)
        image = slices[int(torch.randint(len(slices), (), generator=g))].reshape(-1, 1)
        some = torch.randint(SIDE**2, (4096,), generator=g)
        return lambda weights: (siren.field(weights, points[some]) - image[some]).square().mean()

    return meta.learn(meta.weights(channels=1), task, seconds)[0]


def nid_model(slices: Tensor, seconds: float) -> tuple[Model, str]:
    """The paper's NID with a lookup table, learned from slices; what became of it."""

    class Slices:
        def __len__(self) -> int:
            return len(slices)

        def image(self, index: int, side: int) -> Tensor:
            assert side == SIDE
            return slices[index, :, :, None]

    learner, used = MoeLearner(load_preset("shepp-logan-small", Preset).learn, Slices(), limit=seconds), 0.0
    for progress in learner.run():
        used = getattr(progress, "used", None) or used
    told = f"{learner.place.step} batches, {100 * used:.0f} % of experts in use"
    return learner.model.eval().requires_grad_(False), told


def nid(model: Model, k: int) -> Method:
    """A code of at most k experts that agrees with the views, the dictionary fixed."""
    with torch.no_grad():
        atoms_PK = model.level(0).bank().atoms(image_coords(SIDE, SIDE))[:, 0]

    def fit(scan: Scan, sinogram: Tensor, seconds: float) -> Tensor:
        measured = torch.from_numpy(scan.matrix @ atoms_PK.numpy())
        free = torch.from_numpy(scan.matrix @ np.ones((SIDE * SIDE, 1), np.float32))
        values_K, constant = paper_codes.code(measured, free, sinogram, k)
        return (atoms_PK @ values_K + constant).view(SIDE, SIDE)

    return fit


def fbp(scan: Scan, sinogram: Tensor, seconds: float) -> Tensor:
    """Filtered back-projection, ramp filter."""
    views = sinogram.view(-1, SIDE).T.double().numpy()
    return torch.from_numpy(iradon(views, scan.degrees_V, output_size=SIDE, circle=True)).float()


def sart(scan: Scan, sinogram: Tensor, seconds: float) -> Tensor:
    """Rounds of scikit-image's SART, at most ten."""
    views, image, start = sinogram.view(-1, SIDE).T.double().numpy(), None, time.perf_counter()
    for _ in range(10):
        image = iradon_sart(views, scan.degrees_V, image=image, clip=(0, 1))
        if time.perf_counter() - start > seconds:
            break
    return torch.from_numpy(image).float()


def total_variation(scan: Scan, sinogram: Tensor, seconds: float) -> Tensor:
    """Accelerated proximal gradients on |A f - y|^2 / 2 + w TV(f), with scikit-image's denoiser as the proximal map."""
    y, matrix = sinogram.numpy(), scan.matrix
    x = np.random.default_rng(0).standard_normal(SIDE * SIDE).astype(np.float32)
    for _ in range(12):
        x = matrix.T @ (matrix @ x)
        norm = float(np.linalg.norm(x))
        x /= norm
    f = z = np.zeros(SIDE * SIDE, np.float32)
    momentum, start = 1.0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step = (z - matrix.T @ (matrix @ z - y) / norm).reshape(SIDE, SIDE)
        new = np.clip(denoise_tv_chambolle(step, weight=0.0005, max_num_iter=30), 0, 1).ravel().astype(np.float32)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        z = new + (momentum - 1) / following * (new - f)
        f, momentum = new, following
    return torch.from_numpy(f).view(SIDE, SIDE)


def ours(dictionary: Path) -> Method:
    """`nid ct-recon`."""

    def fit(scan: Scan, sinogram: Tensor, seconds: float) -> Tensor:
        found = paper_rows.ct(dictionary, sinogram.view(-1, SIDE).numpy(), scan.degrees_V, SIDE)
        return torch.from_numpy(found).float()

    return fit


def table2(folder: Path, out: Path, seconds: float, fit: float, images: int) -> None:
    """PSNR and SSIM at three numbers of views."""
    values = np.load(folder / "train.npz")["images"].astype(np.float32) / 4095
    slices = torch.from_numpy(values)
    train, truth = slices[:-HELD], slices[-HELD:][:: max(1, HELD // images)][:images]
    model, told = nid_model(train, seconds)
    out.mkdir(parents=True, exist_ok=True)
    dictionary = paper_rows.learned("phantom", [str(folder / "train.npz")], seconds, out / "phantom.nid")
    methods: dict[str, Method] = {
        "FFM": network(ffm.field, ffm.weights(channels=1), ffm.RATE),
        "SIREN": network(siren.field, siren.weights(channels=1), 5e-4),
        "Meta": network(siren.field, learned_start(train, seconds), 5e-4),
        "NID, k = 128": nid(model, 128),
        "NID, k = 256": nid(model, 256),
        "FBP": fbp,
        "SART": sart,
        "total variation": total_variation,
        "ours": ours(dictionary),
        "ours, as bundled": ours(Path("phantom")),
    }
    notes = (
        f"{len(truth)} phantoms that nothing learned from; {seconds:g} s of learning and {fit:g} s a phantom at most",
        f"NID: 1024 experts on {len(train)} phantoms, {told}; codes by ridge regression, see `paper_codes`",
        f"ours: `nid ct-recon` after {seconds:g} s of `learn-dict --preset phantom`, and with the bundled dictionary",
    )
    heads = [f"{what} at {views}" for views in VIEWS for what in ("PSNR", "SSIM")]
    table = Table("Table 2: computed tomography", ("method", *heads, "s a phantom", "paper (GPU), PSNR"), notes)
    scans = [Scan.of(views) for views in VIEWS]
    for name, method in methods.items():
        figures: list[object] = []
        start, done = time.perf_counter(), 0
        for scan in scans:
            drawn = [method(scan, scan.measure(image), fit) for image in truth]
            done += len(drawn)
            psnr, ssim = quality(torch.stack(drawn)[..., None].contiguous(), truth[..., None].contiguous())
            figures += [float(psnr.mean()), float(ssim.mean())]
        table.add(name, *figures, (time.perf_counter() - start) / done, PAPER.get(name, ""))
    table.write(out)
