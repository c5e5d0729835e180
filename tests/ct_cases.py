"""A dictionary of slices that has learned nothing, and scans of a phantom: what the tests of `ct-recon` share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nidcli.artifacts import Metadata, save_model
from nidcli.ct.geometry import Geometry
from nidcli.ct.scanner import Scanner
from nidcli.dictionary import DictionarySpec
from nidcli.encoder import EncoderSpec
from nidcli.model import LevelSpec, Model, ModelSpec
from nidcli.phantoms import random_phantom

SIDE = 32


def tiny_spec() -> ModelSpec:
    bank = DictionarySpec(channels=1, experts=24, hidden=24, frequencies=40)
    whole = LevelSpec(dictionary=bank, cells=1, pixels=16, overlap=0, top_k=4, basis=24)
    cells = LevelSpec(dictionary=bank, cells=4, pixels=8, overlap=0.125, top_k=4, basis=24)
    encoder = EncoderSpec(inputs=5, channels=1, width=8, depth=1, fold=2)
    return ModelSpec(kind="ct", levels=(whole, cells), encoder=encoder)


def tiny_model() -> Model:
    """Untrained: its encoder answers with what it sees first, and its prior is a Gaussian of unit variances."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(tiny_spec()).eval().requires_grad_(False)
    for number in range(2):
        model.level(number).prior_variance_BK.fill_(0.01)
    return model


def tiny_file(path: Path) -> Path:
    save_model(path, tiny_model(), Metadata())
    return path


def phantom(number: int = 0, size: int = SIDE) -> np.ndarray:
    return random_phantom(1, number, size)


def scan_of(picture: np.ndarray, views: int, turn: float = 180.0) -> np.ndarray:
    """(views, bins) float32 line integrals, by the project's convention."""
    n = len(picture)
    angles = tuple(turn * view / views for view in range(views))
    scanner = Scanner.of(Geometry(size=n, angles_V=angles, bins=n))
    return scanner.forward(torch.from_numpy(picture).reshape(-1, 1)).view(views, n).numpy()
