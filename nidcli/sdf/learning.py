"""Learning a dictionary of solids (`learn-dict --kind sdf`), top to bottom:

    for every level:
        atoms      second moments of pieces of solids, a batch from one solid at a time
        experts    the mean piece and the principal components around it, as continuous functions    (fitting.py)

The first expert is the mean piece, whose coefficient is 1 in every code; those of the others have the variances of the
training codes, and do not correlate. Batches are drawn by (seed, level, step) alone, and every level starts from what
the checkpoint holds: a resumed run ends where an uninterrupted one does.

Letters: P pieces, N samples of a cell, K experts, B of them components.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nidcli.errors import InputError, NidError, UsageError
from nidcli.files.solids import MeshCollection
from nidcli.fitting import Targets, fit_experts
from nidcli.model import Level, Model
from nidcli.progress import Place, Progress
from nidcli.sdf.pieces import draw_pieces, turned
from nidcli.sdf.solids import Solid, solid
from nidcli.sdf.spec import SurfaceSpec, cell_samples

KEPT = 256  # solids that stay in memory
ORIENTATIONS = 4  # in which every piece is counted


class SurfaceLearner:
    """The state of a run. `run` goes on from wherever it stands and yields after every step: stop there, or save."""

    def __init__(
        self, spec: SurfaceSpec, collection: MeshCollection, device: str = "cpu", limit: float | None = None
    ) -> None:
        held = spec.holdout or len(collection) // 20
        if len(collection) - held < 1:
            raise InputError(f"{len(collection)} meshes are too few to learn from; give more, or a smaller holdout.")
        for level in spec.model.levels:
            if level.dictionary.dims != 3 or level.dictionary.channels != 1 or level.cells < 1 or not level.shared:
                raise UsageError("A level of kind sdf needs dims: 3, channels: 1, shared: true and a number of cells.")
        torch.manual_seed(spec.seed)
        self.spec, self.collection, self.device, self.limit = spec, collection, device, limit
        self.train = len(collection) - held
        self.held = list(range(self.train, len(collection)))
        self.model = Model(spec.model).to(device)
        self.place = Place()
        self.moments: Tensor | None = None
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
            self._enter("done")

    def state(self) -> dict[str, Tensor]:
        """Tensors of a checkpoint: with `place`, all that `restore` needs."""
        tensors = {f"model.{name}": tensor for name, tensor in self.entered.items()}
        if self.moments is not None:
            tensors["moments"] = self.moments
        return tensors

    def restore(self, tensors: dict[str, Tensor], place: Place) -> None:
        """Go on from a checkpoint of a run with the same spec and data."""
        part = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}  # noqa: E731
        self.entered = part("model.")
        self.model.load_state_dict(self.entered)
        self.place, self.moments = place, tensors.get("moments")
        if self.moments is None:
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
        self.place.stage, self.place.step, self.moments = stage, 0, None
        self.entered = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def _progress(self, steps: int, psnr: float | None = None) -> Progress:
        p = self.place
        p.seconds = time.monotonic() - self.began
        return Progress(p.stage, p.level, 0, p.step, steps, round(p.seconds, 3), psnr)

    def _over(self, share: float) -> bool:
        return self.limit is not None and time.monotonic() - self.began >= share * self.limit

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
        side = level.spec.pixels
        if self.moments is None:
            self.moments = torch.zeros(side**3 + 1, side**3 + 1, dtype=torch.float64)
        while place.step < spec.steps and not self._over((place.level + 1) / len(spec.model.levels)):
            chance = self.chance(place.step)
            pieces_PN = self._pieces(self._mesh(place.step), chance)
            every = [turned(pieces_PN, side, chance) for _ in range(ORIENTATIONS)] if spec.flip else [pieces_PN]
            rows = torch.nn.functional.pad(torch.cat(every), (0, 1), value=1.0).to(self.device)
            self.moments += (rows.T @ rows).double().cpu()
            place.step += 1
            yield self._progress(spec.steps)
        make_level(level, self.moments.to(self.device), spec.fit_steps, spec.seed)
        if self.held:
            yield self._progress(spec.steps, held_out_psnr(level, self._pieces(self.held[0], self.chance(1 << 20))))


@torch.no_grad()
def make_level(level: Level, moments_XX: Tensor, fit_steps: int, seed: int) -> float:
    """From the sums of [piece, 1] [piece, 1]' to experts and the Gaussian of their codes; see `fit_experts`."""
    count = moments_XX[-1, -1]
    mean_N = moments_XX[:-1, -1] / count
    covariance_NN = moments_XX[:-1, :-1] / count - mean_N[:, None] * mean_N
    K = level.spec.dictionary.experts
    power, vectors_NN = torch.linalg.eigh(covariance_NN)
    components_NB = vectors_NN.flip(1)[:, : K - 1]
    variance_B = power.flip(0)[: K - 1].clamp_min(0)
    atoms_NK = torch.cat([mean_N[:, None], components_NB], 1)
    level.prior_mean_BK.zero_()
    level.prior_variance_BK.zero_()
    level.prior_mean_BK[0, 0] = 1
    level.prior_variance_BK[0, 1 : 1 + len(variance_B)] = variance_B.float()
    samples = cell_samples(level.spec).to(level.prior_mean_BK)
    importance_K = torch.cat([mean_N.square().sum()[None], variance_B])
    targets = Targets(
        samples,
        len(samples),
        atoms_NK.T[:, None].float(),
        samples.new_zeros(len(samples), 0),
        importance_K.float(),
    )
    return fit_experts(level.bank(), targets, fit_steps, torch.Generator().manual_seed(seed))


@torch.no_grad()
def held_out_psnr(level: Level, pieces_PN: Tensor) -> float:
    """dB of a half cell above the error of pieces projected on the experts."""
    atoms_NK = level.bank().atoms(cell_samples(level.spec).to(level.prior_mean_BK))[:, 0]
    pieces_NP = pieces_PN.T.to(atoms_NK)
    left = pieces_NP - atoms_NK @ torch.linalg.lstsq(atoms_NK, pieces_NP).solution
    return -10 * math.log10(max(float(left.square().mean()), 1e-12))
