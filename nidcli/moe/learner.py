"""Experts and gate trained together by Adam (`--method moe`), top to bottom:

    warm-up    codes are dense, an l1 penalty makes them sparse: dropping at once would leave the gate as it began
    top-k      the k largest scores by magnitude make the code, and the load of experts is balanced as well

Batches are drawn by (seed, epoch) alone, and the checkpoint holds Adam's moments: a resumed run ends where an
uninterrupted one does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nidcli.dictionary import Dictionary
from nidcli.errors import InputError, UsageError
from nidcli.metrics import psnr
from nidcli.model import Level, Model
from nidcli.moe import balance
from nidcli.moe.gates import LookupGate, MoeGate
from nidcli.moe.objective import Batch, draw, fidelity, penalty
from nidcli.moe.schedule import Moments, falling, hidden_part, prepare
from nidcli.moe.spec import MoeSpec
from nidcli.precision import halved
from nidcli.progress import Place, Progress
from nidcli.sampling import CellSource, CellSpace, Collection, omp_coder

SHOWN = 16  # held-out images that progress is measured on
EVERY = 25  # batches between two measurements
SETTLED = 32  # batches from which the finished gate's means are taken
WARM_SHARE = 0.2  # of a time limit, at most, for the warm-up


@dataclass(frozen=True)
class MoeProgress(Progress):
    """A line of `metrics.jsonl`. used : share of the experts that codes since the last such line hold; even : the
    perplexity of their use as a share of the experts; psnr_train : of the batch."""

    loss: float | None = None
    psnr_train: float | None = None
    used: float | None = None
    even: float | None = None


class MoeLearner:
    """The state of a run. `run` goes on from wherever it stands and yields after every batch: stop there, or save."""

    def __init__(self, spec: MoeSpec, collection: Collection, device: str = "cpu", limit: float | None = None) -> None:
        held = spec.holdout or min(200, len(collection) // 20)
        self.train = len(collection) - held
        if self.train < 1:
            raise InputError(f"{len(collection)} images are too few to learn from; give more, or a smaller holdout.")
        torch.manual_seed(spec.seed)
        self.collection, self.device, self.limit = collection, device, limit
        self.held = list(range(self.train, len(collection)))
        self.model = prepare(Model(spec.model)).to(device)
        level = self.level.spec
        self.cells = self._cells(level.cells or -(-spec.size // level.pixels))
        self.photos = max(1, min(self.train, spec.batch // self.cells))
        epoch = self.train // self.photos
        self.warm = spec.warm_epochs * epoch
        self.spec = replace(spec, steps=spec.steps or spec.epochs * epoch)
        self.gate = self._gate(level.dictionary.experts, level.dictionary.channels)
        self.ask = torch.compile(self.gate) if spec.compiled else self.gate
        self._look()
        self.moments = Moments([*self.model.parameters(), *self._own_parameters()], spec.rate)
        self.usage_K = torch.zeros(level.dictionary.experts, dtype=torch.long, device=device)
        self.place = Place("warm-up" if self.warm else "top-k")
        self.began = time.monotonic()

    def products(self) -> torch.autocast:
        """In the precision that the spec names."""
        return halved(torch.device(self.device), self.spec.precision == "bfloat16")

    def _cells(self, side: int) -> int:
        return side**2

    def _look(self) -> None:
        """What the cells of a batch are cut from."""
        self.source = CellSource(self.collection, self.model, 0, self.spec.size, 0, omp_coder, self.device)
        self.space = CellSpace.of(self.level.spec, 0, self.device)

    def _gate(self, experts: int, channels: int) -> MoeGate | LookupGate:
        if self.model.moe is not None:
            return self.model.moe
        if self.model.gate is not None:
            raise UsageError("--method moe trains a gate of its own kind; give --gate cnn, set or lookup.")
        return LookupGate(self.train * self.cells, experts, channels).to(self.device)

    def _own_parameters(self) -> list[nn.Parameter]:
        return list(self.gate.parameters()) if isinstance(self.gate, LookupGate) else []

    @property
    def level(self) -> Level:
        """The one level."""
        return self.model.level(0)

    @property
    def banks(self) -> list[Dictionary]:
        """The banks of all blocks."""
        return [self.level.bank(cell) for cell in range(len(self.level.banks))]

    # ---- the run

    def run(self) -> Iterator[Progress]:
        """Every batch of the warm-up, then with the k largest scores."""
        place, spec = self.place, self.spec
        self.began = time.monotonic() - place.seconds
        self.model.train().requires_grad_(True)
        while place.step < spec.steps and self._spent() < 1:
            warm = place.step < self.warm and self._spent() < WARM_SHARE and place.stage == "warm-up"
            place.stage = "warm-up" if warm else "top-k"
            k = None if warm else self.level.spec.top_k
            loss, batch, field_SNC = self._step(place.step, k)
            place.step += 1
            self.usage_K += balance.usage(batch.code_SK.detach())
            yield self._progress(loss, batch, field_SNC)
        self._settle()
        place.stage = "done"

    @torch.no_grad()
    def _settle(self) -> None:
        """The means that a gate is centred by, of the finished gate instead of along its way (Wu and Johnson 2021)."""
        norm = self.gate.norm if isinstance(self.gate, MoeGate) else None
        if norm is None:
            return
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        with self.products():
            for step in range(min(SETTLED, self.train // self.photos)):
                self._look_at(step)
        norm.momentum = 0.1

    def _look_at(self, step: int) -> None:
        self.code(self.source.batch(self._draw(step))[0], None)

    def _step(self, step: int, k: int | None) -> tuple[Tensor, Batch, Tensor]:
        spec = self.spec
        share = max(step / spec.steps, self._spent())
        rate = spec.rate * falling(share, step) if spec.falling else spec.rate
        numbers, flip = self._draw(step), spec.flip and step % 2 == 1 and not isinstance(self.gate, LookupGate)
        values_SNC = self.source.batch(numbers, flip=flip)[0]
        with self.products():
            batch = self.code(values_SNC, k, numbers, self._known(step, len(values_SNC)))
            field_SNC = draw(self.banks, batch.coords_ND, batch.code_SK, batch.constant_SC, k)
        loss = fidelity(field_SNC, batch, spec.loss) + penalty(batch, spec, k)
        self.moments.step(loss, rate)
        return loss.detach(), batch, field_SNC.detach()

    def code(
        self, values_SNC: Tensor, k: int | None, numbers: list[int] | None = None, known_SN: Tensor | None = None
    ) -> Batch:
        """What the gate makes of cells, image after image. numbers : of training images, for a lookup table."""
        space = self.space
        if isinstance(self.gate, LookupGate):
            signals = [image * self.cells + cell for image in numbers or () for cell in range(self.cells)]
            score_SK, constant_SC = self.ask(torch.tensor(signals, device=self.device))
        else:
            score_SK, constant_SC = self.ask(values_SNC * space.weight_N.sqrt()[:, None], space.coords_ND, known_SN)
        score_SK = score_SK.float()
        code_SK = self.gate.code(score_SK, k)
        return Batch(space.coords_ND, space.weight_N, values_SNC, score_SK, code_SK, constant_SC.float())

    def _known(self, step: int, cells: int) -> Tensor | None:
        if self.spec.masked <= 0 or isinstance(self.gate, LookupGate):
            return None
        chance = torch.Generator().manual_seed((self.spec.seed * 1009 + 17) << 24 | step)
        if torch.rand((), generator=chance) >= self.spec.masked:
            return None
        return hidden_part(self.space.coords_ND, cells, chance).to(self.device)

    def _draw(self, step: int) -> list[int]:
        """Images of a batch: a walk through a new order every epoch."""
        epoch, place = divmod(step, self.train // self.photos)
        order = torch.randperm(self.train, generator=torch.Generator().manual_seed(self.spec.seed << 24 | epoch))
        return order[place * self.photos : (place + 1) * self.photos].tolist()

    def _spent(self) -> float:
        return (time.monotonic() - self.began) / self.limit if self.limit else 0.0

    # ---- what is told, and checkpoints

    def _progress(self, loss: Tensor, batch: Batch, field_SNC: Tensor) -> MoeProgress:
        place, steps = self.place, self.spec.steps
        place.seconds = time.monotonic() - self.began
        seconds = round(place.seconds, 3)
        if place.step % max(1, min(EVERY, steps // 8)) and place.step < steps and self._spent() < 1:
            return MoeProgress(place.stage, 0, 0, place.step, steps, seconds)
        used, even = used_and_even(self.usage_K)
        self.usage_K.zero_()
        where = (place.stage, 0, 0, place.step, steps, seconds, self._judged())
        return MoeProgress(*where, float(loss), self._trained(batch, field_SNC), used, even)

    def _judged(self) -> float | None:
        """Of held-out images; a lookup table says nothing about them."""
        return None if isinstance(self.gate, LookupGate) else self.held_out(SHOWN)

    def _trained(self, batch: Batch, field_SNC: Tensor) -> float | None:
        return float(psnr(field_SNC[None], batch.values_SNC[None]))

    @torch.no_grad()
    def held_out(self, count: int) -> float:
        """Mean PSNR in dB of held-out images drawn from the gate's codes alone; of training images where none are."""
        self.model.eval()
        numbers = self.held[:count] or list(range(min(count, self.train)))
        values_SNC = self.source.batch(numbers)[0]
        with self.products():
            batch = self.code(values_SNC, self.level.spec.top_k)
            field_SNC = draw(self.banks, batch.coords_ND, batch.code_SK, batch.constant_SC, None)
        self.model.train()
        images = (len(numbers), self.cells * values_SNC.shape[1], values_SNC.shape[2])
        return float(
            psnr(field_SNC.float().reshape(1, *images)[0][:, None], values_SNC.reshape(images)[:, None]).mean()
        )

    def state(self) -> dict[str, Tensor]:
        """Tensors of a checkpoint: with `place`, all that `restore` needs."""
        tensors = {f"model.{name}": tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        if isinstance(self.gate, LookupGate):
            tensors |= {f"table.{name}": tensor.detach().clone() for name, tensor in self.gate.state_dict().items()}
        return tensors | self.moments.state() | {"usage": self.usage_K.clone()}

    def restore(self, tensors: dict[str, Tensor], place: Place) -> None:
        """Go on from a checkpoint of a run with the same spec and data."""
        part = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}  # noqa: E731
        self.model.load_state_dict(part("model."))
        if isinstance(self.gate, LookupGate):
            self.gate.load_state_dict(part("table."))
        self.moments.restore(part("moment."))
        self.usage_K, self.place = tensors["usage"].to(self.device), place


def used_and_even(usage_K: Tensor) -> tuple[float, float]:
    """Share of the experts that are used, and the perplexity of their use as a share of them."""
    share_K = usage_K.double() / usage_K.sum().clamp_min(1)
    entropy = -(share_K * share_K.clamp_min(1e-30).log()).sum()
    return float((usage_K > 0).double().mean()), float(entropy.exp() / len(usage_K))
