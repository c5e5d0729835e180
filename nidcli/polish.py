"""End-to-end polish: codes solved, then one gradient step on the experts, over and over.

    min over experts of  sum |f_code(x) - y(x)|^2      codes = solve(y; experts), x on the samples and between them

The loss sees the fine points as well, which the atoms of online learning only reach through a linear prediction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nidcli.dictionary import Dictionary
from nidcli.engine import materialise
from nidcli.fitting import EXACT
from nidcli.operators import Sample
from nidcli.problem import Problem
from nidcli.sampling import CellSpace
from nidcli.solvers import Omp

RATE = 2e-4  # of Adam, relative to the root-mean-square of a parameter; falls to zero
CELLS = 2048  # a step


def polish(
    bank: Dictionary,
    cells: CellSpace,
    batch: Callable[[int], tuple[Tensor, Tensor]],
    held: tuple[Tensor, Tensor],
    sparsity: int,
    steps: int,
) -> Iterator[float]:
    """Yields the held-out loss after every tenth of the steps; the bank ends with the best weights it had.

    `batch(step)` and `held` are (samples, fine) of some cells.
    """
    groups = [{"params": [p], "lr": RATE * float(p.detach().square().mean().sqrt())} for p in bank.parameters()]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    best, kept = _loss(bank, cells, *held, sparsity).item(), copy.deepcopy(bank.state_dict())
    try:
        for step in range(steps):
            samples_XNC, fine_XPC = batch(step)
            chosen = torch.randperm(len(samples_XNC), generator=torch.Generator().manual_seed(step))[:CELLS]
            loss = _loss(bank, cells, samples_XNC[chosen], fine_XPC[chosen], sparsity)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if (step + 1) % max(1, steps // 10) == 0:
                with torch.no_grad():
                    error = _loss(bank, cells, *held, sparsity).item()
                if error < best:
                    best, kept = error, copy.deepcopy(bank.state_dict())
                yield error
    finally:  # also where the caller stops early
        bank.load_state_dict(kept)


def _loss(bank: Dictionary, cells: CellSpace, samples_XNC: Tensor, fine_XPC: Tensor, sparsity: int) -> Tensor:
    """Weighted mean square over samples and fine points, codes solved on the samples."""
    design = materialise(bank, Sample(cells.coords_ND, cells.weight_N))
    weighted_XNC = samples_XNC * cells.weight_N.sqrt()[:, None]
    code = Omp(sparsity).solve(Problem(design, weighted_XNC.flatten(1).T)).code
    left_XNC = bank.field(cells.coords_ND, code).permute(2, 0, 1) - samples_XNC
    loss = EXACT * (left_XNC.square() * cells.weight_N[:, None]).mean()
    if fine_XPC.shape[1]:
        loss = loss + (bank.field(cells.fine_PD, code).permute(2, 0, 1) - fine_XPC).square().mean()
    return loss
