"""ConvONet: convolutional occupancy networks (Peng et al. 2020), the variant with three planes of features.

A network on every point of the cloud, averaged onto the pixels of the xy, xz and yz planes; a small U-Net on each; a
decoder that reads the planes bilinearly and says whether a place is inside.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES, SIDE, HIDDEN = 32, 64, 64
PLANES = ((0, 1), (0, 2), (1, 2))


class _Unet(nn.Module):
    """Two halvings."""

    def __init__(self) -> None:
        super().__init__()
        wide = [FEATURES, 2 * FEATURES, 4 * FEATURES]
        block = lambda a, b: nn.Sequential(  # noqa: E731
            nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU()
        )
        self.down = nn.ModuleList([block(FEATURES, wide[0]), block(wide[0], wide[1]), block(wide[1], wide[2])])
        self.up = nn.ModuleList([block(wide[2] + wide[1], wide[1]), block(wide[1] + wide[0], wide[0])])

    def forward(self, x: Tensor) -> Tensor:
        first = self.down[0](x)
        second = self.down[1](functional.max_pool2d(first, 2))
        third = self.down[2](functional.max_pool2d(second, 2))
        h = self.up[0](torch.cat([functional.interpolate(third, scale_factor=2), second], 1))
        return self.up[1](torch.cat([functional.interpolate(h, scale_factor=2), first], 1))


class ConvONet(nn.Module):
    """A cloud in [-1, 1]^3 -> logits of occupancy anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Sequential(nn.Linear(3, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.features = nn.Linear(HIDDEN, FEATURES)
        self.unet = _Unet()
        self.decoder = nn.Sequential(
            nn.Linear(3 + FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1),
        )  # fmt: skip

    def encode(self, cloud_N3: Tensor) -> Tensor:
        """(3, FEATURES, SIDE, SIDE)."""
        feature_NF = self.features(self.points(cloud_N3))
        planes = []
        for a, b in PLANES:
            pixel = ((cloud_N3[:, [a, b]] + 1) / 2 * SIDE).long().clamp(0, SIDE - 1)
            index = pixel[:, 1] * SIDE + pixel[:, 0]
            total = feature_NF.new_zeros(SIDE * SIDE, FEATURES).index_add(0, index, feature_NF)
            count = feature_NF.new_zeros(SIDE * SIDE).index_add(0, index, feature_NF.new_ones(len(index)))
            planes.append((total / count.clamp_min(1)[:, None]).T.view(FEATURES, SIDE, SIDE))
        return self.unet(torch.stack(planes))

    def decode(self, planes: Tensor, x_N3: Tensor) -> Tensor:
        """(N,) logits."""
        seen = torch.zeros(len(x_N3), FEATURES)
        for plane, (a, b) in zip(planes, PLANES, strict=True):
            grid = x_N3[None, None, :, [a, b]]
            seen = (
                seen + functional.grid_sample(plane[None], grid, align_corners=False, padding_mode="border")[0, :, 0].T
            )
        return self.decoder(torch.cat([x_N3, seen], 1))[:, 0]


def learn(shapes: int, sample: Callable[[int], tuple[Tensor, Tensor, Tensor]], seconds: float) -> tuple[ConvONet, int]:
    """sample(n) is a cloud of the n-th shape, points, and whether they are inside (1.0) or not (0.0)."""
    torch.manual_seed(0)
    model = ConvONet()
    adam, began, step = torch.optim.Adam(model.parameters(), lr=1e-3), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        cloud_N3, x_N3, inside_N = sample(step % shapes)
        loss = functional.binary_cross_entropy_with_logits(model.decode(model.encode(cloud_N3), x_N3), inside_N)
        adam.zero_grad()
        loss.backward()
        adam.step()
        step += 1
    return model, step
