"""What the encoder of slices learns from: true slices, and what chance views and noise leave of them.

Every second batch is a second look: the encoder's own answer, made to agree with the rays, is what it then sees.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from nidcli.ct.geometry import Geometry
from nidcli.ct.scanner import Scanner
from nidcli.ct.views import Viewer, answered
from nidcli.errors import UsageError
from nidcli.model import Model
from nidcli.observers import Observe

# Views a batch: few are drawn more often, since it is there that the encoder has to know something.
VIEWS = (6, 7, 8, 8, 8, 8, 9, 10, 10, 12, 12, 14, 16, 16, 16, 20, 24, 32, 48, 64, 128)
NOISES = (0.001, 0.03)  # of the largest ray, log-uniform, in batches that have any
SHIFT, TURN, GROW = 0.06, 12.0, 0.12  # of pictures in augmented batches: share of the width, degrees, share of the size


def observer(model: Model) -> Observe:
    """Slices (B, Y, X, 1) and chance -> (B, 5, Y, X) seen and (B, 1, Y, X) true."""
    encoder = model.encoder
    if encoder is None:
        raise UsageError("This dictionary has no encoder; add `encoder:` to the preset.")

    @lru_cache(maxsize=len(VIEWS))
    def scanner(size: int, views: int, device: torch.device) -> Scanner:
        angles = tuple(180 * view / views for view in range(views))
        return Scanner.of(Geometry(size=size, angles_V=angles, bins=size), device)

    def observe(images_BYXC: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        truth_BYX = images_BYXC[..., 0]
        if encoder.spec.augment:
            truth_BYX = moved(truth_BYX, chance)
        size = truth_BYX.shape[1]
        views = VIEWS[int(torch.randint(len(VIEWS), (1,), generator=chance))]
        scan = scanner(size, views, truth_BYX.device)
        clean_MS = scan.forward(truth_BYX.flatten(1).T.contiguous())
        low, high = map(math.log, NOISES)
        level = math.exp(low + (high - low) * float(torch.rand(1, generator=chance)))
        noise_S = level * clean_MS.amax(0) * float(torch.rand(1, generator=chance) < encoder.spec.noisy)
        drawn = torch.randn(clean_MS.shape, generator=chance).to(clean_MS)
        viewer = Viewer(model, scan, clean_MS + noise_S * drawn, noise_S)
        look = viewer.first()
        again = float(torch.rand(1, generator=chance)) < 0.5
        seen_BIYX = viewer.channels(look)
        if again:
            answer_NS = answered(encoder, seen_BIYX)[:, 0].flatten(1).T.contiguous()
            seen_BIYX = viewer.channels(viewer.guided(answer_NS))
        return seen_BIYX, truth_BYX[:, None]

    return observe


def moved(pictures_BYX: Tensor, chance: torch.Generator) -> Tensor:
    """Pictures shifted, turned, scaled and brightened a little, each in its own way; zero comes in at the border."""
    B = len(pictures_BYX)
    uniform = lambda: (2 * torch.rand(B, generator=chance) - 1).to(pictures_BYX)  # noqa: E731
    angle, grow = uniform() * math.radians(TURN), 1 + GROW * uniform()
    cos, sin = angle.cos() / grow, angle.sin() / grow
    rows = [torch.stack([cos, -sin, SHIFT * 2 * uniform()], 1), torch.stack([sin, cos, SHIFT * 2 * uniform()], 1)]
    grid = nn.functional.affine_grid(torch.stack(rows, 1), [B, 1, *pictures_BYX.shape[1:]], align_corners=False)
    turned = nn.functional.grid_sample(pictures_BYX[:, None], grid, mode="bicubic", align_corners=False)[:, 0]
    return (turned * (1 + 0.1 * uniform())[:, None, None]).clamp(0, 1)
