"""What a run of learning does after the last bank: the gate, the level for the whole image, the mixture of its details,
the encoder, the detector, the finisher.

Each stage is a generator over the learner that it is a stage of, and does nothing where the model has no such part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from nidcli.engine import materialise
from nidcli.gate_training import train_gate
from nidcli.learn_spec import LearnSpec
from nidcli.model import Model
from nidcli.net_training import MEMORY, NetTraining
from nidcli.observers import Observations, Observe, observer
from nidcli.operators import Sample
from nidcli.problem import DenseDesign
from nidcli.progress import Progress
from nidcli.restore.learning import learn_from
from nidcli.restore.mixing import learn_mixture

if TYPE_CHECKING:
    from nidcli.learn import Learner

# Of the whole limit: by when what comes before these networks should be done, where there are such.
BEFORE = {"encoder": 0.6, "detector": 0.85, "finisher": 0.92}


def gate(run: Learner) -> Iterator[Progress]:
    """Trained on what the solver would answer."""
    net = run.model.gate
    if net is None:
        return
    source, cells = run.source(), run.cell_space()
    design = materialise(run.level.bank(), Sample(cells.coords_ND, cells.weight_N), 1 << 62)
    assert isinstance(design, DenseDesign)

    def measured(samples: Tensor) -> Tensor:
        return (samples * cells.weight_N.sqrt()[:, None]).flatten(1).T

    held = measured(run.held_cells(source)[0])
    for _ in train_gate(net, design, lambda s: measured(run.batch(source, s)[0]), held, run.spec.gate_steps):
        run.place.step += 1
        yield run.told(run.spec.gate_steps)
        if run.spent(1.0) >= 1:
            break


def whole(run: Learner) -> Iterator[Progress]:
    """The Gaussian of whole images, in one step."""
    if run.model.whole is not None:
        learn_from(run.model.whole, run.collection.image, run.train, run.held, run.spec, run.chance(1 << 23))
        run.place.step = 1
        yield run.told(1)


def mixture(run: Learner) -> Iterator[Progress]:
    """The Gaussians of cells, in one step."""
    if run.model.mixture is not None:
        learn_mixture(run.model, run.collection.image, run.train, run.chance(1 << 21))
        run.place.step = 1
        yield run.told(1)


def encoder(run: Learner) -> Iterator[Progress]:
    """Trained on partial observations."""
    if run.model.encoder is not None:
        yield from _observing(run, observer(run.model))


def detector(run: Learner) -> Iterator[Progress]:
    """Trained on damaged photos."""
    if run.model.detector is not None:
        yield from _observing(run, observer(run.model, "detector_observer"))


def finisher(run: Learner) -> Iterator[Progress]:
    """Trained on what the mixture misses."""
    if run.model.finisher is not None:
        yield from _observing(run, observer(run.model, "finisher_observer"))


LAST_STAGES: dict[str, Callable[[Learner], Iterator[Progress]]] = {
    "gate": gate,
    "whole": whole,
    "mixture": mixture,
    "encoder": encoder,
    "detector": detector,
    "finisher": finisher,
}


def trainee(model: Model, spec: LearnSpec, stage: str) -> NetTraining:
    """The training of the net of a stage, at its start."""
    net, steps, replay, memory = {
        "encoder": (model.encoder, spec.encoder_steps, spec.encoder_replay, MEMORY),
        "detector": (model.detector, spec.detector_steps, spec.encoder_replay, MEMORY),
        "finisher": (model.finisher, spec.finisher_steps, spec.finisher_replay, spec.finisher_memory),
    }[stage]
    assert net is not None
    return NetTraining(net, steps, spec.encoder_rate, replay=replay, memory=memory)


def share_of_limit(model: Model, stage: str) -> float:
    """Of a time limit: by when a stage should be done."""
    names = list(BEFORE)
    later = names[names.index(stage) + 1 :] if stage in names else names
    return next((BEFORE[name] for name in later if getattr(model, name) is not None), 1.0)


def _observing(run: Learner, observe: Observe) -> Iterator[Progress]:
    spec = run.spec
    drawn = Observations(run.collection, observe, run.train, spec.size, spec.encoder_batch, spec.flip)
    training = run.training = run.training or trainee(run.model, spec, run.place.stage)
    pairs = lambda step: drawn.pairs(step, run.chance(1 << 22 | step), run.device)  # noqa: E731
    for _ in training.run(pairs, lambda: run.spent(1.0)):
        run.place.step += 1
        yield run.told(training.steps)
        if run.spent(1.0) >= 1:
            break
    training.finish()
