"""Training the gate on the solver's picks, with the dictionary fixed.

In every round the loudest experts should be those that orthogonal matching pursuit would pick next, from wherever the
gate's own rounds have led (imitation on the learner's path, Ross, Gordon and Bagnell 2011): cross entropy between the
softmax of the scores and these picks, weighted by their energy. A round's network stays only where it lowers the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from nidcli.gates import CellGate, Coordinates, coordinates
from nidcli.problem import DenseDesign, Problem
from nidcli.solvers import Omp

RATE = 1e-3
CELLS = 1024  # a step
SHARPNESS = 30.0  # of the softmax, for signals of unit norm


def train_gate(
    gate: CellGate, design: DenseDesign, batch: Callable[[int], Tensor], held_MS: Tensor, steps: int
) -> Iterator[float]:
    """Yields the loss of every step. `batch(step)` gives signals (M, S); `held_MS` decides what is kept."""
    coords = coordinates(design, gate.basis, gate.spec.components)
    if not gate.spec.rounds or not len(coords.learned_LG):
        return
    optimizer = torch.optim.Adam(gate.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    try:
        for step in range(steps):
            signals_MS = batch(step)
            signals_MS = signals_MS[:, torch.randperm(signals_MS.shape[1], generator=_seeded(step))[:CELLS]]
            problem = Problem(design, signals_MS)
            loss = _imitation(gate, coords, (problem.projected_MS.T @ coords.analysis_BM.T)[:, : gate.seen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            yield loss.item()
    finally:  # also where the caller stops early
        _keep_what_helps(gate, Problem(design, held_MS))


def _imitation(gate: CellGate, coords: Coordinates, code_SG: Tensor) -> Tensor:
    """Cross entropy of every round against what the solver would pick next, from where the gate's own rounds lead."""
    loss, left_SG = code_SG.new_zeros(()), code_SG
    taken_SJ = torch.zeros(len(code_SG), 0, dtype=torch.long, device=code_SG.device)
    design = DenseDesign(coords.learned_LG.T, code_SG.new_zeros(code_SG.shape[1], 0))
    for number in range(gate.spec.rounds):
        unit_SG = nn.functional.normalize(left_SG, dim=1)
        with torch.no_grad():
            wanted = Omp(gate.spec.picks, per_round=1).solve(Problem(design, unit_SG.T)).code
            share_SJ = wanted.value_SJ.square()
            share_SJ = share_SJ / share_SJ.sum(1, keepdim=True).clamp_min(1e-9)
            taken_SJ, _, left_SG = gate.pick(number, code_SG, left_SG, coords, taken_SJ, gate.spec.picks)
        called_SL = (SHARPNESS * gate.scores(number, unit_SG, coords)).log_softmax(1)
        loss = loss - (share_SJ * called_SL.gather(1, wanted.index_SJ)).sum(1).mean()
    return loss


@torch.no_grad()
def _keep_what_helps(gate: CellGate, problem: Problem) -> None:
    """Silence a round's network, last round first, where the held-out error is lower without it."""
    for number in reversed(range(gate.spec.rounds)):
        net = gate.nets[number]
        assert isinstance(net, nn.Sequential)
        last = net[2]
        with_it, weights = _error(gate, problem), [p.clone() for p in last.parameters()]
        for parameter in last.parameters():
            parameter.zero_()
        if with_it < _error(gate, problem):
            for parameter, kept in zip(last.parameters(), weights, strict=True):
                parameter.copy_(kept)


def _error(gate: CellGate, problem: Problem) -> float:
    """Mean logarithm of the squared error at the sparsities where the pursuit runs."""
    total = 0.0
    for k in (8, 16, 32):
        if k <= gate.spec.sparse:
            code = gate(problem, k)
            drawn_MS = problem.design.forward(code.dense(problem.design.shape[1]))
            drawn_MS = drawn_MS + problem.design.free_MC @ code.constant_SC.T
            total += float((drawn_MS - problem.target_MS).square().sum(0).clamp_min(1e-9).log().mean())
    return total


def _seeded(step: int) -> torch.Generator:
    return torch.Generator().manual_seed(step)
