"""Descent for nets that learn from observations: encoder, detector, finisher and corrector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from nidcli.encoder import Encoder, encoder_loss
from nidcli.precision import halved

MEMORY = 24  # batches that are learned from again
USUAL, LIMIT = 0.98, 2.0  # memory of the usual length of a gradient, and how many times as long one may be

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of what a net says, what it saw, and the truth
Vary = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


class NetTraining:
    """Descent on the error of what a net says of observations; what is kept is an average of its steps.

    pairs(step) gives (B, inputs, H, W) observations and (B, channels, H, W) truths, NaN where nothing is asked; in 3-D
    `loss` says what is asked, and `vary` may turn both into others at every step. The average of the weights is that of
    Polyak and Juditsky (1992), exponentially weighted; the rate falls as a cosine. Gradients are cut to twice their
    usual length (as Seetharaman et al. 2020 cut them to a quantile of their history): one odd batch ruins no weights.
    Where observing takes longer than learning from it, an observation is seen `replay` times: once when it is made,
    then in half precision whenever chance draws it from the last `memory` batches (Lin 1992). The more often, the more
    there must be: a few that are seen again and again are learned by heart.
    """

    def __init__(
        self,
        encoder: nn.Module,
        steps: int,
        rate: float = 2e-3,
        average: float = 0.998,
        replay: int = 1,
        memory: int = MEMORY,
        loss: Loss | None = None,
        vary: Vary | None = None,
    ) -> None:
        if loss is None:
            assert isinstance(encoder, Encoder)
            loss = partial(encoder_loss, relative=encoder.spec.relative)
        self.loss, self.vary = loss, vary
        self.encoder, self.steps, self.average, self.replay, self.memory = encoder, steps, average, replay, memory
        self.remembered: list[tuple[Tensor, Tensor]] = []  # what was seen, and the truth
        self.optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, weight_decay=1e-4, betas=(0.9, 0.99))
        self.rate = rate
        self.mean = {name: p.detach().clone() for name, p in encoder.named_parameters()}
        self.step = 0
        self.usual = 0.0  # length of a gradient, lately

    def run(
        self, pairs: Callable[[int], tuple[Tensor, Tensor]], spent: Callable[[], float] = lambda: 0.0
    ) -> Iterator[float]:
        """Yields the loss of every step that is left; the caller calls `finish`.

        spent : how much of a limit of time is gone, 0 ... 1, that the rate must have fallen by the end of.
        """
        parameters = dict(self.encoder.named_parameters())
        device = next(iter(parameters.values())).device
        self.encoder.train().requires_grad_(True)
        while self.step < self.steps:
            seen, truth = self._observed(pairs)
            if self.vary:
                seen, truth = self.vary(seen, truth, self.step)
            flat = seen.ndim == 4
            # convolutions in three dimensions were not tried in half precision on processors that have it
            with halved(device, flat or device.type != "cpu"):
                layout = torch.channels_last if flat else torch.channels_last_3d
                guess = self.encoder(seen.contiguous(memory_format=layout))
            loss = self.loss(guess, seen, truth)
            self.optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.encoder.parameters(), LIMIT * self.usual or math.inf)
            for group in self.optimizer.param_groups:
                warm = min(1.0, (self.step + 1) / min(100.0, max(1.0, 0.05 * self.steps)))
                done = min(1.0, max(self.step / self.steps, spent()))
                group["lr"] = self.rate * warm * (1 + math.cos(math.pi * done)) / 2
            if bool(norm.isfinite()):  # an observation out of all bounds teaches nothing
                self.optimizer.step()
                now = float(norm)
                self.usual += (1 - USUAL) * (min(now, LIMIT * self.usual) - self.usual) if self.usual else now
            self.step += 1
            weight = min(self.average, self.step / (self.step + 10))
            with torch.no_grad():
                for name, mean in self.mean.items():
                    mean.lerp_(parameters[name], 1 - weight)
            yield loss.item()

    def _observed(self, pairs: Callable[[int], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """A new batch, or one seen before."""
        if not self.fresh(self.step):
            chance = torch.Generator().manual_seed(self.step)
            size = len(self.remembered[0][0])
            drawn = torch.randint(self.memory * size, (size,), generator=chance).tolist()
            pairs_B = [[part[i % size] for part in self.remembered[i // size]] for i in drawn]
            seen, truth = (torch.stack(parts).float() for parts in zip(*pairs_B, strict=True))
            return seen, truth
        new = pairs(self.step)
        if self.replay > 1:
            self.remembered = [*self.remembered, (new[0].half(), new[1].half())][-self.memory :]
        return new

    def fresh(self, step: int) -> bool:
        """Whether a step learns from a new batch."""
        return self.replay < 2 or step < self.memory or step % self.replay == 0

    @torch.no_grad()
    def finish(self) -> None:
        """The encoder takes the averaged weights."""
        for name, parameter in self.encoder.named_parameters():
            parameter.copy_(self.mean[name])

    def state(self) -> dict[str, Tensor]:
        """Tensors of a checkpoint."""
        state = self.optimizer.state_dict()["state"]
        moments = {f"moment.{i}.{key}": value for i, slot in state.items() for key, value in slot.items()}
        weights = {f"weight.{name}": p.detach().clone() for name, p in self.encoder.named_parameters()}
        usual = {"usual": torch.tensor(self.usual, dtype=torch.float64)}
        for number, (seen, truth) in enumerate(self.remembered):
            usual |= {f"seen.{number}": seen, f"truth.{number}": truth}
        return usual | moments | weights | {f"mean.{name}": value.clone() for name, value in self.mean.items()}

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Go on from a checkpoint at `step`."""
        self.usual = float(tensors["usual"])
        count = sum(name.startswith("seen.") for name in tensors)
        self.remembered = [(tensors[f"seen.{n}"], tensors[f"truth.{n}"]) for n in range(count)]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "moment":
                index, _, key = rest.partition(".")
                moments.setdefault(int(index), {})[key] = tensor
        with torch.no_grad():
            for name, parameter in self.encoder.named_parameters():
                parameter.copy_(tensors[f"weight.{name}"])
                self.mean[name] = tensors[f"mean.{name}"].clone().to(parameter)
        plain = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": moments, "param_groups": plain["param_groups"]})
        self.step = step
