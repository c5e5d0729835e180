"""Orthogonal matching pursuit: min |y - Phi a - free c|^2 with at most k experts a signal, greedily.

Pati, Rezaiifar & Krishnaprasad 1993, batched over signals as in Rubinstein, Zibulevsky & Elad 2008. A round shortlists
the experts that correlate most with what is left, and makes them orthogonal to those already picked. It then picks the
one that takes most of what is left away (orthogonal least squares, Chen, Billings & Luo 1989; on coherent dictionaries
this beats the largest correlation by more than 1 dB), or a few (generalised OMP, Wang, Kwon & Shim 2012).
Shortlists need no precision, so correlations run in bfloat16 where the chip has it; values come from float64.

Letters: n signals of a chunk, W numbers a signal (M, or K after compression), t picks so far, p shortlisted, m picked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.precision import has_bfloat16
from nidcli.problem import SCRATCH, DenseUnit, Problem, Solution, UnitDesign
from nidcli.solvers.common import finish, require, require_k, require_l2

DEPENDENT = 1e-3  # a pick of which less is new gets no value: its coefficient would be noise
POOLED = 96  # picks more than k that a signal of a pool may get
FITTED = 1e-11  # share of a signal's energy at which nothing is left to fit, a little above float32 rounding


@dataclass(frozen=True)
class Omp:
    """At most k experts a signal; fewer where the signal is fitted before, or where a pick adds nothing new.

    per_round : experts picked at once; the default grows with k so that large k stay affordable. shortlist :
    candidates a pick; with 1 and per_round 1 this is the textbook's OMP. pool : this many signals in a row share their
    budget, pool times k in all: each keeps a quarter of k, and otherwise the picks that take most away are kept,
    whichever signal they belong to. `init` is ignored. Raises UsageError for another loss than l2.
    """

    k: int
    per_round: int | None = None
    shortlist: int = 8
    pool: int = 1

    def __post_init__(self) -> None:
        require_k("omp", self.k)
        require(self.per_round is None or self.per_round >= 1, "omp must pick at least 1 expert a round.")
        require(self.shortlist >= 1, "omp must shortlist at least 1 expert a pick.")
        require(self.pool >= 1, "omp needs at least 1 signal that shares a budget.")

    @torch.no_grad()
    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution:
        require_l2(problem, "omp")
        unit = problem.unit
        k = min(self.k, unit.shape[1])
        most = k if self.pool == 1 else min(unit.shape[1], 4 * k, k + POOLED)  # that a signal of a pool may get
        m = min(k, self.per_round or max(1, most // 32))
        rounds = math.ceil(most / m)
        space, seen_WS = compressed(unit, problem.projected_MS, rounds)
        W, K = space.shape
        room = (most + 2 * m * self.shortlist) * W + 3 * most * most + 2 * K
        seen_SW, chunk = seen_WS.T, min(1024, max(8, 2 * SCRATCH // room))
        pool = min(self.pool, chunk)
        codes = []
        for seen_nW in seen_SW.split(chunk // pool * pool):
            pick_nk, part_nk, factor_nkk = pursue(space, seen_nW, most, m, self.shortlist)
            part_nk = shared(part_nk, pool, k) if self.pool > 1 else part_nk
            upper_nkk = factor_nkk.transpose(1, 2).double()
            value_nk1 = torch.linalg.solve_triangular(upper_nkk, part_nk.double().unsqueeze(2), upper=True)
            codes.append((pick_nk, value_nk1.squeeze(2).float()))
        index_SJ, value_SJ = torch.cat([c[0] for c in codes]), torch.cat([c[1] for c in codes])
        if self.pool > 1:
            used = int((value_SJ != 0).any(0).sum())
            index_SJ, value_SJ = index_SJ[:, : max(1, used)], value_SJ[:, : max(1, used)]
        return Solution(finish(problem, index_SJ, value_SJ * unit.scale_K[index_SJ]), rounds, True)


def shared(part_nk: Tensor, pool: int, k: int) -> Tensor:
    """Parts of picks, in order; of every `pool` signals in a row only the first of each whose gains are worth most.

    A pick is worth the largest gain of itself and those after it, so that what is kept is the beginning of each row.
    Every signal keeps a quarter of k: flat cells would be constant otherwise, and their borders show.
    """
    gain_nk = part_nk.square().flip(1).cummax(1).values.flip(1)
    gain_nk[:, : k // 4] = torch.inf
    kept = torch.zeros_like(part_nk, dtype=torch.bool)
    for i in range(0, len(part_nk), pool):
        gains = gain_nk[i : i + pool].flatten()
        best = gains.sort(descending=True, stable=True).indices[: k * len(gain_nk[i : i + pool])]
        kept[i : i + pool].view(-1)[best] = True
    return torch.where(kept, part_nk, 0)


def compressed(unit: UnitDesign, target_MS: Tensor, rounds: int) -> tuple[UnitDesign, Tensor]:
    """The same angles in K instead of M numbers, where that pays: experts and targets in a basis of their span.

    U'U = L L', so the rows of L are the experts, and L^-1 U'y is the part of y that they can reach.
    """
    M, K = unit.shape
    if not isinstance(unit, DenseUnit) or unit.gram_KK is None or M <= K or target_MS.shape[1] * rounds < K:
        return unit, target_MS
    gram_KK = unit.gram_KK.double()
    gram_KK.diagonal().add_(1e-6)  # experts that depend on each other; far below DEPENDENT squared it would show
    lower_KK, failed = torch.linalg.cholesky_ex(gram_KK)
    if failed:  # experts of low rank: the rounding of float32 products may exceed what was added
        exact_KM = unit.unit_KM.double()
        lower_KK = torch.linalg.cholesky(exact_KM @ exact_KM.T + 1e-6 * torch.eye(K).to(exact_KM))
    seen_KS = torch.linalg.solve_triangular(lower_KK, unit.adjoint(target_MS).double(), upper=False)
    rows_KK = torch.where(unit.norm_K[:, None] > 0, lower_KK, 0).float()
    return replace(unit, unit_KM=rows_KK), seen_KS.float()


def pursue(space: UnitDesign, seen_nW: Tensor, k: int, per_round: int, shortlist: int) -> tuple[Tensor, Tensor, Tensor]:
    """Picks (n, k), their parts of the signal on an orthonormal basis (n, k), factor: columns = factor basis."""
    (n, W), K = seen_nW.shape, space.shape[1]
    basis_nkW = seen_nW.new_zeros(n, k, W)
    factor_nkk = torch.eye(k, device=seen_nW.device).repeat(n, 1, 1)  # picked columns = factor basis
    pick_nk = torch.zeros(n, k, dtype=torch.long, device=seen_nW.device)
    part_nk = seen_nW.new_zeros(n, k)
    left_nW = seen_nW.clone()
    floor_n = FITTED * seen_nW.square().sum(1)
    for t in range(0, k, per_round):
        going_n = left_nW.square().sum(1) > floor_n
        if not bool(going_n.any()):
            break
        m = min(per_round, k - t)
        index_np = correlated(space, left_nW, pick_nk[:, :t], min(m * shortlist, K - t))
        block_npW = space.columns(index_np)
        share_npt = torch.bmm(block_npW, basis_nkW[:, :t].transpose(1, 2))
        block_npW = torch.baddbmm(block_npW, share_npt, basis_nkW[:, :t], alpha=-1)
        if m < index_np.shape[1]:
            best_nm = helpful(block_npW, left_nW, m)
            index_np = index_np.gather(1, best_nm)
            share_npt = share_npt.gather(1, best_nm.unsqueeze(2).expand(-1, -1, t))
            block_npW = block_npW.gather(1, best_nm.unsqueeze(2).expand(-1, -1, W))
        pick_nk[:, t : t + m] = index_np
        factor_nkk[:, t : t + m, :t] = share_npt
        for i in range(t, t + m):
            new_nW = block_npW[:, i - t]
            if i > t:
                share_n1u = torch.bmm(new_nW.unsqueeze(1), basis_nkW[:, t:i].transpose(1, 2))
                factor_nkk[:, i, t:i] = share_n1u.squeeze(1)
                new_nW = new_nW - torch.bmm(share_n1u, basis_nkW[:, t:i]).squeeze(1)
            norm_n = new_nW.norm(dim=1)
            good_n = going_n & (norm_n > DEPENDENT)
            new_nW = new_nW * torch.where(good_n, 1 / norm_n, 0).unsqueeze(1)
            basis_nkW[:, i] = new_nW  # zero for a pick that adds nothing new, and so is its value
            factor_nkk[:, i, i] = torch.where(good_n, norm_n, 1)
            part_nk[:, i] = (new_nW * left_nW).sum(1)
            left_nW = torch.addcmul(left_nW, part_nk[:, i, None], new_nW, value=-1)
    return pick_nk, part_nk, factor_nkk


def correlated(space: UnitDesign, left_nW: Tensor, taken_nt: Tensor, p: int) -> Tensor:
    """(n, p) experts that correlate most with what is left, none of them taken already."""
    chosen = []
    fast = isinstance(space, DenseUnit) and has_bfloat16(left_nW.device)
    half_nW = left_nW.bfloat16() if fast else left_nW
    for i in range(0, len(left_nW), 256):  # few enough rows for the correlations to stay in the cache
        if fast and isinstance(space, DenseUnit):
            size_nK = (half_nW[i : i + 256] @ space.half_MK).float().abs_()
        else:
            size_nK = space.adjoint(left_nW[i : i + 256].T).T.contiguous().abs_()
        size_nK.scatter_(1, taken_nt[i : i + 256], -1.0)
        chosen.append(size_nK.argmax(1, keepdim=True) if p == 1 else size_nK.topk(p, dim=1).indices)
    return torch.cat(chosen)


def helpful(block_npW: Tensor, left_nW: Tensor, m: int) -> Tensor:
    """(n, m) the rows of each block that, one after another, shorten what is left most: by <row, left> / |row|.

    Rows already picked are taken out of the others in the block's Gram matrix, not in the block.
    """
    gram_npp = torch.bmm(block_npW, block_npW.transpose(1, 2))
    gain_np = torch.bmm(left_nW.unsqueeze(1), block_npW.transpose(1, 2)).squeeze(1)
    out_np = torch.zeros_like(gain_np)
    best = []
    for i in range(m):
        energy_np = gram_npp.diagonal(dim1=1, dim2=2).clamp_min(DEPENDENT**2)
        best.append((gain_np.square() / energy_np - out_np).argmax(1, keepdim=True))
        if i + 1 < m:
            out_np.scatter_(1, best[-1], torch.inf)
            row_np = gram_npp.gather(1, best[-1].unsqueeze(2).expand(-1, -1, gram_npp.shape[2])).squeeze(1)
            row_np = row_np / energy_np.gather(1, best[-1]).sqrt()
            step_n1 = gain_np.gather(1, best[-1]) / energy_np.gather(1, best[-1]).sqrt()
            gain_np = gain_np - step_n1 * row_np
            gram_npp = torch.baddbmm(gram_npp, row_np.unsqueeze(2), row_np.unsqueeze(1), alpha=-1)
    return torch.cat(best, 1)
