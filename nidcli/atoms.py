"""The stages of learning one bank: coordinates, first atoms, what the held-out photos say, and the experts.

Letters: M numbers of a cell's signal, R principal components in which atoms are learned, B basis experts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.fitting import FineStatistics, Targets, fit_experts
from nidcli.model import Level
from nidcli.online import OnlineDictionary
from nidcli.problem import DenseDesign, Problem
from nidcli.sampling import CellSpace
from nidcli.solvers import Omp


@dataclass(frozen=True)
class Components:
    """Principal components of a cell's signals: basis_MB become experts, atoms are learned in space_MR."""

    basis_MB: Tensor
    space_MR: Tensor

    @staticmethod
    def of(signals: Iterable[Tensor], cells: CellSpace, basis: int, learned: int) -> Components:
        """From batches of signals (S, M); constants are no component, they are atoms of their own."""
        second_MM = sum((s.T @ s).double() for s in signals)
        assert isinstance(second_MM, Tensor)
        vectors_MM = torch.linalg.eigh(second_MM).eigenvectors.flip(1).float()
        most = cells.numbers - cells.channels
        return Components(vectors_MM[:, : min(basis, most)], vectors_MM[:, : min(learned, most)])


def first_atoms(signals_SR: Tensor, count: int, generator: torch.Generator) -> OnlineDictionary:
    """Signals drawn by their norm; where there are too few, some twice with a little noise."""
    if not count:
        return OnlineDictionary(signals_SR[:0])
    norm_S = signals_SR.norm(dim=1).cpu() + 1e-9
    chosen = torch.multinomial(norm_S, count, replacement=count > len(norm_S), generator=generator)
    atoms_KR = signals_SR[chosen.to(signals_SR.device)]
    if count > len(norm_S):
        noise_KR = torch.randn(atoms_KR.shape, generator=generator).to(atoms_KR)
        atoms_KR = atoms_KR + 0.1 * atoms_KR.norm(dim=1, keepdim=True) / atoms_KR.shape[1] ** 0.5 * noise_KR
    return OnlineDictionary(atoms_KR)


def held_out_psnr(
    online: OnlineDictionary, parts: Components, signals_SM: Tensor, k: int, images: int, peak_numbers: int
) -> float:
    """Mean PSNR of images whose cells are coded with k atoms as they stand, basis included."""
    inside_SR = signals_SM @ parts.space_MR
    outside_S = (signals_SM.square().sum(1) - inside_SR.square().sum(1)).clamp_min(0)
    R = inside_SR.shape[1]
    design = DenseDesign(torch.cat([torch.eye(R).to(inside_SR), online.atoms_KR]).T, inside_SR.new_zeros(R, 0))
    code = Omp(k).solve(Problem(design, inside_SR.T)).code
    error_S = (inside_SR.T - design.forward(code.dense(design.shape[1]))).square().sum(0) + outside_S
    error = error_S.view(images, -1).mean(1) / peak_numbers
    return float(-10 * torch.log10(error.clamp_min(1e-12)).mean())


def make_experts(
    level: Level,
    cell: int,
    cells: CellSpace,
    parts: Components,
    online: OnlineDictionary,
    batches: Iterable[tuple[Tensor, Tensor]],
    fit_steps: int,
    generator: torch.Generator,
) -> float:
    """Basis and learned atoms become a bank's experts, the statistics of the basis codes its prior.

    Returns the relative error of the experts on the samples of a cell.
    """
    atoms_MK = torch.cat([parts.basis_MB, parts.space_MR @ online.atoms_KR.T], 1)
    B = parts.basis_MB.shape[1]
    fine = FineStatistics(len(cells.coords_ND), len(cells.fine_PD))
    sums_2B, count = torch.zeros(2, B, dtype=torch.float64), 0
    for samples_XNC, fine_XPC in batches:
        means = cells.means(samples_XNC)
        if fine_XPC.shape[1]:
            fine.add(
                (samples_XNC - means).transpose(1, 2).flatten(0, 1), (fine_XPC - means).transpose(1, 2).flatten(0, 1)
            )
        codes_SB = (cells.signals(samples_XNC) @ parts.basis_MB).double().cpu()
        sums_2B += torch.stack([codes_SB.sum(0), codes_SB.square().sum(0)])
        count += len(codes_SB)
    mean_B, power_B = (sums_2B / count).float().to(atoms_MK.device)
    level.prior_mean_BK[cell, :B] = mean_B
    level.prior_variance_BK[cell, :B] = (power_B - mean_B.square()).clamp_min(0)
    targets = Targets(
        torch.cat([cells.coords_ND, cells.fine_PD]),
        len(cells.coords_ND),
        cells.values(atoms_MK),
        fine.extension().to(atoms_MK.device),
        torch.cat([power_B, online.usage_KK.diagonal()]),
    )
    return fit_experts(level.bank(cell), targets, fit_steps, generator)
