"""What a preset of `learn-dict` holds: how to learn."""

from __future__ import annotations

from dataclasses import dataclass, field

from nidcli.model import ModelSpec


@dataclass(frozen=True, kw_only=True)
class LearnSpec:
    """What a preset of `learn-dict` holds."""

    model: ModelSpec = field(default_factory=ModelSpec)
    size: int = 128  # training images are cut square and resized to this side
    fine_pixels: int = 25  # samples a side of a finest cell where what lies between is learned (others alike); 0: none
    steps: int = 600  # batches of online learning a bank
    batch: int = 4096  # cells a batch
    sparsity: tuple[int, ...] = (8, 12, 16)  # coefficients a cell while learning, in equal parts of the run
    components: int = 320  # principal components in which atoms are learned
    fit_steps: int = 2000  # descent of deeper trunks and own heads towards their atoms
    polish_steps: int = 0
    gate_steps: int = 400
    encoder_steps: int = 2000
    detector_steps: int = 600
    finisher_steps: int = 2000
    encoder_batch: int = 16  # images a step, of detector and finisher as well
    encoder_rate: float = 2e-3  # of its descent, at the most
    encoder_replay: int = 1  # times that a batch of observations is learned from, of the detector as well
    finisher_replay: int = 100  # likewise of the finisher, for which the mixture has to answer
    finisher_memory: int = 160  # batches that it learns from again
    corrector_steps: int = 10000
    corrector_batch: int = 24  # pieces of clouds' lattices a step
    corrector_rate: float = 7e-4
    corrector_replay: int = 20  # times that a batch is learned from: reconstructing clouds takes long
    corrector_memory: int = 64  # batches that are learned from again
    flip: bool = True  # every second batch is mirrored
    holdout: int = 0  # images kept out of learning, last by name; 0 is a twentieth, 200 at most
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("finisher_memory", "corrector_memory", "corrector_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is a number, 1 or more, not {getattr(self, name)}")
