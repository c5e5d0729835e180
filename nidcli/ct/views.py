"""What the encoder sees of a sinogram, and what is solved between two of its looks.

Five channels: the picture that agrees with the rays (plain total variation at the first look, guided by its own last
answer at the next), the estimate before it, the filtered back-projection, the logarithm of the number of views, and
the noise. Pictures are (N, S), channels (S, 5, Y, X).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nidcli.ct.prior import Expectation
from nidcli.ct.residual import Penalties, TotalVariation, edge_weights
from nidcli.ct.scanner import Scanner
from nidcli.encoder import Encoder
from nidcli.model import Model
from nidcli.precision import halved

INPUTS = 5
FLOOR = 0.02  # lambda without noise, in a dictionary's units times pixels
PER_NOISE = 1.0  # lambda a standard deviation of noise and square root of views
WEAK = 0.05  # of lambda for total variation alone, if there is no noise
SHARE = 0.25  # of lambda that is left where an estimate guides
ERROR = 0.03  # standard deviation of an estimate's pixels
MISFIT = 0.01  # of a ray without noise: what pixels cannot hold
FIRST = TotalVariation(steps=60)
NEXT = TotalVariation(steps=40)


@dataclass(frozen=True, eq=False)
class Look:
    """Pictures (N, S) at one stage: `agreed` with the rays, and the estimate that guided it."""

    agreed_NS: Tensor
    estimate_NS: Tensor


@dataclass(frozen=True, eq=False)
class Viewer:
    """A dictionary under a geometry. noise_S : standard deviation of a ray of each slice."""

    model: Model
    scanner: Scanner
    sinogram_MS: Tensor
    noise_S: Tensor
    non_negative: bool = True

    def of(self, chosen_S: Tensor) -> Viewer:
        """The same of those slices alone that are marked."""
        if bool(chosen_S.all()):
            return self
        return replace(self, sinogram_MS=self.sinogram_MS[:, chosen_S].contiguous(), noise_S=self.noise_S[chosen_S])

    @property
    def exact(self) -> bool:
        """Whether rays without noise and flat parts come together."""
        encoder = self.model.encoder
        return encoder is not None and encoder.spec.sharpen > 0 and not bool(self.noise_S.any())

    @property
    def penalty_S(self) -> Tensor:
        """lambda of plain total variation."""
        return (PER_NOISE * math.sqrt(self.scanner.geometry.views) * self.noise_S).clamp_min(FLOOR)

    @property
    def alone_S(self) -> Tensor:
        """lambda of total variation that has the last word: rays without noise are right."""
        return self.penalty_S * torch.where(self.noise_S > 0, 1.0, WEAK)

    def plain(self, solver: TotalVariation = FIRST) -> Tensor:
        """(N, S): total variation alone."""
        penalties = Penalties(self.alone_S, non_negative=self.non_negative)
        start_NS = self.sinogram_MS.new_zeros(self.scanner.geometry.size**2, self.sinogram_MS.shape[1])
        return solver.solve(self.scanner, self.sinogram_MS, penalties, start_NS)

    def first(self, solver: TotalVariation = FIRST) -> Look:
        """Plain total variation, and the posterior mean."""
        noise = float(self.noise_S.square().mean().sqrt())
        mean_NS = Expectation(self.model, self.scanner).picture(self.sinogram_MS, noise)
        penalties = Penalties(self.penalty_S, non_negative=self.non_negative)
        return Look(solver.solve(self.scanner, self.sinogram_MS, penalties, mean_NS), mean_NS)

    def guided(
        self, estimate_NS: Tensor, solver: TotalVariation = NEXT, strength: float = 1.0, anchor: float = 1.0
    ) -> Look:
        """The picture that agrees with the rays, near an estimate and with its edges.

        strength, anchor : factors of lambda and of mu.
        """
        size, lambda_S = self.scanner.geometry.size, strength * SHARE * self.penalty_S
        edges_NS = edge_weights(estimate_NS, size)
        pull_S = anchor * (self.noise_S.square() + MISFIT**2) / ERROR**2
        share = strength * SHARE
        penalties = Penalties(lambda_S, pull_S, estimate_NS, edges_NS, self.non_negative, share=share)
        return Look(solver.solve(self.scanner, self.sinogram_MS, penalties, estimate_NS), estimate_NS)

    def channels(self, look: Look) -> Tensor:
        """(S, 5, Y, X)."""
        size, S = self.scanner.geometry.size, self.sinogram_MS.shape[1]
        back_NS = self.scanner.back_projected(self.sinogram_MS)
        pictures = torch.stack([look.agreed_NS, look.estimate_NS, back_NS])
        views = pictures.new_full((S,), math.log2(self.scanner.geometry.views) / 4 - 1)
        told = torch.stack([views, self.noise_S.to(views)]).view(2, 1, S).expand(2, size * size, S)
        return torch.cat([pictures, told]).view(INPUTS, size, size, S).permute(3, 0, 1, 2)

    @torch.no_grad()
    def encoded(self, encoder: Encoder, look: Look, side: int) -> Tensor:
        """(N, S): the encoder's answer. It looks at `side` pixels a side, as it learned; its correction is resized."""
        size = self.scanner.geometry.size
        seen_SIYX = self.channels(look).contiguous()
        if size != side:
            seen_SIYX = nn.functional.interpolate(seen_SIYX, (side, side), mode="bilinear", antialias=True)
        answer_SYX = answered(encoder, seen_SIYX)[:, 0]
        if size != side:
            change = (answer_SYX - seen_SIYX[:, 0])[:, None]
            change = nn.functional.interpolate(change, (size, size), mode="bicubic")[:, 0]
            answer_SYX = look.agreed_NS.T.reshape(-1, size, size) + change
        return answer_SYX.flatten(1).T.contiguous()


@torch.no_grad()
def answered(encoder: Encoder, seen_SIYX: Tensor) -> Tensor:
    """The encoder in the arithmetic in which it learned: bfloat16 products, where the device has them."""
    with halved(seen_SIYX.device):
        return encoder(seen_SIYX.contiguous(memory_format=torch.channels_last)).float()


def side_of(model: Model) -> int:
    """Pixels a side of the slices that a dictionary was learned at."""
    finest = model.level(-1).spec
    return finest.cells * finest.pixels
