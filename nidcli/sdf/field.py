"""Distance fields as codes of cells: solved from points with normals, measured anywhere.

    f(x) = sum_levels sum_cells w_cell(x) sum_k a[cell, k] b_k(local(x)) / cells        in units of the domain

A level's cells are those that see enough points; its codes are Gaussian posterior means under the level's learned
statistics, given what the levels below it leave of the data. Where a level has no cell its share is zero, which is to
say that the coarser ones decide.

Letters: N points, D = 3, S cells, K experts, J cells that see a point, Q pairs of a point and a cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nidcli.dictionary import Dictionary
from nidcli.engine import materialise
from nidcli.model import Level
from nidcli.operators import Hermite
from nidcli.partition import Partition
from nidcli.precision import has_bfloat16
from nidcli.problem import DenseDesign
from nidcli.solvers.posterior import Ragged, posterior_means
from nidcli.threads import in_threads

ROWS, ROWS_ELSEWHERE = 1 << 14, 1 << 17  # of a design that is measured at a time: what the processor's caches hold
FAINT = 1e-3  # a cell that sees a point with less weight than this does not look at it


@dataclass(frozen=True)
class Data:
    """What a cloud says, in the domain's frame. value_N, slope_N3 : of f at the points; value_noise_N :
    standard deviations of values, in units of the domain; slope_noise_N : of slopes, infinite where none is known."""

    points_N3: Tensor
    value_N: Tensor
    slope_N3: Tensor
    value_noise_N: Tensor
    slope_noise_N: Tensor

    def minus(self, jets_N4: Tensor) -> Data:
        """What is left of it without a field whose values and slopes at the points are known."""
        left = (self.value_N - jets_N4[:, 0], self.slope_N3 - jets_N4[:, 1:])
        return replace(self, value_N=left[0], slope_N3=left[1])


@dataclass(frozen=True)
class Share:
    """One level's part of a field: cells of a grid that have a code. slot_G : where a cell's code is, -1 for none;
    constant : that is part of every code."""

    bank: Dictionary
    partition: Partition
    cell_S: Tensor
    code_SK: Tensor
    slot_G: Tensor
    constant: float = 0.0

    @property
    def cells(self) -> int:
        """A side."""
        return self.partition.cells[0]

    def jets(self, points_N3: Tensor) -> Tensor:
        """(N, 4): values and slopes at points, in units of the domain."""
        out = points_N3.new_zeros(len(points_N3), 4)
        head_FK = self.bank.head_KCF[:, 0].T
        weights_S4E = self.bank.derivatives(head_FK @ self.code_SK.T).view(-1, 4, len(self.code_SK)).permute(2, 1, 0)
        for part, pairs in _pairs(self.partition, points_N3):
            slot_Q = self.slot_G[pairs.cell_Q]
            known = slot_Q >= 0
            slot_Q, local_Q3, weight_Q, point_Q, slope_Q3 = (t[known] for t in (slot_Q, *pairs.rest))
            jet_Q4 = _grouped(self.bank.trunk.embed(local_Q3), slot_Q, weights_S4E)
            value_Q, slope = (jet_Q4[:, :1] + self.constant) / self.cells, jet_Q4[:, 1:]
            weighted = torch.cat([weight_Q[:, None] * value_Q, weight_Q[:, None] * slope + slope_Q3 * value_Q], 1)
            out[part].index_add_(0, point_Q, weighted)
        return out


def _grouped(embedded_QE: Tensor, slot_Q: Tensor, weights_SXE: Tensor) -> Tensor:
    """(Q, X): each row times the weights of its cell, the last of them on 1; cells with about as many rows together."""
    order = torch.argsort(slot_Q, stable=True)
    used_U, count_U = torch.unique_consecutive(slot_Q[order], return_counts=True)
    start_U, padded_U = count_U.cumsum(0) - count_U, (count_U + 7) // 8 * 8
    out = embedded_QE.new_empty(len(slot_Q), weights_SXE.shape[1])
    for rows in padded_U.unique().tolist():
        for group in (padded_U == rows).nonzero().squeeze(1).split(max(1, rows_at(slot_Q.device) // rows)):
            place_BR = start_U[group, None] + torch.arange(rows, device=slot_Q.device)
            inside_BR = torch.arange(rows, device=slot_Q.device) < count_U[group, None]
            pair_BR = order[place_BR.clamp_max(len(order) - 1)]
            weights_BXE = weights_SXE[used_U[group]]
            drawn = torch.baddbmm(weights_BXE[:, None, :, -1], embedded_QE[pair_BR], weights_BXE[:, :, :-1].mT)
            out[pair_BR[inside_BR]] = drawn[inside_BR]
    return out


@dataclass(frozen=True)
class _Pairs:
    """Points and cells that see them. slope_Q3 : of the weight."""

    cell_Q: Tensor
    local_Q3: Tensor
    weight_Q: Tensor
    point_Q: Tensor
    slope_Q3: Tensor

    @property
    def rest(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.local_Q3, self.weight_Q, self.point_Q, self.slope_Q3


def _pairs(partition: Partition, points_N3: Tensor) -> list[tuple[slice, _Pairs]]:
    """Runs of points, and their pairs."""
    found = []
    step = rows_at(points_N3.device) // 16
    for start in range(0, len(points_N3), step):
        part = slice(start, min(start + step, len(points_N3)))
        cell, local, weight = partition.locate(points_N3[part])
        N, J = cell.shape
        keep = (weight > 0).flatten()
        slope_NJ3 = weight_slope(partition, local)
        point_Q = torch.arange(N, device=cell.device).repeat_interleave(J)[keep]
        flat = (cell.flatten()[keep], local.flatten(0, 1)[keep], weight.flatten()[keep], point_Q)
        found.append((part, _Pairs(*flat, slope_NJ3.flatten(0, 1)[keep])))
    return found


def rows_at(device: torch.device) -> int:
    """Rows of a design at a time: a processor is quick with what its caches hold, other devices with much at once."""
    return ROWS if device.type == "cpu" else ROWS_ELSEWHERE


def weight_slope(partition: Partition, local_NJ3: Tensor) -> Tensor:
    """(N, J, 3) derivatives in the domain of the weights at local coordinates, the border of the domain apart."""
    F, n = partition.overlap, torch.tensor(partition.cells, device=local_NJ3.device)
    ramp = ((1 + F - local_NJ3.abs()) / (2 * F)).clamp(0, 1)
    slope = torch.where((ramp > 0) & (ramp < 1), -local_NJ3.sign() / (2 * F), 0) * n
    others = torch.stack([ramp[..., 1] * ramp[..., 2], ramp[..., 0] * ramp[..., 2], ramp[..., 0] * ramp[..., 1]], -1)
    return slope * others


@torch.no_grad()
def solve_share(level: Level, cells: int, data: Data, least: int, most: int, first: bool = True) -> Share:
    """The codes of a level's cells, `cells` a side, that see at least `least` points; at most `most` are looked at.

    first : no other level is below it; what others leave has no mean.
    """
    partition = Partition((cells,) * 3, level.spec.overlap)
    cell, local, weight = partition.locate(data.points_N3)
    keep = (weight > FAINT).flatten().nonzero().squeeze(1)
    cell_Q, point_Q, local_Q3 = cell.flatten()[keep], keep // cell.shape[1], local.flatten(0, 1)[keep]
    order = torch.argsort(cell_Q, stable=True)
    cell_Q, point_Q, local_Q3 = cell_Q[order], point_Q[order], local_Q3[order]
    cell_S, count_S = torch.unique_consecutive(cell_Q, return_counts=True)
    rank_Q = torch.arange(len(cell_Q), device=cell_Q.device) - (count_S.cumsum(0) - count_S).repeat_interleave(count_S)
    every_Q = (count_S / most).clamp_min(1).repeat_interleave(count_S)  # spread evenly over the cell's points
    chosen_Q = ((rank_Q / every_Q).floor() != ((rank_Q - 1) / every_Q).floor()) & (
        count_S.repeat_interleave(count_S) >= least
    )
    cell_S = cell_S[count_S >= least]
    cell_Q, point_Q, local_Q3 = cell_Q[chosen_Q], point_Q[chosen_Q], local_Q3[chosen_Q]
    count_S = torch.unique_consecutive(cell_Q, return_counts=True)[1]
    prior = level.prior()
    mean_K = prior.mean_K if first else torch.zeros_like(prior.mean_K)
    code_SK = _codes(level, data, point_Q, local_Q3, count_S, cells, mean_K, prior.variance_K)
    slot_G = torch.full((cells**3,), -1, device=cell_S.device)
    slot_G[cell_S] = torch.arange(len(cell_S), device=cell_S.device)
    return Share(level.bank(), partition, cell_S, code_SK, slot_G)


def _codes(
    level: Level,
    data: Data,
    point_Q: Tensor,
    local_Q3: Tensor,
    count_S: Tensor,
    cells: int,
    mean_K: Tensor,
    variance_K: Tensor,
) -> Tensor:
    """(S, K), in runs of cells whose designs have `rows_at` rows."""
    device, ends_S = data.points_N3.device, (4 * count_S).cumsum(0)
    runs, first = list[tuple[int, int]](), 0
    while first < len(count_S):
        done = int(ends_S[first - 1]) if first else 0
        last = max(first + 1, int(torch.searchsorted(ends_S, done + rows_at(device), right=True)))
        runs.append((first, last))
        first = last
    rough = has_bfloat16(device)  # far finer than what experts can draw (BLUR)

    def solved(run: tuple[int, int]) -> Tensor:
        first, last = run
        rows = slice(int(ends_S[first - 1]) // 4 if first else 0, int(ends_S[last - 1]) // 4)
        point, local = point_Q[rows], local_Q3[rows]
        slope_weight = 1 / data.slope_noise_N[point]
        operator = Hermite(local, 1 / (data.value_noise_N[point] * cells), slope_weight)
        design = materialise(level.bank(), operator, 1 << 62, rough=rough)
        assert isinstance(design, DenseDesign)
        target_Q4 = torch.cat([data.value_N[point][:, None] * cells, data.slope_N3[point]], 1)
        target_R = operator.forward(target_Q4[:, :, None])[:, 0]
        return posterior_means(Ragged(design.matrix_MK, target_R, 4 * count_S[first:last]), mean_K, variance_K)

    return torch.cat(in_threads(solved, runs, device)) if runs else mean_K.new_zeros(0, len(mean_K))
