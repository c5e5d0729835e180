"""What a preset of `learn-dict --method moe` holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nidcli.model import ModelSpec


@dataclass(frozen=True, kw_only=True)
class MoeSpec:
    """How experts and gate are trained together. `model.moe` is the gate that is stored, null for a lookup table."""

    model: ModelSpec = field(default_factory=ModelSpec)
    size: int = 128  # training images are cut square and resized to this side
    epochs: int = 5000
    warm_epochs: int = 10  # at first nothing is dropped, and an l1 penalty makes codes sparse
    steps: int = 0  # batches; 0 is what the epochs amount to
    batch: int = 1024  # cells a batch
    loss: Literal["l2", "l1"] = "l2"
    sparsity: float = 0.01  # lambda of the l1 penalty, against the sum over a cell's numbers
    balance: float = 0.01  # lambda of the coefficients of variation
    decay: float = 0.0  # beta of eq. 15, whose penalty then replaces l1 and acts from the first epoch to the last
    most: float = 1e4  # that exp(beta i) may become
    rate: float = 1e-3  # of Adam
    falling: bool = True  # the rate falls to nothing as a cosine; else it stays
    masked: float = 0.0  # share of the batches of which the gate sees a part only
    precision: Literal["bfloat16", "float32"] = "bfloat16"  # where the device computes in it
    compiled: bool = False  # the gate by torch.compile, which pays on a GPU
    flip: bool = True  # every second batch is mirrored (not with a lookup table)
    holdout: int = 0  # images kept out of learning, last by name; 0 is a twentieth, 200 at most
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.model.levels) != 1:
            raise ValueError(f"the paper's training knows one level of cells, not {len(self.model.levels)}")
        if self.epochs < 1 or self.batch < 1 or min(self.warm_epochs, self.steps) < 0:
            raise ValueError("epochs and batch must be at least 1, warm_epochs and steps at least 0")
