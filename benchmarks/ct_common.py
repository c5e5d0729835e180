"""What the benchmarks of slices share: the data, scikit-image's peers, and total variation at its best penalty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nidcli.ct.baselines import classical
from nidcli.ct.geometry import Convention, Geometry
from nidcli.ct.reconstruct import reconstruct
from nidcli.ct.residual import Penalties, TotalVariation
from nidcli.ct.scanner import Scanner
from nidcli.ct.views import Viewer
from nidcli.files.images import read_image
from nidcli.files.slices import SliceScale
from nidcli.model import Model

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ct"
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
CONVERGED = TotalVariation(steps=1000, tolerance=1e-6)
TRIAL = TotalVariation(steps=300)


def phantoms(data: Path = DATA) -> tuple[Tensor, Tensor]:
    """(N, S) columns of 8 phantoms to choose penalties on, and of the last 64."""
    images = np.load(data / "phantoms" / "train.npz")["images"]
    if len(images) < 128:
        raise SystemExit(f"{data} holds {len(images)} phantoms, and 128 are needed; give --data FOLDER.")
    every = columns(images.astype(np.float32) / 4095)
    return every[:, :8], every[:, -64:]


def chest(held_out: int, data: Path = DATA) -> tuple[Tensor, Tensor]:
    """(N, S) columns of 4 slices to choose penalties on, and of the last ones by name, zero outside the circle."""
    paths = sorted((data / "chest").glob("*.png"))
    if len(paths) <= held_out:
        raise SystemExit(f"{data} holds {len(paths)} slices of the chest, too few; give --data FOLDER.")
    scale = SliceScale(units="hu", zero=1024)
    size = 256
    index = np.arange(size) - size // 2
    circle = index[:, None] ** 2 + index**2 <= (size // 2) ** 2
    read = lambda path: np.clip(scale.stored(read_image(path).pixels[:, :, 0]), 0, 1) * circle  # noqa: E731
    others = paths[: len(paths) - held_out]
    chosen = others[:: max(1, len(others) // 4)][:4]
    return columns(np.stack([read(p) for p in chosen])), columns(np.stack([read(p) for p in paths[-held_out:]]))


def columns(images_SYX: np.ndarray) -> Tensor:
    """(S, Y, X) -> (Y X, S)."""
    return torch.from_numpy(np.ascontiguousarray(images_SYX.reshape(len(images_SYX), -1).T, np.float32))


def scanner(size: int, views: int, convention: Convention) -> Scanner:
    """Views evenly over half a turn, as many bins as pixels."""
    angles = tuple(180 * view / views for view in range(views))
    return Scanner.of(Geometry(size=size, angles_V=angles, bins=size, convention=convention))


def psnr(found_NS: Tensor, truth_NS: Tensor) -> float:
    """Mean over slices of the PSNR of clipped values."""
    return float((-10 * (found_NS.clamp(0, 1) - truth_NS).square().mean(0).log10()).mean())


def noisy(sinogram_MS: Tensor, share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Gaussian noise of a share of each sinogram's largest ray, and its deviations (S,)."""
    noise_S = share * sinogram_MS.amax(0)
    drawn = torch.randn(sinogram_MS.shape, generator=torch.Generator().manual_seed(seed))
    return sinogram_MS + noise_S * drawn, noise_S


def total_variation(scan: Scanner, sinogram_MS: Tensor, penalty: float, non_negative: bool, solver=CONVERGED) -> Tensor:
    """(N, S): total variation alone."""
    penalties = Penalties(torch.full(sinogram_MS.shape[1:], penalty), non_negative=non_negative)
    start_NS = torch.zeros(scan.geometry.size**2, sinogram_MS.shape[1])
    return solver.solve(scan, sinogram_MS, penalties, start_NS)


def best_penalty(scan: Scanner, truth_NS: Tensor, share: float, non_negative: bool) -> float:
    """The penalty of total variation that suits other slices best."""
    sinogram_MS, _ = noisy(scan.forward(truth_NS), share, seed=1)
    score = lambda p: psnr(total_variation(scan, sinogram_MS, p, non_negative, TRIAL), truth_NS)  # noqa: E731
    return max(PENALTIES, key=score)


def peer(kind: str, scan: Scanner, sinogram_MS: Tensor) -> Tensor:
    """(N, S): scikit-image's `fbp` or `sart`."""
    shape = (scan.geometry.views, scan.geometry.bins)
    found = [classical(kind, scan, rays.view(shape), 0.0, False).flatten() for rays in sinogram_MS.T]  # type: ignore[arg-type]
    return torch.stack(found, 1)


def ours(model: Model, scan: Scanner, sinogram_MS: Tensor, noise_S: Tensor) -> Tensor:
    """(N, S): `nid ct-recon`, a few slices at a time."""
    parts = []
    for some in torch.arange(sinogram_MS.shape[1]).split(8):
        parts.append(reconstruct(Viewer(model, scan, sinogram_MS[:, some].contiguous(), noise_S[some]))[0])
    return torch.cat(parts, 1)
