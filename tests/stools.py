"""A class of shapes for the tests of what is unseen: stools with a back, of boxes, and a dictionary that knows them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from solid_cases import small_model

from nidcli.dictionary import DictionarySpec
from nidcli.model import LevelSpec, Model
from nidcli.sdf.levels import make_level
from nidcli.sdf.pieces import whole_pieces

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Stool:
    """Some boxes, middle and half sides, with y up; the longest side is 1.8."""

    boxes: tuple[Box, ...]

    def distance(self, points_N3: np.ndarray) -> np.ndarray:
        """(N,) to the nearest box, negative inside one."""
        found = []
        for middle, half in self.boxes:
            off_N3 = np.abs(points_N3 - np.array(middle)) - np.array(half)
            found.append(np.linalg.norm(off_N3.clip(0), axis=1) + off_N3.max(1).clip(None, 0))
        return np.asarray(np.min(found, 0), np.float32)

    def sample(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Points of the surface and their normals, evenly spread."""
        rng, points, normals = np.random.default_rng(seed), [], []
        area = np.array([[a * b for a, b in ((h[1], h[2]), (h[0], h[2]), (h[0], h[1]))] for _, h in self.boxes])
        sides = rng.multinomial(2 * count, (area / area.sum()).ravel()).reshape(-1, 3)
        for (middle, half), wanted in zip(self.boxes, sides, strict=True):
            for axis, number in enumerate(wanted):
                spot, facing = rng.uniform(-1, 1, (number, 3)) * half, np.zeros((number, 3))
                facing[:, axis] = rng.choice([-1.0, 1.0], number)
                spot[:, axis] = facing[:, axis] * half[axis]
                points.append(spot + middle)
                normals.append(facing)
        both = np.concatenate(points), np.concatenate(normals)
        outside = np.flatnonzero(self.distance(both[0] + 1e-3 * both[1]) > 0)
        chosen = rng.permutation(outside)[:count]
        return both[0][chosen], both[1][chosen]


def stool(width: float, seat: float, depth: float) -> Stool:
    """A slab as a foot, a seat on it, and a back. width, depth : half of them; seat : its height."""
    low, thick = (seat - 0.9) / 2, 0.12
    return Stool(
        (
            ((0, low, 0), (width, (seat + 0.9) / 2, depth)),
            ((0, seat / 2 + 0.45, thick - depth), (width, (0.9 - seat) / 2, thick)),
        )
    )


@lru_cache(maxsize=1)
def stool_model() -> Model:
    """The small dictionary, with a level of whole stools."""
    bank = DictionarySpec(dims=3, channels=1, experts=48, hidden=48, frequencies=364, period=3.0)
    spec = LevelSpec(dictionary=bank, cells=1, pixels=9, overlap=0, top_k=48, basis=48)
    small = small_model()
    model = Model(replace(small.spec, shape=spec))
    model.load_state_dict(small.state_dict(), strict=False)
    assert model.shape is not None
    rng, moments = np.random.default_rng(0), torch.zeros(730, 730, dtype=torch.float64)
    for _ in range(60):
        made = stool(*(rng.uniform(low, high) for low, high in ((0.4, 0.7), (-0.4, 0.1), (0.4, 0.7))))
        rows = torch.nn.functional.pad(whole_pieces(made, spec, rng), (0, 1), value=1.0).double()  # type: ignore[arg-type]
        moments += rows.T @ rows
    make_level(model.shape, moments, 0, 0)
    return model.eval().requires_grad_(False)
