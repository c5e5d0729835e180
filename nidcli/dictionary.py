"""The expert bank: K small coordinate networks on a shared trunk, on one cell.

    h(x)   = L_n act( ... act(L_1 gamma(x)))              the trunk, shared; gamma is the embedding
    b_k(x) = W_k h(x)                                     heads "linear": one layer an expert
    b_k(x) = V_k act(U_k h(x) + u_k)                      heads "own": the two layers of section 3.3 of the paper
    f(x)   = sum_k a_k b_k(x) + constant                  C constant atoms are the paper's bias

Embeddings: "fourier" takes sines and cosines on the lattice of integer frequencies, lowest first (Tancik et al. 2020,
Fourier features, their positional lattice), with a period longer than the cell so that nothing wraps around;
"gaussian" the same at frequencies drawn from N(0, spread^2) and stored (their Gaussian mapping);
"siren" is sin(omega (W x + b)) (Sitzmann et al. 2020), whose activations are sines in the trunk and heads as well;
"grid" is a table of C features, bilinear between its nodes (the dense form of a feature grid, Liu et al. 2020, Neural
sparse voxel fields), and one that is constant, each times the slowest cosines: the picture of one scene, and its light.

Letters, used in every file: N points, D dims, C channels, K atoms (experts), M measurements, S signals, F features,
J slots of a sparse code, E width of the embedding, H width of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from nidcli.codes import SparseCode


@dataclass(frozen=True, kw_only=True)
class DictionarySpec:
    """Everything that is needed to rebuild an untrained bank."""

    dims: int = 2
    channels: int = 3
    experts: int = 4096
    hidden: int = 256  # F, features that the trunk hands to the heads
    layers: int = 1  # linear maps of the trunk, with an activation between two
    activated: bool = False  # whether an activation ends the trunk, as in the paper's backbone
    embedding: Literal["fourier", "gaussian", "siren", "grid"] = "fourier"
    frequencies: int = 480  # E, width of the embedding
    grid: tuple[int, int] = (0, 0)  # rows and columns of the table of "grid", whose nodes are pixel centres
    period: float = 2.5  # of the slowest Fourier feature; a cell is 2 wide
    spread: float = 16.0  # standard deviation of Gaussian frequencies, radians a unit of length
    omega: float = 30.0  # of SIREN's first layer
    heads: Literal["linear", "own"] = "linear"
    width: int = 32  # H, hidden units of an own head

    def __post_init__(self) -> None:
        for name in ("dims", "channels", "experts", "hidden", "layers", "frequencies", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.embedding == "grid" and (
            self.dims != 2 or min(self.grid) < 1 or self.frequencies % (self.channels + 1)
        ):
            raise ValueError("a grid needs 2 dims, rows and columns, and frequencies a multiple of channels + 1")


def frequency_lattice(dims: int, count: int) -> Tensor:
    """(D, count) integer frequencies of one half space, smallest largest component first, then smallest norm."""
    radius = 1
    while ((2 * radius + 1) ** dims - 1) // 2 < count:
        radius += 1
    axes = [torch.arange(-radius, radius + 1)] * dims
    lattice = torch.cartesian_prod(*axes).reshape(-1, dims)
    first = torch.zeros(len(lattice), dtype=torch.long)
    for d in reversed(range(dims)):  # sign of the first component that is not zero
        first = torch.where(lattice[:, d] != 0, lattice[:, d].sign(), first)
    half = lattice[first > 0]
    order = torch.argsort(half.abs().amax(1) * 10_000 + half.square().sum(1), stable=True)
    return half[order[:count]].T.float()


def slow_cosines(coords_ND: Tensor, count: int) -> Tensor:
    """(N, 2) in [-1, 1] -> (N, count): cos(pi i u) cos(pi j v) with u, v in 0 ... 1, lowest i + j first."""
    total = 0
    while (total + 1) * (total + 2) // 2 < count:
        total += 1
    orders = [(i, n - i) for n in range(total + 1) for i in range(n + 1)][:count]
    order_2J = torch.tensor(orders, dtype=coords_ND.dtype, device=coords_ND.device).T
    phase_ND = math.pi / 2 * (coords_ND + 1)
    return (phase_ND[:, :1] * order_2J[0]).cos() * (phase_ND[:, 1:] * order_2J[1]).cos()


class Trunk(nn.Module):
    """x -> h(x): embedding and the shared layers."""

    wave_DE: Tensor

    def __init__(self, spec: DictionarySpec) -> None:
        super().__init__()
        self.spec = spec
        if spec.embedding == "fourier":
            waves = frequency_lattice(spec.dims, (spec.frequencies + 1) // 2)
            self.register_buffer("wave_DE", waves * (2 * math.pi / spec.period), persistent=False)
        elif spec.embedding == "gaussian":
            self.register_buffer("wave_DE", torch.randn(spec.dims, (spec.frequencies + 1) // 2) * spec.spread)
        elif spec.embedding == "grid":
            self.table_CYX = nn.Parameter(torch.zeros(spec.channels, *spec.grid))
        else:
            self.first = nn.Linear(spec.dims, spec.frequencies)
            nn.init.uniform_(self.first.weight, -1 / spec.dims, 1 / spec.dims)
        sizes = [spec.frequencies] + [spec.hidden] * spec.layers
        self.maps = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        if spec.embedding == "siren":
            for linear in self.maps:
                assert isinstance(linear, nn.Linear)
                bound = math.sqrt(6 / linear.in_features) / (1 if spec.layers == 1 else spec.omega)
                nn.init.uniform_(linear.weight, -bound, bound)

    def embed(self, coords_ND: Tensor) -> Tensor:
        """(N, D) -> gamma(x), (N, E)."""
        if self.spec.embedding == "siren":
            return torch.sin(self.spec.omega * self.first(coords_ND))
        if self.spec.embedding == "grid":
            return self._tabled(coords_ND)
        phase = coords_ND @ self.wave_DE.to(coords_ND.dtype)
        return torch.cat([phase.cos(), phase.sin()], 1)[:, : self.spec.frequencies]

    def _tabled(self, coords_ND: Tensor) -> Tensor:
        """(N, E): feature c, the last of them constant, times cosine j, at c J + j."""
        C = self.spec.channels
        sampled = nn.functional.grid_sample(  # nodes at pixel centres, constant beyond the outermost
            self.table_CYX[None], coords_ND[None, None], padding_mode="border", align_corners=False
        )
        features_NC = torch.cat([sampled[0, :, 0].T, torch.ones_like(coords_ND[:, :1])], 1)
        cosines_NJ = slow_cosines(coords_ND, self.spec.frequencies // (C + 1))
        return (features_NC[:, :, None] * cosines_NJ[:, None, :]).flatten(1)

    def forward(self, coords_ND: Tensor) -> Tensor:
        """(N, D) -> features (N, F)."""
        h = self.embed(coords_ND)
        for i, linear in enumerate(self.maps):
            if i:
                h = activation(h, self.spec)
            h = linear(h)
        return activation(h, self.spec) if self.spec.activated else h


def activation(x: Tensor, spec: DictionarySpec) -> Tensor:
    """SIREN's sine with its own omega, or the ReLU of Fourier-feature networks."""
    return torch.sin(spec.omega * x) if spec.embedding == "siren" else torch.relu(x)


class Dictionary(nn.Module):
    """K experts on one cell. `atoms` measures them all, `field` only a code's sum of them."""

    def __init__(self, spec: DictionarySpec) -> None:
        super().__init__()
        self.spec = spec
        self.trunk = Trunk(spec)
        K, C, F, H = spec.experts, spec.channels, spec.hidden, spec.width
        if spec.heads == "own":
            bound = math.sqrt(6 / F) / (spec.omega if spec.embedding == "siren" else 1)
            self.inner_KHF = nn.Parameter(torch.empty(K, H, F).uniform_(-bound, bound))
            self.inner_bias_KH = nn.Parameter(torch.zeros(K, H))
            F = H
        self.head_KCF = nn.Parameter(torch.randn(K, C, F) / math.sqrt(F))

    def atoms(self, coords_ND: Tensor) -> Tensor:
        """(N, D) -> (N, C, K): every expert at every point."""
        K, C, F = self.head_KCF.shape
        if self.spec.heads == "linear":
            # one product: the heads as a (F, C K) matrix
            atoms = self.trunk(coords_ND) @ self.head_KCF.permute(2, 1, 0).reshape(F, C * K)
            return atoms.view(-1, C, K)
        hidden_KNH = self.hidden(self.trunk(coords_ND), self.inner_KHF, self.inner_bias_KH)
        return torch.einsum("knh,kch->nck", hidden_KNH, self.head_KCF)

    def jets(self, coords_ND: Tensor, *, rough: bool = False) -> Tensor:
        """(N, D) -> (N, 1 + D, C, K): every expert's value and partial derivatives at every point.

        One linear map on Fourier features has derivatives of the same form, found with the values in one product, of
        bfloat16 factors if a `rough` answer will do (three digits).
        """
        (N, D), (K, C, F) = coords_ND.shape, self.head_KCF.shape
        paired = self.spec.embedding == "fourier" and self.spec.frequencies % 2 == 0  # a cosine's slope needs its sine
        if self.spec.heads == "linear" and self.spec.layers == 1 and paired:
            kind = torch.bfloat16 if rough else coords_ND.dtype
            jet_EX = self.derivatives(self.head_KCF.permute(2, 1, 0).reshape(F, C * K)).to(kind)
            cos_EX, sin_EX = jet_EX[:-1].chunk(2)
            phase_NE = coords_ND @ self.trunk.wave_DE.to(coords_ND.dtype)
            jets_NX = torch.addmm(jet_EX[-1], phase_NE.cos().to(kind), cos_EX).addmm_(phase_NE.sin().to(kind), sin_EX)
            return jets_NX.to(coords_ND.dtype).view(N, 1 + D, C, K)
        parts = [self.atoms(coords_ND)]
        for d in range(D):
            along = torch.zeros_like(coords_ND)
            along[:, d] = 1
            parts.append(torch.func.jvp(self.atoms, (coords_ND,), (along,))[1])
        return torch.stack(parts, 1)

    def derivatives(self, head_FX: Tensor) -> Tensor:
        """(F, X) combinations of features -> (E + 1, (1 + D) X): on the embedding and 1, values and slopes."""
        linear, waves = self.trunk.maps[0], self.trunk.wave_DE
        assert isinstance(linear, nn.Linear)
        value_EX, waves = linear.weight.T @ head_FX, waves.to(head_FX)
        cos_EX, sin_EX = value_EX.chunk(2)
        slopes = [torch.cat([wave[:, None] * sin_EX, -wave[:, None] * cos_EX]) for wave in waves]
        constants = [linear.bias @ head_FX, *[torch.zeros_like(value_EX[0])] * len(waves)]
        return torch.cat([torch.cat([v, c[None]]) for v, c in zip([value_EX, *slopes], constants, strict=True)], 1)

    def field(self, coords_ND: Tensor, code: SparseCode | Tensor) -> Tensor:
        """f at every point, for S codes: (N, C, S). Constants are added where the code holds them.

        `code` is a SparseCode, or a dense (K, S) matrix of experts only. Linear heads are contracted with the code
        before they meet the features, so that the cost depends neither on k nor on K; of own heads only those that
        some code uses are evaluated, with the code folded into their last layer.
        """
        features_NF = self.trunk(coords_ND)
        constant_SC = code.constant_SC if isinstance(code, SparseCode) else features_NF.new_zeros(1, self.spec.channels)
        if self.spec.heads == "linear":
            head_SCF = self._contracted(code)
            head_FX = head_SCF.reshape(-1, features_NF.shape[1]).T
            constant_X = constant_SC.expand(len(head_SCF), self.spec.channels).reshape(-1).to(features_NF)
            field_NX = torch.addmm(constant_X, features_NF, head_FX)
            return field_NX.view(len(features_NF), *head_SCF.shape[:2]).transpose(1, 2)
        return self._own_field(features_NF, code) + constant_SC.T

    def _contracted(self, code: SparseCode | Tensor) -> Tensor:
        """(S, C, F): sum_k a_k W_k."""
        K, C, F = self.head_KCF.shape
        if isinstance(code, SparseCode) and not code.index_SJ.numel():
            return self.head_KCF.new_zeros(len(code), C, F)
        if isinstance(code, Tensor):
            return (code.T @ self.head_KCF.reshape(K, C * F)).view(-1, C, F)
        bags = nn.functional.embedding_bag(
            code.index_SJ, self.head_KCF.reshape(K, C * F), per_sample_weights=code.value_SJ, mode="sum"
        )
        return bags.view(-1, C, F)

    def hidden(self, features_NF: Tensor, inner_AHF: Tensor, bias_AH: Tensor) -> Tensor:
        """(A, N, H): the hidden layer of A own heads."""
        A, H, F = inner_AHF.shape
        hidden = features_NF @ inner_AHF.reshape(A * H, F).T + bias_AH.reshape(-1)
        return activation(hidden, self.spec).view(len(features_NF), A, H).transpose(0, 1)

    def _own_field(self, features_NF: Tensor, code: SparseCode | Tensor) -> Tensor:
        dense_KS = code if isinstance(code, Tensor) else code.dense(self.spec.experts)
        active = (dense_KS != 0).any(1).nonzero().squeeze(1)
        dense_AS, head_ACH = dense_KS[active], self.head_KCF[active]
        (A, C, H), S = head_ACH.shape, dense_KS.shape[1]  # A may be 0: a code of constants alone
        hidden_ANH = self.hidden(features_NF, self.inner_KHF[active], self.inner_bias_KH[active])
        hidden_NX = hidden_ANH.transpose(0, 1).reshape(len(features_NF), A * H)
        folded_XCS = torch.einsum("ach,as->ahcs", head_ACH, dense_AS).reshape(A * H, C * S)
        return (hidden_NX @ folded_XCS).view(len(features_NF), C, S)
