"""Solids, clouds and a small dictionary for the tests of surfaces: analytic shapes, learned from in a second."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from nidcli.dictionary import DictionarySpec
from nidcli.files.clouds import Cloud
from nidcli.files.meshes import Mesh
from nidcli.model import LevelSpec, Model, ModelSpec
from nidcli.sdf.levels import make_level
from nidcli.sdf.spec import cell_samples

RADII = (0.9, 0.6)  # of the torus


def sphere_cloud(points: int, radius: float = 0.9, seed: int = 0) -> Cloud:
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(points, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Cloud(normals * radius, normals)


def normals_of(cloud: Cloud) -> np.ndarray:
    """Those of a cloud that has some."""
    assert cloud.normals_N3 is not None
    return cloud.normals_N3


def box_mesh(low: tuple[float, float, float] = (0, 0, 0), high: tuple[float, float, float] = (1, 1, 1)) -> Mesh:
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return Mesh(corners.astype(float), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))


def box_cloud(points: int, half: tuple[float, float, float] = (0.9, 0.5, 0.3), seed: int = 0) -> Cloud:
    """Evenly spread over the six sides."""
    rng = np.random.default_rng(seed)
    size = np.array(half)
    area = np.array([size[1] * size[2], size[0] * size[2], size[0] * size[1]])
    axis = rng.choice(3, points, p=area / area.sum())
    sign = rng.choice([-1.0, 1.0], points)
    spot = rng.uniform(-1, 1, (points, 3)) * size
    spot[np.arange(points), axis] = sign * size[axis]
    normals = np.zeros((points, 3))
    normals[np.arange(points), axis] = sign
    return Cloud(spot, normals)


def level_spec(cells: int) -> LevelSpec:
    bank = DictionarySpec(dims=3, channels=1, experts=64, hidden=64, frequencies=124, period=5.0)
    return LevelSpec(dictionary=bank, cells=cells, pixels=7, overlap=1.0, top_k=64, basis=64)


@lru_cache(maxsize=1)
def small_model() -> Model:
    """Two levels learned from planes, edges and corners of random directions, in units of a half cell."""
    model = Model(ModelSpec(kind="sdf", levels=(level_spec(4), level_spec(8))))
    rng = np.random.default_rng(0)
    for number in range(2):
        samples_N3 = cell_samples(model.level(number).spec).numpy()
        rows = []
        for _ in range(1500):
            axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            sides = samples_N3 @ axes + rng.uniform(-1.6, 1.6, 3)
            count = rng.integers(1, 4)
            rows.append(rng.choice([-1, 1]) * sides[:, :count].max(1))
        pieces = torch.nn.functional.pad(torch.tensor(np.stack(rows)), (0, 1), value=1.0)
        make_level(model.level(number), pieces.T @ pieces, 0, 0)
    return model.eval().requires_grad_(False)
