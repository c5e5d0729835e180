"""The gate: codes at once, in a fixed number of products.

The first experts of a level are orthonormal on a cell, so their coefficients are one product, c = B'y, and the k
largest of them by magnitude are the best k of the basis (the paper's sparsification, signed, section 3.3). Where few
coefficients are wanted, rounds of an unrolled pursuit go before (unrolling: Gregor and LeCun 2010). In each round

    retrieve   a small network, trained on the solver's picks, looks at what is left, c + net(c), and the learned
               experts that answer loudest become candidates
    compete    orthogonal matching pursuit among the candidates alone picks some of them

and their joint projection is taken off. With many coefficients the basis alone is as good.

Letters: S cells, M numbers of a cell, B basis experts, L learned experts, G components the network sees, H of them by
which experts are compared, T candidates, J picks.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nidcli.codes import SparseCode
from nidcli.errors import UsageError
from nidcli.linear import solve
from nidcli.precision import half, halved
from nidcli.problem import DenseDesign, Problem
from nidcli.solvers.common import finish


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """Size of the gate, and when its pursuit runs."""

    rounds: int = 2
    picks: int = 8  # experts a round, at most
    candidates: int = 32  # T
    components: int = 320  # G
    width: int = 256
    sparse: int = 64  # largest k with rounds of pursuit


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A design seen from its basis: analysis_BM gives coordinates, learned_LG the first ones of learned experts.

    Stored in half precision the basis is orthonormal to three digits only; its pseudoinverse makes up for the rest.
    """

    analysis_BM: Tensor
    learned_LG: Tensor
    half_LG: Tensor
    heard_LH: Tensor
    heard_HL: Tensor


TOGETHER = 1024  # cells: as many as a thread takes of small photos (coding.py)
HEARD = 128  # components: with all 320 of a face the codes are .006 dB better, and take a fifth longer
STACKED = 32  # experts of which one is a candidate at most
NEARLY = 2**-7  # above the rounding of half precision, which would make their products indefinite
ROUNDING = 1e-5  # of a coefficient, for values in 0 ... 1: a hundredth of a grey level at most
_coordinates: WeakKeyDictionary[DenseDesign, dict[tuple[int, int], Coordinates]] = WeakKeyDictionary()


def coordinates(design: DenseDesign, basis: int, components: int) -> Coordinates:
    """Computed once a design and size of the gate."""
    known = _coordinates.setdefault(design, {})
    if (basis, components) not in known:
        basis_BM = design.unit_KM[:basis].double()
        analysis_BM = solve(basis_BM @ basis_BM.T, basis_BM).float()
        learned_LG = design.unit_KM[basis:] @ analysis_BM[:components].T
        half_LG = learned_LG.to(half(learned_LG.device))
        heard_LH = half_LG[:, :HEARD].contiguous()
        # whole columns of `loudest`, and a row length that products are quick for
        heard_HL = nn.functional.pad(heard_LH, (0, 0, 0, -len(half_LG) % STACKED)).T.contiguous()
        known[basis, components] = Coordinates(analysis_BM, learned_LG, half_LG, heard_LH, heard_HL)
    return known[basis, components]


def _rows(matrix_LB: Tensor, index_SJ: Tensor) -> Tensor:
    """(S, J, B) rows of a matrix."""
    return matrix_LB.index_select(0, index_SJ.flatten()).view(*index_SJ.shape, -1)


def loudest(score_SL: Tensor, count: int) -> Tensor:
    """(S, count): where the largest are, but for some of those that lie in one column with a larger one.

    Columns are every so many experts, so that few are lost, and sorting their maxima is three times as fast as sorting
    them all (Chern et al. 2022). Exact where there are few.
    """
    columns = score_SL.shape[1] // STACKED
    if columns < 4 * count:
        return score_SL.topk(count, 1, sorted=False).indices
    stacked_SXN = score_SL.unflatten(1, (STACKED, columns))
    maxima_SN = _highest(stacked_SXN)
    column_ST = maxima_SN.topk(count, 1, sorted=False).indices
    column_SXT = stacked_SXN.gather(2, column_ST[:, None].expand(-1, STACKED, -1))
    row_X1 = torch.arange(STACKED, dtype=torch.uint8, device=score_SL.device)[:, None]
    row_ST = _highest((column_SXT == maxima_SN.gather(1, column_ST)[:, None]).byte() * row_X1)
    return row_ST.long() * columns + column_ST


def _highest(stacked_SXN: Tensor) -> Tensor:
    """(S, N) maxima over X, a power of two, by halving: short types are quick side by side, and slow one by one."""
    while stacked_SXN.shape[1] > 1:
        upper, lower = stacked_SXN.chunk(2, 1)
        stacked_SXN = torch.maximum(upper, lower)
    return stacked_SXN[:, 0]


def compete(gram_STT: Tensor, answer_ST: Tensor, picks: int) -> Tensor:
    """(S, picks) candidates, by matching pursuit with orthogonalisation among T candidates: all in their T x T Gram.

    answer_ST : their products with what is left. Candidates have unit norm; the parts of them that H components leave
    out count as unlike each other.
    """
    gram_STT = gram_STT.clone()
    gram_STT.diagonal(dim1=1, dim2=2).fill_(1)
    norm_ST = torch.ones_like(answer_ST)  # squared norms of what is new in each candidate
    everyone = torch.arange(len(answer_ST), device=answer_ST.device)
    chosen: list[Tensor] = []
    for _ in range(picks):
        gain_ST = answer_ST.square() / norm_ST.clamp_min(1e-3)
        gain_ST = gain_ST.masked_fill_(norm_ST < 1e-2, -1)
        for earlier_S in chosen:  # even where no candidate has anything new
            gain_ST[everyone, earlier_S] = -2
        pick_S = gain_ST.argmax(1)
        chosen.append(pick_S)
        column_ST = gram_STT[everyone, pick_S]
        pivot_S1 = norm_ST[everyone, pick_S].clamp_min(1e-3)[:, None]
        answer_ST = answer_ST - column_ST * answer_ST[everyone, pick_S][:, None] / pivot_S1
        gram_STT = gram_STT - column_ST[:, :, None] * (column_ST / pivot_S1)[:, None, :]
        norm_ST = gram_STT.diagonal(dim1=1, dim2=2).clone()
        norm_ST[everyone, pick_S] = 0
    return torch.stack(chosen, 1)


class CellGate(nn.Module):
    """Signals of cells -> codes with k coefficients."""

    def __init__(self, spec: GateSpec, basis: int) -> None:
        super().__init__()
        self.spec, self.basis = spec, basis
        self.seen = min(spec.components, basis)
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(self.seen, spec.width), nn.ReLU(), nn.Linear(spec.width, self.seen))
            for _ in range(spec.rounds)
        )
        for net in self.nets:
            assert isinstance(net, nn.Sequential)
            for parameter in net[2].parameters():
                nn.init.zeros_(parameter)

    def scores(self, number: int, left_SG: Tensor, coords: Coordinates) -> Tensor:
        """(S, L): how loudly each learned expert answers to what is left, in a round; -1 in places of none."""
        if torch.is_grad_enabled():
            return ((left_SG + self.nets[number](left_SG)) @ coords.learned_LG.T).abs()
        with halved(left_SG.device):
            answer_SG = left_SG + self.nets[number](left_SG)
            score_SL = (answer_SG[:, : len(coords.heard_HL)] @ coords.heard_HL).abs_()
        score_SL[:, len(coords.learned_LG) :] = -1
        return score_SL

    def pick(
        self, number: int, code_SG: Tensor, left_SG: Tensor, coords: Coordinates, taken_SJ: Tensor, picks: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One round: picks so far and new (S, J), their values (S, J), and what is left (S, G)."""
        everyone = torch.arange(len(taken_SJ), device=taken_SJ.device)[:, None]
        score_SL = self.scores(number, left_SG, coords)
        score_SL[everyone, taken_SJ] = -1
        candidate_ST = loudest(score_SL, min(self.spec.candidates, len(coords.learned_LG)))
        # The products of candidates with each other and with what is left decide which are picked, no more.
        rows_STH = _rows(coords.heard_LH, candidate_ST)
        left_S1H = left_SG[:, None, : rows_STH.shape[2]].to(rows_STH.dtype)
        answer_ST = (left_S1H @ rows_STH.mT)[:, 0].float()
        chosen_SJ = compete((rows_STH @ rows_STH.mT).float(), answer_ST, picks)
        taken_SJ = torch.cat([taken_SJ, candidate_ST.gather(1, chosen_SJ)], 1)
        # Values may be a little off, since what is left is then exact and goes to the basis.
        rows_SJG = _rows(coords.half_LG, taken_SJ)
        gram_SJJ = (rows_SJG @ rows_SJG.mT).float()
        gram_SJJ.diagonal(dim1=1, dim2=2).add_(NEARLY)  # picks may nearly depend on each other
        answer_SJ1 = (code_SG.to(rows_SJG.dtype)[:, None] @ rows_SJG.mT).float().mT
        value_SJ = torch.cholesky_solve(answer_SJ1, torch.linalg.cholesky_ex(gram_SJJ).L)[:, :, 0]
        drawn_SG = nn.functional.embedding_bag(taken_SJ, coords.learned_LG, mode="sum", per_sample_weights=value_SJ)
        return taken_SJ, value_SJ, code_SG - drawn_SG

    @torch.no_grad()
    def forward(self, problem: Problem, k: int) -> SparseCode:
        """Codes of a problem's signals, at most k coefficients each. Raises UsageError for a design without basis."""
        design = problem.design
        if not isinstance(design, DenseDesign) or not self.basis:
            raise UsageError("This dictionary has no orthonormal experts for a gate; use --solver omp.")
        coords = coordinates(design, self.basis, self.spec.components)
        rounds = self.spec.rounds
        picks = min(self.spec.picks, k // (2 * rounds)) if rounds and k <= self.spec.sparse else 0
        picks = picks if len(coords.learned_LG) >= rounds * self.spec.candidates else 0
        # Where learned experts are picked, what the network does not see is too small to be among the k largest.
        analysis_BM = coords.analysis_BM[: self.seen] if picks else coords.analysis_BM
        # The analysis does not see constants, so the target need not be projected; what rounding leaves of them goes.
        code_SB = nn.functional.hardshrink(problem.target_MS.T.float() @ analysis_BM.T, ROUNDING)
        parts = [self._chosen(part_SB, coords, k, picks) for part_SB in code_SB.split(TOGETHER)]
        index_SJ, value_SJ = (torch.cat(part) for part in zip(*parts, strict=True))
        return finish(problem, index_SJ, value_SJ * problem.unit.scale_K[index_SJ])

    def _chosen(self, code_SB: Tensor, coords: Coordinates, k: int, picks: int) -> tuple[Tensor, Tensor]:
        """At most k experts of some cells and their coefficients, for atoms of unit norm: (S, J) each."""
        index_SJ = torch.zeros(len(code_SB), 0, dtype=torch.long, device=code_SB.device)
        value_SJ = code_SB[:, :0]
        if picks:
            whole_SG = code_SB
            for number in range(self.spec.rounds):
                index_SJ, value_SJ, code_SB = self.pick(number, whole_SG, code_SB, coords, index_SJ, picks)
            index_SJ = index_SJ + self.basis
        restJ = code_SB.abs().topk(min(k - index_SJ.shape[1], code_SB.shape[1]), 1, sorted=False).indices
        return torch.cat([index_SJ, restJ], 1), torch.cat([value_SJ, code_SB.gather(1, restJ)], 1)
