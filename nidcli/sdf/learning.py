"""Learning a dictionary of solids (`learn-dict --kind sdf`), top to bottom:

    for every level:
        atoms      second moments of pieces of solids, a batch from one solid at a time
        experts    the mean piece and the principal components around it, as continuous functions     (levels.py)
    shape          the same of whole solids and their mirror images, for what clouds do not show
    corrector      trained on clouds of the solids, reconstructed with these     (observing.py, net_training.py)

The first expert is the mean piece, whose coefficient is 1 in every code; those of the others have the variances of the
training codes, and do not correlate. Batches are drawn by (seed, level, step) alone, and every level starts from what
the checkpoint holds: a resumed run ends where an uninterrupted one does.

Letters: P pieces, N samples of a cell, K experts, B of them components.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nidcli.errors import InputError, NidError, UsageError
from nidcli.files.solids import MeshCollection
from nidcli.model import Level, Model
from nidcli.net_training import NetTraining
from nidcli.progress import Place, Progress
from nidcli.sdf.correction_loss import correction_loss, turned_pieces
from nidcli.sdf.levels import held_out_psnr, make_level
from nidcli.sdf.observatory import Observatory, workers_beside
from nidcli.sdf.pieces import draw_pieces, turned, whole_pieces
from nidcli.sdf.solids import Solid, solid
from nidcli.sdf.spec import SurfaceSpec

KEPT = 256  # solids that stay in memory
ORIENTATIONS = 4  # in which every piece is counted
ATOMS_SHARE = 0.25  # of a time limit, where a corrector is learned afterwards


class SurfaceLearner:
    """The state of a run. `run` goes on from wherever it stands and yields after every step: stop there, or save."""

    def __init__(
        self, spec: SurfaceSpec, collection: MeshCollection, device: str = "cpu", limit: float | None = None
    ) -> None:
        held = spec.holdout or len(collection) // 20
        if len(collection) - held < 1:
            raise InputError(f"{len(collection)} meshes are too few to learn from; give more, or a smaller holdout.")
        for level in (*spec.model.levels, *([spec.model.shape] if spec.model.shape else [])):
            if level.dictionary.dims != 3 or level.dictionary.channels != 1 or level.cells < 1 or not level.shared:
                raise UsageError("A level of kind sdf needs dims: 3, channels: 1, shared: true and a number of cells.")
        torch.manual_seed(spec.seed)
        self.spec, self.collection, self.device, self.limit = spec, collection, device, limit
        self.train = len(collection) - held
        self.held = list(range(self.train, len(collection)))
        self.model = Model(spec.model).to(device)
        self.place = Place()
        self.moments: Tensor | None = None
        self.training: NetTraining | None = None
        self.hard = dict[int, str]()
        self._solids: OrderedDict[int, Solid | None] = OrderedDict()
        self._enter("atoms")
        self.began = time.monotonic()

    def run(self) -> Iterator[Progress]:
        """Every level, from coarse to fine."""
        place, levels = self.place, self.spec.model.levels
        self.began = time.monotonic() - place.seconds
        while place.stage == "atoms" and place.level < len(levels):
            yield from self._atoms()
            place.level += 1
            self._enter("atoms")
        if place.stage == "atoms":
            place.level = len(levels) - 1
            self._enter("shape")
        if place.stage == "shape":
            yield from self._shape()
            self._enter("corrector")
        if place.stage == "corrector":
            yield from self._corrector()
            self._enter("done")

    def state(self) -> dict[str, Tensor]:
        """Tensors of a checkpoint: with `place`, all that `restore` needs."""
        tensors = {f"model.{name}": tensor for name, tensor in self.entered.items()}
        if self.moments is not None:
            tensors["moments"] = self.moments
        state = self.training.state() if self.training else {}
        return tensors | {f"training.{name}": tensor for name, tensor in state.items()}

    def restore(self, tensors: dict[str, Tensor], place: Place) -> None:
        """Go on from a checkpoint of a run with the same spec and data."""
        part = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}  # noqa: E731
        self.entered = part("model.")
        self.model.load_state_dict(self.entered)
        self.place, self.moments = place, tensors.get("moments")
        if training := part("training."):
            self.training = self._trainee()
            self.training.restore({name: tensor.to(self.device) for name, tensor in training.items()}, place.step)
        elif self.moments is None:
            place.step = 0

    def solid(self, index: int) -> Solid:
        """The solid of a mesh; of one that has none the one before it, which is told once."""
        for step in range(len(self.collection)):
            number = (index - step) % len(self.collection)
            if number not in self._solids:
                self._solids[number] = self._made(number)
                if len(self._solids) > KEPT:
                    self._solids.popitem(last=False)
            self._solids.move_to_end(number)
            found = self._solids[number]
            if found is not None:
                return found
        raise InputError("None of the meshes has a watertight shell; look at the messages above.")

    def _made(self, number: int) -> Solid | None:
        name = self.collection.name(number)
        try:
            found = solid(self.collection.mesh(number), name)
        except NidError as error:
            if number not in self.hard:
                self.collection.warn(f"{str(error).rstrip('.')}; the mesh before it takes its place.")
            self.hard[number] = "no shell"
            return None
        if found.remark and number not in self.hard:
            self.hard[number] = found.remark
            self.collection.warn(f"{name} is hard: {found.remark}.")
        return found

    def _enter(self, stage: str) -> None:
        self.place.stage, self.place.step, self.moments, self.training = stage, 0, None, None
        self.entered = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def _progress(self, steps: int, psnr: float | None = None) -> Progress:
        p = self.place
        p.seconds = time.monotonic() - self.began
        return Progress(p.stage, p.level, 0, p.step, steps, round(p.seconds, 3), psnr)

    def _over(self, share: float) -> bool:
        share *= ATOMS_SHARE if self.model.corrector else 1
        return self.limit is not None and time.monotonic() - self.began >= share * self.limit

    def _spent(self) -> float:
        """Of the limit's part that is the corrector's, 0 ... 1."""
        gone = (time.monotonic() - self.began) / self.limit if self.limit else 0.0
        return min(1.0, max(0.0, (gone - ATOMS_SHARE) / (1 - ATOMS_SHARE)))

    def chance(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.spec.seed, 1, self.place.level, step))

    def _mesh(self, step: int) -> int:
        """The solid of a step: a walk through a new order every epoch."""
        epoch, place = divmod(step, self.train)
        return int(np.random.default_rng((self.spec.seed, 2, epoch)).permutation(self.train)[place])

    # ---- atoms

    def _pieces(self, index: int, chance: np.random.Generator) -> Tensor:
        level = self.spec.model.levels[self.place.level]
        return draw_pieces(self.solid(index), level, self.spec.batch, self.spec.reach, chance)

    def _atoms(self) -> Iterator[Progress]:
        spec, place, level = self.spec, self.place, self.model.level(self.place.level)
        side, parts = level.spec.pixels, len(spec.model.levels) + (self.model.shape is not None)
        while place.step < spec.steps and not (place.step and self._over((place.level + 1) / parts)):
            chance = self.chance(place.step)
            pieces_PN = self._pieces(self._mesh(place.step), chance)
            every = [turned(pieces_PN, side, chance) for _ in range(ORIENTATIONS)] if spec.flip else [pieces_PN]
            self._count(torch.cat(every))
            yield self._progress(spec.steps)
        yield from self._made_of(level, lambda: self._pieces(self.held[0], self.chance(1 << 20)))

    def _shape(self) -> Iterator[Progress]:
        spec, place, level = self.spec, self.place, self.model.shape
        if level is None:
            return
        while place.step < spec.steps and not (place.step and self._over(1)):
            self._count(self._poses(level, self._mesh(place.step), place.step))
            yield self._progress(spec.steps)
        yield from self._made_of(level, lambda: self._poses(level, self.held[0], 1 << 20))

    def _poses(self, level: Level, index: int, step: int) -> Tensor:
        return whole_pieces(self.solid(index), level.spec, self.chance(step))

    def _count(self, pieces_PN: Tensor) -> None:
        """A step's pieces, into the moments."""
        rows = torch.nn.functional.pad(pieces_PN, (0, 1), value=1.0).to(self.device)
        if self.moments is None:
            self.moments = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        self.moments += (rows.T @ rows).double().cpu()
        self.place.step += 1

    def _made_of(self, level: Level, held_out: Callable[[], Tensor]) -> Iterator[Progress]:
        """The level of the moments."""
        assert self.moments is not None
        make_level(level, self.moments.to(self.device), self.spec.fit_steps, self.spec.seed)
        if self.held:
            yield self._progress(self.spec.steps, held_out_psnr(level, held_out()))

    # ---- corrector

    def _corrector(self) -> Iterator[Progress]:
        spec, net = self.spec, self.model.corrector
        if net is None:
            return
        training = self.training = self.training or self._trainee()
        new = (step for step in range(training.step, training.steps) if training.fresh(step))
        solid_of = lambda step: self.solid(self._mesh(step))  # noqa: E731
        workers = workers_beside(self.device)
        with Observatory(self.model, solid_of, spec.corrector_batch, new, spec.seed, workers) as seen:

            def pairs(step: int) -> tuple[Tensor, Tensor]:
                shown, truth = seen.pairs(step)
                return shown.to(self.device), truth.to(self.device)

            for _ in training.run(pairs, self._spent):
                self.place.step += 1
                yield self._progress(training.steps)
                if self._spent() >= 1:
                    break
        training.finish()

    def _trainee(self) -> NetTraining:
        spec, net = self.spec, self.model.corrector
        assert net is not None
        fold = net.spec.fold
        return NetTraining(
            net,
            spec.corrector_steps,
            spec.corrector_rate,
            replay=spec.corrector_replay,
            memory=spec.corrector_memory,
            loss=partial(correction_loss, fold=fold),
            vary=lambda seen, truth, step: turned_pieces(
                seen, truth, fold, np.random.default_rng((spec.seed, 4, step))
            ),
        )
