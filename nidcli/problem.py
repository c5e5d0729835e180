"""What every solver gets and gives back: a linear model, measurements, and what may be assumed about both.

    y = Phi a + free c + noise        Phi (M, K) the measured experts, free (M, C) the measured constant atoms

The constants c carry no penalty (the paper's bias). So solvers work on (I - B B') y = U a_u, where B is an orthonormal
basis of the free columns and U has the experts, projected and scaled to unit norm, as columns: a penalty then means
the same everywhere. The constants follow by back-substitution.

Letters: M measurements, K experts, S signals, C constants, J slots of a sparse code, R rank of the free columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.errors import UsageError

GRAM_BYTES = 256 * 2**20  # a Gram matrix larger than this is not kept
SCRATCH = 2**23  # numbers in a temporary block
CONSTANT = 1e-5  # an expert of which less than this is left without its constant part counts as constant
SILENT = 1e-6  # an expert this faint beside the loudest counts as not measured at all
ROUNDING = 3e-7  # a target of which less than this is left without its constant part is constant


class Design(Protocol):
    """Phi: the experts as the operator measures them. Three products are enough; no matrix has to exist."""

    @property
    def shape(self) -> tuple[int, int]: ...  # (M, K)
    @property
    def free_MC(self) -> Tensor: ...  # the measured constant atoms, C may be 0

    def forward(self, code_KS: Tensor) -> Tensor: ...  # (K, S) -> (M, S)
    def adjoint(self, y_MS: Tensor) -> Tensor: ...  # (M, S) -> (K, S)
    def columns(self, index_SJ: Tensor) -> Tensor: ...  # (S, J) int64 -> (S, J, M)


@dataclass(frozen=True, eq=False)
class DenseDesign:
    """Phi as a matrix. What follows from it is computed on first use and kept: reuse the object."""

    matrix_MK: Tensor
    free_MC: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix_MK.shape[0], self.matrix_MK.shape[1]

    def forward(self, code_KS: Tensor) -> Tensor:
        return self.matrix_MK @ code_KS

    def adjoint(self, y_MS: Tensor) -> Tensor:
        return self.matrix_MK.T @ y_MS

    def columns(self, index_SJ: Tensor) -> Tensor:
        return self.matrix_MK.T[index_SJ]

    @cached_property
    def unit(self) -> DenseUnit:
        """The projected, unit-norm experts."""
        unit_KM = torch.empty(self.shape[::-1], dtype=torch.float32, device=self.matrix_MK.device)
        return DenseUnit(*_measure(self, unit_KM), unit_KM)

    @property
    def norms_K(self) -> Tensor:
        """(K,) norms of the experts without their constant part; 0 for those that cannot be told from a constant."""
        return self.unit.norm_K

    @property
    def unit_KM(self) -> Tensor:
        """(K, M) contiguous float32: one unit-norm expert a row, zero where norms_K is."""
        return self.unit.unit_KM


@dataclass(frozen=True, eq=False)
class UnitDesign:
    """U of the module's head, from any design. All in float32 but for the small float64 matrices of the projection."""

    design: Design
    basis_MR: Tensor  # float64, orthonormal, spans the free columns
    inverse_CM: Tensor  # float64, their pseudoinverse
    norm_K: Tensor  # of the projected experts, 0 for a silent one
    leak_CK: Tensor  # float64, constants that each expert contains: inverse_CM Phi

    @property
    def shape(self) -> tuple[int, int]:
        return self.design.shape

    @cached_property
    def scale_K(self) -> Tensor:
        """1 / norm, and 0 for a silent expert, which is how it stays out of every code."""
        return torch.where(self.norm_K > 0, 1 / self.norm_K.clamp_min(torch.finfo(torch.float32).tiny), 0)

    def project(self, y_MS: Tensor) -> Tensor:
        """(I - B B') y in float64, rounded once; what is left of a constant is zero and not its rounding errors."""
        if not self.basis_MR.shape[1]:
            return y_MS.float()
        y = y_MS.double()
        left_MS = y - self.basis_MR @ (self.basis_MR.T @ y)
        return torch.where(left_MS.norm(dim=0) > ROUNDING * y.norm(dim=0), left_MS, 0).float()

    def forward(self, code_KS: Tensor) -> Tensor:
        """(K, S) -> (M, S), U code."""
        return self.project(self.design.forward(self.scale_K[:, None] * code_KS))

    def adjoint(self, y_MS: Tensor) -> Tensor:
        """(M, S) -> (K, S), U' y."""
        return self.scale_K[:, None] * self.design.adjoint(self.project(y_MS)).float()

    def columns(self, index_SJ: Tensor) -> Tensor:
        """(S, J) -> (S, J, M), columns of U."""
        rows = self.design.columns(index_SJ).double()
        left = rows - (rows @ self.basis_MR) @ self.basis_MR.T
        return (left * self.scale_K[index_SJ].unsqueeze(2)).float()

    @cached_property
    def gram_KK(self) -> Tensor | None:
        """U'U where it is kept, or None."""
        return None

    @cached_property
    def lipschitz(self) -> float:
        """Largest eigenvalue of U'U, at most 5 % too large: power iteration on eight vectors (Halko et al. 2011)."""
        seed = torch.Generator().manual_seed(0)
        x = torch.randn(self.shape[1], min(8, *self.shape), generator=seed).to(self.norm_K)
        for _ in range(30):
            x = self.adjoint(self.forward(torch.linalg.qr(x).Q))
        return max(1.05 * float(torch.linalg.matrix_norm(x, 2)), torch.finfo(torch.float32).tiny)


@dataclass(frozen=True, eq=False)
class DenseUnit(UnitDesign):
    """U kept as a matrix, one expert a row."""

    unit_KM: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.unit_KM.shape[1], self.unit_KM.shape[0]

    def forward(self, code_KS: Tensor) -> Tensor:
        return self.unit_KM.T @ code_KS

    def adjoint(self, y_MS: Tensor) -> Tensor:
        return self.unit_KM @ y_MS

    def columns(self, index_SJ: Tensor) -> Tensor:
        return self.unit_KM.index_select(0, index_SJ.reshape(-1)).view(*index_SJ.shape, self.shape[0])

    @cached_property
    def half_MK(self) -> Tensor:
        """(M, K) bfloat16: good enough to tell which expert correlates most, and three times as fast."""
        return self.unit_KM.T.contiguous().bfloat16()

    @cached_property
    def gram_KK(self) -> Tensor | None:
        return self.unit_KM @ self.unit_KM.T if 4 * self.shape[1] ** 2 <= GRAM_BYTES else None


@dataclass(frozen=True)
class Prior:
    """Gaussian over codes in the original columns: mean, and covariance diag(variance) + factor factor'."""

    mean_K: Tensor
    variance_K: Tensor
    factor_KR: Tensor


@dataclass(frozen=True, eq=False)
class Problem:
    """What the data say, (M, S) measurements of S signals, and how wrong they may be.

    loss : "l2" is half the squared distance, "l1" the sum of distances. noise : standard deviation of the
    measurements, 0 if unknown. Raises UsageError where the parts do not fit.
    """

    design: Design
    target_MS: Tensor
    loss: Literal["l2", "l1"] = "l2"
    prior: Prior | None = None
    noise: float = 0.0

    def __post_init__(self) -> None:
        M, found = self.design.shape[0], tuple(self.target_MS.shape)
        if len(found) != 2 or found[0] != M:
            raise UsageError(f"the design has {M} measurements and the target has shape {found}; give (M, S).")
        if self.loss not in ("l2", "l1"):
            raise UsageError(f"there is no loss {self.loss!r}; choose l2 or l1.")
        if not self.noise >= 0:
            raise UsageError(f"the noise is a standard deviation, which {self.noise} cannot be; give 0 or more.")

    @cached_property
    def unit(self) -> UnitDesign:
        """The design without the free columns, unit norms."""
        return self.design.unit if isinstance(self.design, DenseDesign) else UnitDesign(*_measure(self.design))

    @cached_property
    def projected_MS(self) -> Tensor:
        """The target without the free columns, float32."""
        return self.unit.project(self.target_MS)


@dataclass(frozen=True)
class Solution:
    """A code of the original columns, the rounds it took, and whether the solver met its own criterion."""

    code: SparseCode
    iterations: int
    converged: bool


class Solver(Protocol):
    """A frozen dataclass of its own knobs. `init` is a first guess, ignored by solvers that need none."""

    def solve(self, problem: Problem, init: SparseCode | None = None) -> Solution: ...


def _free_basis(free_MC: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal basis (M, R) and pseudoinverse (C, M), float64; repeated or zero columns lower R."""
    if not free_MC.shape[1]:
        return free_MC.double(), free_MC.double().T
    left, value, right = torch.linalg.svd(free_MC.double(), full_matrices=False)
    keep = value > 1e-6 * value[0]
    return left[:, keep], right[keep].T @ (left[:, keep] / value[keep]).T


@torch.no_grad()
def _measure(design: Design, unit_KM: Tensor | None = None) -> tuple[Design, Tensor, Tensor, Tensor, Tensor]:
    """The fields of UnitDesign, in one pass over the experts; the unit rows are written to unit_KM on the way."""
    basis_MR, inverse_CM = _free_basis(design.free_MC)
    (M, K), norms, leaks = design.shape, [], []
    for index in torch.arange(K, device=basis_MR.device).split(max(1, SCRATCH // M)):
        rows = design.columns(index[None])[0].double()
        left = rows - (rows @ basis_MR) @ basis_MR.T
        norm = left.norm(dim=1)
        norms.append(torch.where(norm > CONSTANT * rows.norm(dim=1), norm, 0))
        leaks.append(inverse_CM @ rows.T)
        if unit_KM is not None:
            unit_KM[index] = (left / torch.where(norm > 0, norm, 1)[:, None]).float()
    norm_K = torch.cat(norms)
    norm_K = torch.where(norm_K > SILENT * norm_K.max(), norm_K, 0).float()
    if unit_KM is not None:
        unit_KM[norm_K == 0] = 0
    return design, basis_MR, inverse_CM, norm_K, torch.cat(leaks, 1)
