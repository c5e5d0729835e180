"""Materialise, and nothing else: experts, measured.

    Phi = A B       materialise(bank, operator)

Dense where it fits a memory budget, matrix-free where it does not; the measured atoms are kept, so that a folder's
second photo costs one product.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nidcli.codes import SparseCode
from nidcli.dictionary import Dictionary
from nidcli.operators import Operator
from nidcli.problem import DenseDesign, Design

DENSE_BYTES = 2 << 30  # a design above this stays matrix-free
CHUNK_BYTES = 256 << 20  # what one chunk of rows may take while it is measured
CACHED_DESIGNS = 16  # an image has at most nine kinds of cells, and an encoder of slices learns from 14 geometries

_cache: WeakKeyDictionary[Dictionary, OrderedDict[Hashable, Design]] = WeakKeyDictionary()


def design_bytes(bank: Dictionary, operator: Operator) -> int:
    """Bytes of the dense design, float32."""
    return 4 * len(operator.coords_ND) * bank.spec.channels * bank.spec.experts


def materialise(bank: Dictionary, operator: Operator, budget: int = DENSE_BYTES, *, rough: bool = False) -> Design:
    """Every expert and every constant atom measured: rows are (measurement, channel), columns experts.

    rough : slopes may be measured with bfloat16 products.
    """
    if design_bytes(bank, operator) > budget and not operator.order:
        return MatrixFreeDesign(bank, operator)
    with torch.no_grad():
        rows = [op.forward(_atoms(bank, op, rough)).flatten(0, 1) for op in _chunks(bank, operator)]
        matrix_MK = rows[0] if len(rows) == 1 else torch.cat(rows)  # which copies, even one
        return MeasuredDesign(matrix_MK, _constants(bank, operator), operator.coords_ND)


def cached(bank: Dictionary, key: bytes, make: Callable[[], Operator | Design]) -> Design:
    """A design, or an operator materialised, remembered by the bank, its weights as they are, and a key of its own."""
    designs = _cache.setdefault(bank, OrderedDict())
    now = _state(bank, key)
    if now not in designs:
        made = make()
        designs[now] = materialise(bank, made) if isinstance(made, Operator) else made
        if len(designs) > CACHED_DESIGNS:
            designs.popitem(last=False)
    designs.move_to_end(now)
    return designs[now]


def _state(bank: Dictionary, key: bytes) -> Hashable:
    return (key, *((p.device, p._version) for p in bank.parameters()))


def remembered(bank: Dictionary, key: bytes) -> Design | None:
    """What `cached` would give without making it, or None."""
    designs = _cache.get(bank)
    return designs.get(_state(bank, key)) if designs else None


def measured(atoms: DenseDesign, operator: Operator) -> MeasuredDesign:
    """`materialise` from the atoms themselves, sampled where the operator looks: nets are asked but once."""
    N, C = len(operator.coords_ND), atoms.free_MC.shape[1]
    with torch.no_grad():
        rows, constants = (
            operator.forward(part.view(N, C, -1)).flatten(0, 1) for part in (atoms.matrix_MK, atoms.free_MC)
        )
        return MeasuredDesign(rows, constants, operator.coords_ND)


def drawn(design: DenseDesign, code: SparseCode) -> Tensor:
    """(S, M): Phi a + free c of S codes."""
    unit, index_SJ = design.unit, code.index_SJ
    weight_SJ = code.value_SJ * unit.norm_K[index_SJ]
    leak_SC = torch.einsum("sjc,sj->sc", unit.leak_CK.T[index_SJ].float(), code.value_SJ)
    unit_SM = nn.functional.embedding_bag(index_SJ, unit.unit_KM, mode="sum", per_sample_weights=weight_SJ)
    return unit_SM.addmm_(code.constant_SC + leak_SC, design.free_MC.T)


def _chunks(bank: Dictionary, operator: Operator) -> list[Operator]:
    """The operator in runs of rows whose atoms fit the chunk budget (own heads also hold their hidden layers)."""
    spec = bank.spec
    an_expert = spec.channels + (spec.width if spec.heads == "own" else 0)
    step = max(1, CHUNK_BYTES // (4 * an_expert * spec.experts))
    total = operator.shape[0]
    return [operator[i : min(i + step, total)] for i in range(0, total, step)]


def _atoms(bank: Dictionary, operator: Operator, rough: bool) -> Tensor:
    """What the operator looks at, values or jets."""
    return bank.jets(operator.coords_ND, rough=rough) if operator.order else bank.atoms(operator.coords_ND)


def _constants(bank: Dictionary, operator: Operator) -> Tensor:
    """(M, C): the constant atoms, measured."""
    C, N = bank.spec.channels, len(operator.coords_ND)
    eye_NCC = torch.eye(C).to(operator.coords_ND).expand(N, C, C)
    if operator.order:  # a constant has no slope
        flat = eye_NCC.new_zeros(N, operator.coords_ND.shape[1], C, C)
        eye_NCC = torch.cat([eye_NCC[:, None], flat], 1)
    return operator.forward(eye_NCC).flatten(0, 1)


@dataclass(frozen=True, eq=False)
class MeasuredDesign(DenseDesign):
    """A dense design that knows where it was measured, (N, D), for gates that look at the measurements."""

    coords_ND: Tensor


@dataclass(frozen=True, eq=False)
class MatrixFreeDesign:
    """Products with Phi and Phi' without Phi: contracted heads forwards, reverse differentiation backwards."""

    bank: Dictionary
    operator: Operator

    @property
    def shape(self) -> tuple[int, int]:
        """(M, K)."""
        spec = self.bank.spec
        return self.operator.shape[0] * spec.channels, spec.experts

    @property
    def free_MC(self) -> Tensor:
        """(M, C): measured constant atoms."""
        return _constants(self.bank, self.operator)

    def forward(self, code_KS: Tensor) -> Tensor:
        """(K, S) -> (M, S)."""
        parts = [op.forward(self.bank.field(op.coords_ND, code_KS)) for op in _chunks(self.bank, self.operator)]
        return torch.cat(parts).flatten(0, 1)

    def adjoint(self, measured_MS: Tensor) -> Tensor:
        """(M, S) -> (K, S)."""
        C, S = self.bank.spec.channels, measured_MS.shape[1]
        measured_NCS = measured_MS.view(-1, C, S)
        total, done = measured_MS.new_zeros(self.bank.spec.experts, S), 0
        for op in _chunks(self.bank, self.operator):
            rows = measured_NCS[done : done + op.shape[0]]
            done += op.shape[0]
            with torch.enable_grad():
                code_KS = torch.ones_like(total, requires_grad=True)  # ones: every own head is active
                field = op.forward(self.bank.field(op.coords_ND, code_KS))
                total += torch.autograd.grad(field, code_KS, rows)[0]
        return total

    @torch.no_grad()
    def columns(self, index_SJ: Tensor) -> Tensor:
        """(S, J) experts -> their measured columns, (S, J, M)."""
        used, place = index_SJ.unique(return_inverse=True)
        one_hot_KA = torch.zeros(self.shape[1], len(used)).to(self.operator.coords_ND)
        one_hot_KA[used, torch.arange(len(used), device=used.device)] = 1
        return self.forward(one_hot_KA).T[place]
