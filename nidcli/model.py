"""A whole dictionary: levels of cells, each with its expert bank, and the gate. What a `.nid` file holds.

f(x) = sum_levels sum_cells w_cell(x) sum_k a[cell, k] b_k(local(x))
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor, nn

from nidcli.corrector import Corrector, CorrectorSpec
from nidcli.dictionary import Dictionary, DictionarySpec
from nidcli.encoder import Encoder, EncoderSpec
from nidcli.errors import UsageError
from nidcli.gates import CellGate, GateSpec
from nidcli.mixture import Mixture, MixtureSpec
from nidcli.moe.gates import MoeGate, MoeGateSpec
from nidcli.partition import Partition, Tile, tiles
from nidcli.problem import Prior


@dataclass(frozen=True, kw_only=True)
class LevelSpec:
    """One level. `cells` = n cuts the domain into n cells a side; 0 as many as it takes at `pixels` samples each."""

    dictionary: DictionarySpec = field(default_factory=DictionarySpec)
    cells: int = 0
    pixels: int = 16  # samples a side of a cell at the resolution where the level is learned and solved
    overlap: float = 0.0625  # of a half cell; 1 / pixels decouples the cells at their own resolution
    shared: bool = True  # one bank for all cells, or one a cell (then `cells` is not 0)
    top_k: int = 32  # coefficients a cell, unless asked otherwise
    basis: int = 768  # the first experts are orthonormal on the samples of a cell: principal components

    def __post_init__(self) -> None:
        if not self.shared and not self.cells:
            raise ValueError("a bank for each cell (shared: false) needs a number of cells")
        if not 0 <= self.basis <= self.dictionary.experts:
            raise ValueError(f"basis must lie between 0 and experts, not {self.basis}")

    @property
    def orthonormal(self) -> int:
        """Basis experts that there really are: a cell has no more directions besides its constants."""
        channels = self.dictionary.channels
        return min(self.basis, channels * (self.window(self.pixels).row_YH.shape[1] ** 2 - 1))

    def window(self, pixels: int) -> Tile:
        """What a cell in the middle of others sees at `pixels` samples a side."""
        around = 1 if self.cells == 1 else 3
        found = tiles(Partition((around, around), self.overlap), (around * pixels, around * pixels))
        return next(tile for tile in found if around**2 // 2 in tile.cell_S)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Levels from coarse to fine; the gate answers for the finest, the encoder for the whole of a partial view.

    whole : one cell for the whole image, a prior only: codes do not hold it, it says what a partial view looks like.
    moe : the gate that was trained together with the experts, of a dictionary learned by `--method moe`.
    """

    kind: Literal["image", "ct", "sdf", "video"] = "image"
    levels: tuple[LevelSpec, ...] = field(default_factory=lambda: (LevelSpec(),))
    gate: GateSpec | None = None
    whole: LevelSpec | None = None
    encoder: EncoderSpec | None = None
    detector: EncoderSpec | None = None  # says of a photo where it is damaged
    moe: MoeGateSpec | None = None
    mixture: MixtureSpec | None = None  # of the codes of the finest level's cells: details between scattered pixels
    finisher: EncoderSpec | None = None  # adds to the mixture's answer what that misses
    corrector: CorrectorSpec | None = None  # adds to the field of a solid what its cells miss
    shape: LevelSpec | None = None  # one cell for a whole solid: what lies where no point of a cloud does

    def __post_init__(self) -> None:
        if self.whole is not None and self.whole.cells != 1:
            raise ValueError(f"the level for the whole image has one cell, not {self.whole.cells}")
        if self.mixture is not None:
            finest = self.levels[-1]
            if self.whole is None or not finest.shared or finest.pixels % 2:
                raise ValueError("a mixture needs a level for the whole image, and one bank of cells of even pixels")
        elif self.finisher is not None:
            raise ValueError("a finisher adds to what a mixture says, and there is none")
        if self.kind != "sdf" and (self.corrector is not None or self.shape is not None):
            raise ValueError(f"corrector and shape are for solids (kind: sdf), not for kind {self.kind}")
        if self.shape is not None and (self.shape.cells != 1 or self.shape.overlap != 0):
            raise ValueError("the level for the whole solid, shape, has one cell and no overlap")
        others = (self.detector, self.finisher, self.encoder if self.kind != "image" else None)
        if any(net is not None and net.partial for net in others):
            raise ValueError("partial convolutions are for the encoder of photos, which sees what is known of them")


class Level(nn.Module):
    """The banks of a level, and the statistics of the training codes: a Gaussian with a diagonal covariance.

    The codes are those of the orthonormal experts, whose coefficients do not correlate; the others have no variance.
    """

    prior_mean_BK: Tensor
    prior_variance_BK: Tensor

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.banks = nn.ModuleList(Dictionary(spec.dictionary) for _ in range(1 if spec.shared else spec.cells**2))
        self.register_buffer("prior_mean_BK", torch.zeros(len(self.banks), spec.dictionary.experts))
        self.register_buffer("prior_variance_BK", torch.zeros(len(self.banks), spec.dictionary.experts))

    def bank(self, cell: int = 0) -> Dictionary:
        """The experts of a cell."""
        bank = self.banks[0 if self.spec.shared else cell]
        assert isinstance(bank, Dictionary)
        return bank

    def prior(self, cell: int = 0) -> Prior:
        """The Gaussian of the training codes of a cell."""
        mean_K = self.prior_mean_BK[0 if self.spec.shared else cell]
        variance_K = self.prior_variance_BK[0 if self.spec.shared else cell]
        return Prior(mean_K, variance_K, mean_K.new_zeros(len(mean_K), 0))

    def leading(self, count: int) -> Level:
        """The level of its first `count` experts, a copy."""
        level, experts = deepcopy(self), min(count, self.spec.dictionary.experts)
        bank_spec = replace(self.spec.dictionary, experts=experts)
        level.spec = replace(self.spec, dictionary=bank_spec, basis=min(self.spec.basis, experts))
        level.prior_mean_BK = level.prior_mean_BK[:, :experts]
        level.prior_variance_BK = level.prior_variance_BK[:, :experts]
        for bank in level.banks:
            assert isinstance(bank, Dictionary)
            bank.spec = bank_spec
            for name, kept in list(bank.named_parameters(recurse=False)):
                setattr(bank, name, nn.Parameter(kept.detach()[:experts], requires_grad=kept.requires_grad))
        return level

    def grid(self, width: int, height: int, pitch: int) -> tuple[Partition, tuple[Fraction, Fraction]]:
        """The cells of a photo whose finest cells are `pitch` pixels wide, and how many of them the photo covers."""
        if self.spec.cells:
            n = self.spec.cells
            return Partition((n, n), self.spec.overlap), (Fraction(n), Fraction(n))
        cells = (-(-width // pitch), -(-height // pitch))
        return Partition(cells, self.spec.overlap), (Fraction(width, pitch), Fraction(height, pitch))


class Whole(Level):
    """The level for the whole image, and what it leaves over of photos of its class.

    left_N : root-mean-square over photos and channels of what is left, at each of its own samples, in reading order;
    rough_P : what is left, pixel by pixel, is a Gaussian field of precision sum_p rough_P[p] L^p (restore/fill.py);
    misfit_Q : percentiles 0 to 100 of the photos' own misfits, root mean squares of what is left in units of left_N.
    """

    left_N: Tensor
    rough_P: Tensor
    misfit_Q: Tensor

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__(spec)
        self.register_buffer("left_N", torch.ones(spec.pixels**2))
        self.register_buffer("rough_P", torch.ones(4))
        self.register_buffer("misfit_Q", torch.ones(101))


class Model(nn.Module):
    """Banks and gate. `state_dict()` are the tensors of a `.nid` file."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        if not spec.levels:
            raise UsageError("A dictionary needs at least one level; give `levels:` an entry.")
        self.spec = spec
        self.levels = nn.ModuleList(Level(level) for level in spec.levels)
        self.gate = CellGate(spec.gate, spec.levels[-1].orthonormal) if spec.gate else None
        self.whole = Whole(spec.whole) if spec.whole else None
        self.detector = Encoder(spec.detector) if spec.detector else None
        self.encoder = Encoder(spec.encoder) if spec.encoder else None
        finest = spec.levels[-1]
        self.mixture = Mixture(spec.mixture, finest.dictionary.channels + finest.orthonormal) if spec.mixture else None
        self.moe = _moe_gate(spec.moe, spec.levels[-1]) if spec.moe else None
        self.finisher = Encoder(spec.finisher) if spec.finisher else None
        self.corrector = Corrector(spec.corrector) if spec.corrector else None
        self.shape = Level(spec.shape) if spec.shape else None

    def level(self, index: int) -> Level:
        """The level at an index, -1 the finest."""
        level = self.levels[index % len(self.levels)]
        assert isinstance(level, Level)
        return level


def _moe_gate(spec: MoeGateSpec, level: LevelSpec) -> MoeGate:
    side, banks = level.window(level.pixels).row_YH.shape[1], 1 if level.shared else level.cells**2
    bank = level.dictionary
    return MoeGate(spec, bank.experts, bank.channels, level.pixels, side, banks, bank.dims)
