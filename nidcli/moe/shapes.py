"""Joint training on surfaces (section 4.5 of the paper): a dictionary of signed distances of a class of shapes.

    mean over the cloud of |f(x)|  +  mean over space of |f(x) - d(x, cloud)|                          eq. 17

d is the signed distance to the nearest points of the cloud, negative behind their normals. The gate is a lookup table,
or a set encoder of points of the cloud; a dictionary of distances draws no picture, so progress tells the loss alone.

Letters: S shapes, N points, K experts, F features.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from nidcli.artifacts import save_model
from nidcli.clouds import cloud_distance
from nidcli.dictionary import Dictionary
from nidcli.errors import InputError
from nidcli.files.datasets import named_shapes
from nidcli.files.surfaces import sample_mesh
from nidcli.metadata import Terms, described
from nidcli.moe.gates import LookupGate
from nidcli.moe.learner import MoeLearner, used_and_even
from nidcli.moe.objective import Batch, fidelity, penalty
from nidcli.moe.schedule import falling
from nidcli.moe.spec import MoeSpec
from nidcli.moe.training import Trained, adjusted, plan
from nidcli.report import rank

__all__ = ["Preset", "adjusted", "learner", "open_data", "plan", "save"]
BOX = 1.0  # half a side of space


@dataclass(frozen=True, kw_only=True)
class ShapeSpec(MoeSpec):
    """How experts and gate are trained together on shapes; `batch` and `holdout` count shapes."""

    points: int = 2048  # of a shape and batch; half on the surface, half anywhere
    cloud: int = 50_000  # points that stand for a surface


@dataclass(frozen=True, kw_only=True)
class Preset(ShapeSpec, Terms):
    """A preset of `learn-dict --kind sdf --method moe`. synset : the class of a ShapeNet folder."""

    method: Literal["moe"] = "moe"
    synset: str = "03001627"

    @property
    def learn(self) -> ShapeSpec:
        """How to learn, alone."""
        return self.part(ShapeSpec)


class Shapes:
    """Clouds of points with normals, in a box of [-0.9, 0.9]."""

    def __init__(self, clouds: Sequence[tuple[np.ndarray, np.ndarray]], digests: Sequence[str]) -> None:
        self.clouds = list(clouds)
        self._trees: dict[int, cKDTree] = {}
        self._digests = list(digests)

    def __len__(self) -> int:
        return len(self.clouds)

    @cached_property
    def digest(self) -> str:
        """sha256 of the files in their order."""
        return hashlib.sha256("\n".join(self._digests).encode()).hexdigest()

    def image(self, index: int, side: int) -> Tensor:
        """Shapes have no pixels."""
        raise InputError("Shapes are points, not pictures.")

    def sample(self, index: int, count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """(count, 3) places, the first half on the surface, and their distances (count, 1)."""
        points_N3 = self.clouds[index][0]
        on = points_N3[torch.randint(len(points_N3), (count // 2,), generator=chance).numpy()]
        off = ((2 * torch.rand(count - count // 2, 3, generator=chance) - 1) * BOX).numpy()
        distance = np.concatenate([np.zeros(len(on), np.float32), self.distance(index, off)])
        return torch.from_numpy(np.concatenate([on, off])), torch.from_numpy(distance)[:, None]

    def distance(self, index: int, places_N3: np.ndarray) -> np.ndarray:
        """(N,) float32 signed distances to the cloud."""
        points_N3, normals_N3 = self.clouds[index]
        tree = self._trees.setdefault(index, cKDTree(points_N3))
        return cloud_distance(points_N3, normals_N3, places_N3, tree)


class ShapeLearner(MoeLearner):
    """Every shape is one signal on one cell; its points differ from batch to batch."""

    def _cells(self, side: int) -> int:
        return 1

    def _look(self) -> None:
        """Points are drawn at each step."""

    def _step(self, step: int, k: int | None) -> tuple[Tensor, Batch, Tensor]:
        spec = self.spec
        rate = spec.rate * (falling(max(step / spec.steps, self._spent()), step) if spec.falling else 1)
        with self.products():
            batch, coords_SN3 = self.shapes(self._draw(step), step, k)
            field_SN = draw_each(self.banks[0], coords_SN3, batch.code_SK).float() + batch.constant_SC
        loss = 2 * fidelity(field_SN[:, :, None], batch, spec.loss) + penalty(batch, spec, k)
        self.moments.step(loss, rate)
        return loss.detach(), batch, field_SN.detach()[:, :, None]

    def shapes(self, numbers: list[int], step: int, k: int | None) -> tuple[Batch, Tensor]:
        """Points of some shapes (S, N, 3), and what the gate makes of those on the surface."""
        chance = torch.Generator().manual_seed((self.spec.seed * 1009 + 5) << 24 | step)
        assert isinstance(self.collection, Shapes) and isinstance(self.spec, ShapeSpec)
        drawn = [self.collection.sample(number, self.spec.points, chance) for number in numbers]
        coords = torch.stack([coords for coords, _ in drawn]).to(self.device)
        values = torch.stack([values for _, values in drawn]).to(self.device)
        if isinstance(self.gate, LookupGate):
            score_SK, constant_SC = self.gate(torch.tensor(numbers, device=self.device))
        else:
            half = self.spec.points // 2
            score_SK, constant_SC = self.gate(values[:, :half], coords[:, :half])
        score_SK = score_SK.float()
        weight_N = torch.ones(values.shape[1], device=values.device)
        code_SK = self.gate.code(score_SK, k)
        return Batch(coords[0], weight_N, values, score_SK, code_SK, constant_SC.float()), coords

    def _look_at(self, step: int) -> None:
        self.shapes(self._draw(step), step, None)

    def _judged(self) -> float | None:
        return None

    def _trained(self, batch: Batch, field_SNC: Tensor) -> float | None:
        return None


def draw_each(bank: Dictionary, coords_SN3: Tensor, code_SK: Tensor) -> Tensor:
    """(S, N): fields of codes, each at points of its own."""
    if bank.spec.heads == "own":
        pairs = zip(coords_SN3, code_SK, strict=True)
        return torch.stack([bank.field(coords_N3, code_K[:, None])[:, 0, 0] for coords_N3, code_K in pairs])
    features_SNF = bank.trunk(coords_SN3.flatten(0, 1)).unflatten(0, coords_SN3.shape[:2])
    head_SF = code_SK @ bank.head_KCF.flatten(1).to(code_SK)
    return (features_SNF @ head_SF.to(features_SNF)[:, :, None])[:, :, 0]


def open_data(
    data: Sequence[str], spec: Preset, *, recursive: bool, files_from: Path | None, warn: Callable[[str], None]
) -> Shapes:
    """The shapes to learn from: folders of meshes, meshes, or a ShapeNet folder with its split."""
    paths = [path for name in data for path in named_shapes(name, spec.synset, "train", warn, recursive)]
    if files_from is not None:
        paths += [Path(line) for line in files_from.read_text().splitlines() if line.strip()]
    if not paths:
        raise InputError("No meshes are given; name files or folders with --data.")
    sampled = [sample_mesh(path, spec.cloud, spec.seed) for path in paths]
    return Shapes([(points, normals) for points, normals, _ in sampled], [digest for _, _, digest in sampled])


def learner(spec: Preset, collection: Shapes, device: str, limit: float | None) -> ShapeLearner:
    """What learns the dictionary."""
    return ShapeLearner(spec.learn, collection, device, limit)


def save(path: Path, learner: ShapeLearner, preset: Preset, command: str, data_digest: str) -> Trained:
    """Write the finished dictionary. No clock enters the file."""
    model, level = learner.model.eval().requires_grad_(False), learner.level
    numbers = list(range(min(learner.train, 64)))
    with torch.no_grad():
        code_SK = learner.shapes(numbers, 0, level.spec.top_k)[0].code_SK.float()
    level.prior_mean_BK.copy_(code_SK.mean(0, keepdim=True))
    level.prior_variance_BK.copy_(code_SK.var(0, correction=0, keepdim=True))
    units, reach, count = "signed distance, longest side 1.8", (-2.0, 2.0), len(learner.collection)
    meta = described(
        preset, command, data_digest, count, psnr=math.nan, samples=len(numbers), units=units, value_range=reach
    )
    save_model(path, model, meta)
    used = used_and_even((code_SK != 0).sum(0))[0]
    bank = level.spec.dictionary
    return Trained(bank.experts, level.spec.top_k, rank(model), math.nan, learner.train, used)
