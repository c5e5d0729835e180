"""What a preset for solids holds, and the samples of a cell in three dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.learn_spec import LearnSpec
from nidcli.metadata import Terms
from nidcli.model import LevelSpec


@dataclass(frozen=True, kw_only=True)
class SurfaceSpec(LearnSpec):
    """How to learn from solids: `steps` batches of `batch` pieces a level, each of one solid; `flip`: in all 48
    orientations of a cube."""

    reach: float = 1.6  # pieces lie where a point of the surface is within this many half cells of their middle

    @property
    def learn(self) -> SurfaceSpec:
        """How to learn, alone."""
        return self


@dataclass(frozen=True, kw_only=True)
class Preset(SurfaceSpec, Terms):
    """A preset of `learn-dict --kind sdf`: how to learn, and on what terms the meshes may be used."""

    @property
    def learn(self) -> SurfaceSpec:
        """How to learn, alone."""
        return self.part(SurfaceSpec)


def cell_samples(level: LevelSpec) -> Tensor:
    """(N, 3) local coordinates of a lattice over all that a cell sees, `pixels` a side, z running fastest."""
    u = torch.linspace(-1 - level.overlap, 1 + level.overlap, level.pixels)
    return torch.cartesian_prod(u, u, u)
