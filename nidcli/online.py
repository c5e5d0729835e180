"""Online dictionary learning (Mairal, Bach, Ponce & Sapiro 2009): codes from the solver, atoms from two statistics.

    A <- gamma A + sum a a',   B <- gamma B + sum a y'
    d_k <- (B_k - sum_{j != k} A_kj d_j) / A_kk,  scaled to unit norm         for every atom, in blocks

Memory does not depend on the number of signals, and statistics of several machines add up. Codes are few, so A grows
by scattered products of k^2 numbers a signal instead of a dense product.

Letters: K atoms, R numbers a signal, S signals of a batch, J slots of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.problem import DenseDesign, Problem
from nidcli.solvers import Omp

BLOCK = 128  # atoms updated at once; between blocks the newest atoms are used
RARE = 0.01  # an atom with less than this share of the mean energy is replaced
RARE_EVERY = 5  # batches


@dataclass(frozen=True)
class Pace:
    """How fast the past is forgotten: 1 - 1/(1 + t)^0.75 at first, `memory` at the most."""

    sparsity: int
    memory: float
    replace_rare: bool


class OnlineDictionary:
    """K unit-norm atoms (K, R), their statistics, and the number of batches seen."""

    def __init__(self, atoms_KR: Tensor) -> None:
        K, R = atoms_KR.shape
        self.atoms_KR = atoms_KR / atoms_KR.norm(dim=1, keepdim=True).clamp_min(1e-12)
        self.usage_KK = atoms_KR.new_zeros(K, K)
        self.moment_KR = atoms_KR.new_zeros(K, R)
        self.batches = 0

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        now = {"atoms": self.atoms_KR, "usage": self.usage_KK, "moment": self.moment_KR}
        return {name: tensor.clone() for name, tensor in now.items()}

    def restore(self, state: dict[str, Tensor], batches: int) -> None:
        """Take up where `state` was taken."""
        self.atoms_KR, self.usage_KK = state["atoms"].clone(), state["usage"].clone()
        self.moment_KR = state["moment"].clone()
        self.batches = batches

    def learn(self, signals_SR: Tensor, pace: Pace, generator: torch.Generator) -> float:
        """One batch; returns the mean squared error of its codes, a number."""
        K, R = self.atoms_KR.shape
        if not K:  # the basis is all there is
            self.batches += 1
            return float(signals_SR.square().mean())
        design = DenseDesign(self.atoms_KR.T, self.atoms_KR.new_zeros(R, 0))
        code = Omp(pace.sparsity, per_round=2, shortlist=4).solve(Problem(design, signals_SR.T)).code
        index_SJ, value_SJ = code.index_SJ, code.value_SJ
        gamma = min(1 - 1 / (1 + self.batches) ** 0.75, pace.memory)
        pairs = (index_SJ[:, :, None] * K + index_SJ[:, None, :]).flatten()
        products = (value_SJ[:, :, None] * value_SJ[:, None, :]).flatten()
        self.usage_KK.mul_(gamma).view(-1).index_add_(0, pairs, products)
        self.moment_KR.mul_(gamma).index_add_(
            0, index_SJ.flatten(), (value_SJ[:, :, None] * signals_SR[:, None, :]).flatten(0, 1)
        )
        error_S = (signals_SR - (value_SJ[:, :, None] * self.atoms_KR[index_SJ]).sum(1)).square().sum(1)
        self._update(generator)
        self.batches += 1
        if pace.replace_rare and self.batches % RARE_EVERY == 0:
            self._replace_rare(signals_SR, error_S)
        return float(error_S.mean()) / R

    def _update(self, generator: torch.Generator) -> None:
        energy_K = self.usage_KK.diagonal()
        order = torch.randperm(len(energy_K), generator=generator).to(energy_K.device)
        for block in order.split(BLOCK):
            block = block[energy_K[block] > 1e-9]
            step = (self.moment_KR[block] - self.usage_KK[block] @ self.atoms_KR) / energy_K[block, None]
            moved = self.atoms_KR[block] + step
            self.atoms_KR[block] = moved / moved.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def _replace_rare(self, signals_SR: Tensor, error_S: Tensor) -> None:
        """Atoms that hardly any code uses become the signals that are coded worst."""
        energy_K = self.usage_KK.diagonal()
        rare = (energy_K < RARE * energy_K.mean()).nonzero().squeeze(1)[: len(signals_SR)]
        if len(rare):
            worst = signals_SR[error_S.topk(len(rare)).indices]
            self.atoms_KR[rare] = worst / worst.norm(dim=1, keepdim=True).clamp_min(1e-12)
            self.usage_KK[rare] = 0
            self.usage_KK[:, rare] = 0
            self.moment_KR[rare] = 0
