"""The gate that sees the whole: a small U-Net over a partial observation (Ronneberger, Fischer and Brox 2015).

It looks at everything that was measured at once (the posterior mean of a masked photo with its mask, a back-projection,
an enlarged small photo) and says what the whole looks like; the analysis of that by the dictionary is a code for every
cell, the mean of the prior with which the solver makes the answer agree with the data. The first channels of what it
sees are a first estimate, to which it adds what that misses: untrained it changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from nidcli.partial import PartialConv, leaving_out

USUAL, LIMIT = 0.98, 2.0  # memory of the usual length of a gradient, and how many times as long one may be


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Size of the encoder. inputs : channels it sees, of which the first `channels` are the first estimate."""

    inputs: int
    channels: int
    width: int = 32  # channels at full resolution, doubled at every halving up to four times as many
    depth: int = 4  # halvings
    blocks: int = 1  # residual blocks at each resolution, down and up
    fold: int = 1  # pixels a side that become channels first: the network works at so much less than full resolution
    sharpen: int = 0  # rounds in which a slice's own edges guide it at last: for classes of flat parts
    augment: bool = False  # learned from pictures that are also turned, shifted and scaled a little, where few exist
    noisy: float = 1 / 3  # share of the batches of slices whose rays are noisy
    relative: bool = False  # learned by the share of the first estimate's error that is left, however small it was
    partial: int = 0  # so many last inputs say what of a pixel is known, and the way down leaves out what is not

    def __post_init__(self) -> None:
        if not 0 <= self.partial < self.inputs - self.channels or (self.partial and not self.depth):
            raise ValueError(f"{self.partial} of {self.inputs} inputs cannot say what is known")


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(min(8, width), width),
            nn.SiLU(),
            PartialConv(width, width, 3, padding=1),
            nn.SiLU(),
            PartialConv(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        inner = x
        for layer in self.body:
            inner, known = leaving_out(layer, inner, known)
        return x + inner, known


class Encoder(nn.Module):
    """(B, inputs, H, W) -> (B, channels, H, W), any H and W."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * min(4, 2**d) for d in range(spec.depth + 1)]
        blocks = lambda width: nn.ModuleList(_Block(width) for _ in range(spec.blocks))  # noqa: E731
        self.stem = PartialConv(spec.inputs * spec.fold**2, widths[0], 3, padding=1)
        # What partial convolutions leave out, the first estimate in holes, comes in again on the way up.
        self.beside = nn.Conv2d(spec.inputs * spec.fold**2, widths[0], 3, padding=1) if spec.partial else None
        self.down = nn.ModuleList(blocks(width) for width in widths)
        self.halve = nn.ModuleList(PartialConv(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.merge = nn.ModuleList(nn.Conv2d(a + b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(blocks(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], spec.channels * spec.fold**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, seen_BIHW: Tensor) -> Tensor:
        height, width = seen_BIHW.shape[2:]
        unit = 2**self.spec.depth * self.spec.fold
        x = nn.functional.pad(seen_BIHW, (0, -width % unit, 0, -height % unit), mode="replicate")
        known = self._known(x)
        seen, skips = nn.functional.pixel_unshuffle(x, self.spec.fold), []
        x, known = leaving_out(self.stem, seen, known)
        for number, blocks in enumerate(self.down):
            for block in _listed(blocks):
                x, known = block(x, known)
            if number < self.spec.depth:
                skips.append(x)
                x, known = leaving_out(self.halve[number], x, known)
        if self.beside is not None:
            skips[0] = skips[0] + self.beside(seen)
        for number in reversed(range(self.spec.depth)):
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = self.merge[number](torch.cat([skips[number], x], 1))
            for block in _listed(self.up[number]):
                x, _ = block(x)
        whole = nn.functional.pixel_shuffle(self.head(x), self.spec.fold)
        correction_BCHW = whole[:, :, :height, :width].to(seen_BIHW.dtype)
        return seen_BIHW[:, : self.spec.channels] + correction_BCHW

    def _known(self, seen_BIHW: Tensor) -> Tensor | None:
        """(B, 1, H / fold, W / fold): 1 where anything is known, or None where that is not asked."""
        if not self.spec.partial:
            return None
        known = (seen_BIHW[:, -self.spec.partial :].amax(1, keepdim=True) > 0).to(seen_BIHW.dtype)
        return nn.functional.max_pool2d(known, self.spec.fold)


def _listed(blocks: nn.Module) -> nn.ModuleList:
    assert isinstance(blocks, nn.ModuleList)
    return blocks


SMALL_ERROR = 1e-5  # mean square of a first estimate's error: less of it is not worth a share


def encoder_loss(guess_BCHW: Tensor, seen_BIHW: Tensor, truth_BCHW: Tensor, *, relative: bool) -> Tensor:
    """Mean squared error where a truth is given, NaN where none is; `relative` to the first estimate's, per image."""
    asked = truth_BCHW.isfinite()
    truth_BCHW = torch.where(asked, truth_BCHW, 0)
    error_BCHW = torch.where(asked, guess_BCHW.float() - truth_BCHW, 0).square()
    if not relative:
        return error_BCHW.sum() / asked.sum().clamp_min(1)
    first_BCHW = torch.where(asked, seen_BIHW[:, : truth_BCHW.shape[1]] - truth_BCHW, 0).square()
    floor_B = SMALL_ERROR * asked.flatten(1).sum(1).clamp_min(1)
    return (error_BCHW.flatten(1).sum(1) / (first_BCHW.flatten(1).sum(1) + floor_B)).mean()


class EncoderTraining:
    """Descent on the squared error of what the encoder says of observations; what is kept is an average of its steps.

    pairs(step) gives (B, inputs, H, W) observations and (B, channels, H, W) truths, NaN where nothing is asked. The
    average of the weights is that of Polyak and Juditsky (1992), exponentially weighted; the rate falls as a cosine.
    Gradients are cut to twice their usual length (as Seetharaman et al. 2020 cut them to a quantile of their history):
    one odd batch ruins no weights. Where observing takes longer than learning from it, an observation is seen `replay`
    times: once when it is made, then in half precision whenever chance draws it from the last `memory` batches (Lin
    1992). The more often, the more there must be: a few that are seen again and again are learned by heart.
    """

    def __init__(
        self,
        encoder: Encoder,
        steps: int,
        rate: float = 2e-3,
        average: float = 0.998,
        replay: int = 1,
        memory: int = 24,
    ) -> None:
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
        device = next(iter(parameters.values())).device.type
        self.encoder.train().requires_grad_(True)
        while self.step < self.steps:
            seen_BIHW, truth_BCHW = self._observed(pairs)
            with torch.autocast(device, torch.bfloat16):
                guess_BCHW = self.encoder(seen_BIHW.contiguous(memory_format=torch.channels_last))
            loss = encoder_loss(guess_BCHW, seen_BIHW, truth_BCHW, relative=self.encoder.spec.relative)
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
        if self.replay > 1 and self.step % self.replay and len(self.remembered) == self.memory:
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
