"""A dictionary of made-up faces, learned in a moment: for the tests of what a prior for the whole image can do."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from nidcli.dictionary import DictionarySpec
from nidcli.encoder import EncoderSpec
from nidcli.model import LevelSpec, Model, ModelSpec, Whole
from nidcli.restore.fill import roughness
from nidcli.restore.learning import learn_whole
from nidcli.restore.whole import FINE, WholeImage

SAMPLES = 16  # of the level, a side
SIDE = FINE * SAMPLES


def faces(count: int, seed: int, side: int = SIDE) -> Tensor:
    """(B, side, side, 3): an oval with two eyes and a mouth, of random colours and a little random place."""
    chance = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*[(2 * torch.arange(side) + 1) / side - 1] * 2, indexing="ij")
    images = []
    for _ in range(count):
        skin, ground, dark = (torch.rand(3, generator=chance) for _ in range(3))
        dx, dy, wide = (0.1 * (torch.rand(3, generator=chance) - 0.5)).tolist()
        image = (0.2 + 0.3 * ground).expand(side, side, 3)
        for cx, cy, a, b, colour in (
            (0, 0, 0.7 + wide, 0.85, 0.5 + 0.4 * skin),
            (-0.3, -0.2, 0.14, 0.1, 0.2 * dark),
            (0.3, -0.2, 0.14, 0.1, 0.2 * dark),
            (0, 0.4, 0.3, 0.08, torch.tensor([0.7, 0.2, 0.2])),
        ):
            inside = torch.sigmoid(8 * (1 - ((x - cx - dx) / a).square() - ((y - cy - dy) / b).square()))[..., None]
            image = image * (1 - inside) + colour * inside
        images.append(image + 0.01 * torch.randn(side, side, 3, generator=chance))
    return torch.stack(images).clamp(0, 1)


def bank(experts: int, hidden: int, frequencies: int) -> DictionarySpec:
    return DictionarySpec(experts=experts, hidden=hidden, frequencies=frequencies, period=2.2)


@lru_cache
def face_model(nets: bool = False) -> Model:
    """A model with a level for the whole image; `nets`: with an encoder and a detector that change nothing."""
    torch.manual_seed(0)
    whole = LevelSpec(cells=1, pixels=SAMPLES, overlap=0, basis=24, dictionary=bank(24, 64, 160))
    cell = LevelSpec(pixels=8, overlap=0.125, top_k=4, basis=16, dictionary=bank(32, 32, 60))
    encoder = EncoderSpec(inputs=28, channels=12, width=8, depth=1) if nets else None
    detector = EncoderSpec(inputs=32, channels=4, width=8, depth=1) if nets else None
    model = Model(ModelSpec(levels=(cell,), whole=whole, encoder=encoder, detector=detector))
    assert isinstance(model.whole, Whole)
    images = faces(160, 0)
    small = images.view(-1, SAMPLES, FINE, SAMPLES, FINE, 3).mean((2, 4)).flatten(1)
    learn_whole(model.whole, small[:120], small[120:], 0, torch.Generator().manual_seed(0))
    level = WholeImage.of(model.whole)
    details = images - level.draw(level.posterior(small))
    model.whole.rough_P.copy_(roughness(details.permute(0, 3, 1, 2).flatten(0, 1)))
    return model.eval().requires_grad_(False)


def psnr(drawn: Tensor, truth: Tensor) -> float:
    """Of all that is compared, in dB."""
    return float(-10 * (drawn - truth).square().mean().log10())
