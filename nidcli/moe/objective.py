"""The objective of joint training (eq. 11) on one batch of cells.

    mean over samples of |f - y|^2 (or |f - y|) + penalties,      f(x) = sum_k alpha_k b_k(x) + c

Eq. 11 sums over the measurements of a signal, so with a mean over M of them the l1 penalty is divided by M. The
coefficients of variation have no scale and count as they are, as in the published code.

Letters: S cells, N samples, C channels, K experts, M = N C.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.dictionary import Dictionary
from nidcli.moe import balance
from nidcli.moe.spec import MoeSpec

GATHER = 64  # with this many experts for each one that is used, only those are read


@dataclass(frozen=True)
class Batch:
    """Cells and their codes: values_SNC and weight_N of the samples, score_SK before and code_SK after dropping."""

    coords_ND: Tensor
    weight_N: Tensor
    values_SNC: Tensor
    score_SK: Tensor
    code_SK: Tensor
    constant_SC: Tensor


def draw(banks: list[Dictionary], coords_ND: Tensor, code_SK: Tensor, constant_SC: Tensor, k: int | None) -> Tensor:
    """(S, N, C): the fields of codes; of several banks the cells take turns. Own heads out of use are left out."""
    parts = []
    for number, bank in enumerate(banks):
        mine_SK = code_SK[number :: len(banks)]
        if k is not None and bank.spec.heads == "linear" and k * GATHER <= mine_SK.shape[1]:
            index_SJ = mine_SK.detach().abs().topk(k, 1, sorted=False).indices
            sparse = SparseCode(index_SJ, mine_SK.gather(1, index_SJ), constant_SC.new_zeros(len(mine_SK), 1))
            field_NCS = bank.field(coords_ND, sparse)
        else:
            field_NCS = bank.field(coords_ND, mine_SK.T)
        parts.append(field_NCS.permute(2, 0, 1))
    field_SNC = parts[0] if len(parts) == 1 else torch.stack(parts, 1).flatten(0, 1)
    return field_SNC + constant_SC[:, None]


def fidelity(field_SNC: Tensor, batch: Batch, loss: str) -> Tensor:
    """Mean over samples, weighted as overlapping cells share them."""
    left = field_SNC.float() - batch.values_SNC
    error = left.square() if loss == "l2" else left.abs()
    return (error * batch.weight_N[:, None]).sum() / (batch.weight_N.sum() * error.shape[0] * error.shape[2])


def penalty(batch: Batch, spec: MoeSpec, k: int | None) -> Tensor:
    """What is added to the fidelity: sparsity while nothing is dropped (k is None), and balance."""
    code, numbers = batch.code_SK.float(), batch.values_SNC[0].numel()
    total = code.new_zeros(())
    if spec.decay:
        total = total + spec.sparsity / numbers * balance.rising(code, spec.decay, spec.most)
    elif k is None:
        total = total + spec.sparsity / numbers * balance.l1(code)
    if spec.balance:
        total = total + spec.balance * balance.squared_cv(balance.importance(code))
        if k is not None:
            total = total + spec.balance * balance.squared_cv(balance.load(batch.score_SK, batch.code_SK.detach() != 0))
    return total
