"""From atoms on a grid to experts: continuous functions that take the atoms' values there.

Atoms are known on the samples of a cell. Between the samples, and just outside the cell where neighbours meet, they
are given by the best linear prediction from those samples that the training photos show at a finer resolution,

    E = argmin sum |fine - E' coarse|^2,

so that decoding at another size adds the detail that usually belongs there. A trunk on Fourier features then takes
the values of the atoms' span at both sets of points: linear least squares, solved once. Deeper trunks and own heads
follow the same targets by gradient descent.

Letters: N samples of a cell, P all target points (samples, then fine points), F features, E width of the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nidcli.dictionary import Dictionary
from nidcli.linear import solve

EXACT = 10.0  # weight of a sample against a fine point: the samples are what a code is solved on
RIDGE = 1e-6


class FineStatistics:
    """Sums for E over a stream of cells, all channels alike: (N, N) and (N, P - N)."""

    def __init__(self, samples: int, fine: int) -> None:
        self.within_NN = torch.zeros(samples, samples, dtype=torch.float64)
        self.across_NX = torch.zeros(samples, fine, dtype=torch.float64)

    def add(self, coarse_XN: Tensor, fine_XP: Tensor) -> None:
        """Cells' values without their means, one channel of one cell a row."""
        self.within_NN += (coarse_XN.T @ coarse_XN).double().cpu()
        self.across_NX += (coarse_XN.T @ fine_XP).double().cpu()

    def extension(self) -> Tensor:
        """E, (N, P - N) float32."""
        if not self.across_NX.any():  # no fine points, or nothing was seen
            return self.across_NX.float()
        ridge = 1e-4 * self.within_NN.diagonal().mean()
        within_NN = self.within_NN + ridge * torch.eye(len(self.within_NN), dtype=torch.float64)
        return solve(within_NN, self.across_NX).float()


@dataclass(frozen=True)
class Targets:
    """Values that experts should take: points_PD, the first `samples` of them a cell's own; atoms_KCN there; E."""

    points_PD: Tensor
    samples: int
    atoms_KCN: Tensor
    extension_NX: Tensor
    importance_K: Tensor  # how much of the training signals' energy an atom carries


def fit_experts(bank: Dictionary, targets: Targets, steps: int, generator: torch.Generator) -> float:
    """Set the bank's weights; returns the relative root-mean-square error of the atoms on a cell's samples."""
    K, C, N = targets.atoms_KCN.shape
    F = bank.spec.hidden
    weight_K = (targets.importance_K / targets.importance_K.mean().clamp_min(1e-12)).sqrt() + 0.01
    rows = (targets.atoms_KCN * weight_K[:, None, None]).reshape(K * C, N)
    span_NF = _span(rows, F)
    span_PF = nn.functional.pad(torch.cat([span_NF, targets.extension_NX.T @ span_NF]), (0, F - span_NF.shape[1]))
    weight_P = torch.ones(len(span_PF), device=span_PF.device)
    weight_P[: targets.samples] = EXACT
    with torch.no_grad():
        if bank.spec.layers == 1:
            _solve_trunk(bank, targets.points_PD, span_PF, weight_P)
    if bank.spec.layers > 1 or bank.spec.embedding == "siren":
        _descend_trunk(bank, targets.points_PD, span_PF, weight_P, steps)
    if bank.spec.heads == "own":
        _descend_heads(bank, targets, weight_P, steps, generator)
    else:
        with torch.no_grad():
            features_NF = bank.trunk(targets.points_PD[: targets.samples]).double()
            normal_FF = features_NF.T @ features_NF
            normal_FF += 1e-10 * normal_FF.diagonal().mean() * torch.eye(F, dtype=torch.float64).to(normal_FF)
            heads = solve(normal_FF, features_NF.T @ targets.atoms_KCN.reshape(K * C, N).T.double())
            bank.head_KCF.copy_(heads.T.reshape(K, C, F).float())
    with torch.no_grad():
        wanted_NCK = targets.atoms_KCN.permute(2, 1, 0)
        error = bank.atoms(targets.points_PD[: targets.samples]) - wanted_NCK
        return float(error.norm() / wanted_NCK.norm())


def _span(rows_XN: Tensor, most: int) -> Tensor:
    """(N, at most F): orthonormal functions that hold most of the energy of some rows."""
    if len(rows_XN) < rows_XN.shape[1]:
        return torch.linalg.svd(rows_XN.T, full_matrices=False)[0][:, :most]
    return torch.linalg.eigh((rows_XN.T @ rows_XN).double()).eigenvectors.flip(1)[:, :most].float()


def _solve_trunk(bank: Dictionary, points_PD: Tensor, span_PF: Tensor, weight_P: Tensor) -> None:
    """One linear map on the embedding: ridge regression."""
    linear = bank.trunk.maps[0]
    assert isinstance(linear, nn.Linear)
    embedded = nn.functional.pad(bank.trunk.embed(points_PD), (0, 1), value=1.0) * weight_P[:, None]
    embedded_PE = embedded.double()
    normal_EE = embedded_PE.T @ embedded_PE + RIDGE * torch.eye(embedded_PE.shape[1]).to(embedded_PE)
    solved = solve(normal_EE, embedded_PE.T @ (span_PF * weight_P[:, None]).double())
    linear.weight.copy_(solved[:-1].T)
    linear.bias.copy_(solved[-1])


def _descend_trunk(bank: Dictionary, points_PD: Tensor, span_PF: Tensor, weight_P: Tensor, steps: int) -> None:
    """Deeper trunks: Adam with a falling rate on the same regression."""
    optimizer = torch.optim.Adam(bank.trunk.parameters(), lr=1e-3 if bank.spec.embedding == "fourier" else 1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for _ in range(steps):
        loss = ((bank.trunk(points_PD) - span_PF) * weight_P[:, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _descend_heads(
    bank: Dictionary, targets: Targets, weight_P: Tensor, steps: int, generator: torch.Generator
) -> None:
    """Own heads: each expert its own small regression, some hundred experts at a time."""
    with torch.no_grad():
        features_PF = bank.trunk(targets.points_PD)
        atoms_KCP = torch.cat([targets.atoms_KCN, targets.atoms_KCN @ targets.extension_NX], 2)
    parameters = [bank.inner_KHF, bank.inner_bias_KH, bank.head_KCF]
    for block in torch.randperm(bank.spec.experts, generator=generator).split(256):
        block = block.to(features_PF.device)
        own = [p.detach()[block].requires_grad_() for p in parameters]
        optimizer = torch.optim.Adam(own, lr=3e-3 if bank.spec.embedding == "fourier" else 3e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for _ in range(steps):
            hidden_KPH = bank.hidden(features_PF, own[0], own[1])
            drawn_KCP = torch.einsum("kph,kch->kcp", hidden_KPH, own[2])
            loss = ((drawn_KCP - atoms_KCP[block]) * weight_P).square().sum((1, 2)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            for parameter, values in zip(parameters, own, strict=True):
                parameter[block] = values
