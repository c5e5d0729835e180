"""Classical dictionaries of the same cells of faces: principal components, and scikit-learn's.

Letters: B images, S cells of an image, N samples of a cell, C channels, K atoms, M = N C.
"""

from __future__ import annotations

import time

import torch
from sklearn.decomposition import MiniBatchDictionaryLearning
from torch import Tensor

from benchmarks.common import cells
from benchmarks.paper_faces import CELLS, SIDE, Photos, Way
from nidcli.problem import DenseDesign, Problem
from nidcli.solvers import Omp


def _pasted(samples_BSN: Tensor, means_BSC: Tensor) -> Tensor:
    B, side = len(samples_BSN), SIDE // 16
    whole = samples_BSN.view(B, side, side, 16, 16, 3) + means_BSC.view(B, side, side, 1, 1, 3)
    return whole.transpose(2, 3).reshape(B, SIDE, SIDE, 3)


def _means(images: Tensor) -> Tensor:
    return images.view(len(images), 8, 16, 8, 16, 3).mean((2, 4)).flatten(1, 2)


def pca_way(train: Photos, k: int) -> Way:
    """The k largest coefficients of principal components."""
    whole = torch.stack([train.image(index, SIDE) for index in range(len(train))])
    rows = cells(whole).flatten(0, 1).flatten(1)
    basis = torch.linalg.eigh((rows.T @ rows).double()).eigenvectors.float()

    def draw(images: Tensor, steps: int) -> Tensor:
        code = cells(images).flatten(2) @ basis
        kept = torch.zeros_like(code).scatter(2, code.abs().topk(k, 2).indices, 1.0) * code
        return _pasted(kept @ basis.T, _means(images))

    numbers = basis.numel() + 500 * CELLS * (1.5 * k + 3)
    return Way(f"PCA, k = {k}", float(numbers), 2e-9 * CELLS * k * len(basis), draw)


def sklearn_way(train: Photos, k: int, seconds: float, atoms: int = 1024) -> Way:
    """scikit-learn's MiniBatchDictionaryLearning, learned for so long, coded by orthogonal matching pursuit."""
    rows = cells(torch.stack([train.image(index, SIDE) for index in range(len(train))])).flatten(0, 1).flatten(1)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    peer = MiniBatchDictionaryLearning(atoms, alpha=0.1, batch_size=512, dict_init=rows[order[:atoms]].numpy())
    began, step = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        peer.partial_fit(rows[order[torch.arange(step * 512, (step + 1) * 512) % len(order)]].numpy())
        step += 1
    atoms_KM = torch.from_numpy(peer.components_).float()
    atoms_KM = atoms_KM / atoms_KM.norm(dim=1, keepdim=True).clamp_min(1e-9)
    design = DenseDesign(atoms_KM.T, atoms_KM.new_zeros(atoms_KM.shape[1], 0))

    def draw(images: Tensor, steps: int) -> Tensor:
        target_MS = cells(images).flatten(2).flatten(0, 1).T
        code = Omp(k, per_round=8).solve(Problem(design, target_MS)).code
        return _pasted(design.forward(code.dense(len(atoms_KM))).T.reshape(len(images), CELLS, -1), _means(images))

    numbers = atoms_KM.numel() + 500 * CELLS * (1.5 * k + 3)
    return Way(f"scikit-learn, k = {k}", float(numbers), 2e-9 * CELLS * k * 768, draw, f"{step} batches")
