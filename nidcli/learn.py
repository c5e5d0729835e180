"""Learning a dictionary from a collection (`--method solve`), top to bottom:

    for every bank of every level:
        atoms      principal components, then online dictionary learning with the solver inside   (online.py)
        experts    continuous functions fitted to the atoms                             (atoms.py, fitting.py)
        polish     codes solved, gradient through the experts                                    (polish.py)
    gate           trained on what the solver would answer                                        (gates.py)
    whole          the Gaussian of whole images, in closed form                        (restore/learning.py)
    mixture        Gaussians of cells, by expectation and maximisation                  (restore/mixing.py)
    encoder        trained on partial observations of the collection                   (net_training.py, observers.py)
    detector       trained on damaged photos of the collection                         (net_training.py, observers.py)
    finisher       trained on what the mixture misses                                  (net_training.py, observers.py)

Batches are drawn by (seed, level, cell, batch) alone, and every stage starts from what the checkpoint holds: a resumed
run ends where an uninterrupted one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nidcli.atoms import Components, first_atoms, held_out_psnr, make_experts
from nidcli.errors import InputError, UsageError
from nidcli.last_stages import LAST_STAGES, share_of_limit, trainee
from nidcli.learn_spec import LearnSpec
from nidcli.model import Level, Model
from nidcli.net_training import NetTraining
from nidcli.online import OnlineDictionary, Pace
from nidcli.polish import polish
from nidcli.progress import Place as Place
from nidcli.progress import Progress as Progress
from nidcli.sampling import CellSource, CellSpace, Collection, omp_coder

STATISTICS_CELLS = 65536  # cells from which principal components, the fine resolution and the prior are estimated
SHOWN = 16  # held-out images that progress is measured on
ATOMS_SHARE, POLISH_SHARE = 0.7, 0.8  # of a time limit, by the end of these stages
LAST = tuple(LAST_STAGES)  # stages after the last bank


class Learner:
    """The state of a run. `run` goes on from wherever it stands and yields after every step: stop there, or save."""

    def __init__(
        self, spec: LearnSpec, collection: Collection, device: str = "cpu", limit: float | None = None
    ) -> None:
        held = spec.holdout or min(200, len(collection) // 20)
        if len(collection) - held < 1:
            raise InputError(f"{len(collection)} images are too few to learn from; give more, or a smaller holdout.")
        if spec.model.gate and not spec.model.levels[-1].shared:
            raise UsageError("A gate needs one bank for all cells; give --gate none, or shared: true.")
        torch.manual_seed(spec.seed)
        self.spec, self.collection, self.device, self.limit = spec, collection, device, limit
        self.train = len(collection) - held
        self.held = list(range(self.train, len(collection)))
        self.model = Model(spec.model).to(device)
        self.place = Place()
        self.online: OnlineDictionary | None = None
        self.training: NetTraining | None = None
        self._enter("atoms")
        self.began = time.monotonic()

    def run(self) -> Iterator[Progress]:
        """Every bank of every level, then the gate."""
        place, levels = self.place, self.spec.model.levels
        self.began = time.monotonic() - place.seconds
        if place.stage == "done":
            return
        while place.stage not in LAST and place.level < len(levels):
            while place.cell < len(self.level.banks):
                if place.stage == "atoms":
                    yield from self._atoms()
                    self._enter("polish")
                yield from self._polish()
                place.cell += 1
                self._enter("atoms")
            place.level, place.cell = place.level + 1, 0
        place.level = len(levels) - 1
        if place.stage not in LAST:
            self._enter(LAST[0])
        for number in range(LAST.index(place.stage), len(LAST)):
            yield from LAST_STAGES[LAST[number]](self)
            self._enter((*LAST, "done")[number + 1])

    def state(self) -> dict[str, Tensor]:
        """Tensors of a checkpoint: with `place`, all that `restore` needs. Later stages start from their start."""
        tensors = {f"model.{name}": tensor for name, tensor in self.entered.items()}
        for what, state in (("online", self.online), ("training", self.training)):
            tensors |= {f"{what}.{name}": tensor for name, tensor in state.state().items()} if state else {}
        return tensors

    def restore(self, tensors: dict[str, Tensor], place: Place) -> None:
        """Go on from a checkpoint of a run with the same spec and data."""
        part = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}  # noqa: E731
        self.entered = part("model.")
        self.model.load_state_dict(self.entered)
        self.place, online = place, part("online.")
        if place.stage == "atoms" and online:
            self.online = OnlineDictionary(online["atoms"].to(self.device))
            self.online.restore({name: tensor.to(self.device) for name, tensor in online.items()}, place.step)
        elif training := part("training."):
            self.training = trainee(self.model, self.spec, place.stage)
            self.training.restore({name: tensor.to(self.device) for name, tensor in training.items()}, place.step)
        else:
            place.step = 0

    @property
    def level(self) -> Level:
        """The level at hand."""
        return self.model.level(self.place.level)

    def _enter(self, stage: str) -> None:
        self.place.stage, self.place.step, self.online, self.training = stage, 0, None, None
        self.entered = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def told(self, steps: int, psnr: float | None = None) -> Progress:
        p = self.place
        p.seconds = time.monotonic() - self.began
        return Progress(p.stage, p.level, p.cell, p.step, steps, round(p.seconds, 3), psnr)

    def spent(self, share: float) -> float:
        """How much of a share of the time limit is gone; 0 without a limit. Banks share what there is."""
        if not self.limit:
            return 0.0
        share *= share_of_limit(self.model, self.place.stage)
        banks = [1 if level.shared else level.cells**2 for level in self.spec.model.levels]
        done = (sum(banks[: self.place.level]) + self.place.cell) / sum(banks)
        span = self.limit * share / sum(banks)
        return (time.monotonic() - self.began - self.limit * share * done) / span

    # ---- batches

    def chance(self, batch: int) -> torch.Generator:
        seed = ((self.spec.seed * 1009 + self.place.level) * 10007 + self.place.cell) * 7 + len(self.place.stage)
        return torch.Generator().manual_seed(seed << 24 | batch)

    @property
    def photos(self) -> int:
        """Images a batch of the level at hand."""
        level = self.level.spec
        cells = (level.cells or -(-self.spec.size // level.pixels)) ** 2 if level.shared else 1
        return max(1, min(self.train, self.spec.batch // cells))

    @property
    def statistics(self) -> int:
        """Batches from which the fine resolution and the prior are estimated: an epoch at the most."""
        return min(max(4, STATISTICS_CELLS // self.spec.batch), self.train // self.photos)

    def _draw(self, batch: int) -> list[int]:
        """Images of a batch: a walk through a new order every epoch."""
        count = self.photos
        epoch, place = divmod(batch, self.train // count)
        generator = torch.Generator().manual_seed((self.spec.seed * 1009 + self.place.level) << 24 | epoch)
        return torch.randperm(self.train, generator=generator)[place * count : (place + 1) * count].tolist()

    def batch(self, source: CellSource, batch: int, flip: bool = False, fine: bool = False) -> tuple[Tensor, Tensor]:
        cell = None if self.level.spec.shared else self.place.cell
        return source.batch(self._draw(batch), cell, flip, fine)

    @property
    def _fine(self) -> int:
        return self.spec.fine_pixels * self.level.spec.pixels // self.spec.model.levels[-1].pixels

    def _examples(self, signals: Callable[[int, bool], Tensor]) -> Iterator[Tensor]:
        """Batches of signals for principal components; of few images mirrored as well, where that may be."""
        few = self.spec.flip and self.statistics * self.spec.batch < STATISTICS_CELLS
        for mirrored in (False, True)[: 1 + few]:
            yield from (signals(batch, mirrored) for batch in range(self.statistics))

    def source(self) -> CellSource:
        place, size = self.place.level, self.spec.size
        return CellSource(self.collection, self.model, place, size, self._fine, omp_coder, self.device)

    def cell_space(self) -> CellSpace:
        return CellSpace.of(self.level.spec, self._fine, self.device)

    def held_cells(self, source: CellSource) -> tuple[Tensor, Tensor]:
        """Cells of some held-out images; of training images where none are held out."""
        cell = None if self.level.spec.shared else self.place.cell
        return source.batch(self.held[:SHOWN] or list(range(min(SHOWN, self.train))), cell, fine=True)

    def _atoms(self) -> Iterator[Progress]:
        spec, place, source, cells = self.spec, self.place, self.source(), self.cell_space()
        signals = lambda batch, flip=False: cells.signals(self.batch(source, batch, flip)[0])  # noqa: E731
        parts = Components.of(self._examples(signals), cells, self.level.spec.basis, spec.components)
        learned = self.level.spec.dictionary.experts - parts.basis_MB.shape[1]
        held_SM = cells.signals(self.held_cells(source)[0])
        shown = min(SHOWN, len(self.held) or self.train)
        if self.online is None:
            drawn = torch.cat([signals(b) for b in range(max(1, 2 * learned // spec.batch))])
            self.online = first_atoms(drawn @ parts.space_MR, learned, self.chance(1 << 20))
        share = 0.0
        while place.step < spec.steps and share < 1:
            share = max((place.step + 1) / spec.steps, self.spent(ATOMS_SHARE))
            sparsity = spec.sparsity[min(len(spec.sparsity) - 1, int(share * len(spec.sparsity)))]
            memory = 0.98 if share < 0.5 else 0.99 if share < 0.75 else 0.995
            flip = spec.flip and place.step % 2 == 1
            signals_SR = signals(place.step, flip) @ parts.space_MR
            self.online.learn(signals_SR, Pace(sparsity, memory, share < 0.9), self.chance(place.step))
            place.step += 1
            due = place.step % max(1, min(25, spec.steps // 8)) == 0 or place.step == spec.steps or share >= 1
            top_k = self.level.spec.top_k
            psnr = held_out_psnr(self.online, parts, held_SM, top_k, shown, cells.numbers) if due else None
            yield self.told(spec.steps, psnr)
        finer = (self.batch(source, b, fine=True) for b in range(self.statistics))
        generator = self.chance(1 << 21)
        make_experts(self.level, place.cell, cells, parts, self.online, finer, spec.fit_steps, generator)

    def _polish(self) -> Iterator[Progress]:
        source, cells, steps = self.source(), self.cell_space(), self.spec.polish_steps
        batch = lambda step: self.batch(source, step, fine=True)  # noqa: E731
        bank = self.level.bank(self.place.cell)
        for _ in polish(bank, cells, batch, self.held_cells(source), max(1, self.level.spec.top_k // 2), steps):
            self.place.step = min(steps, self.place.step + max(1, steps // 10))
            yield self.told(steps)
            if self.spent(POLISH_SHARE) >= 1:
                break
