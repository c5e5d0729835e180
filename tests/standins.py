"""Models and codes of the shapes that the package has, small, so that tests of files say what files ask of them."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from nidcli.artifacts import DictionaryRef, Metadata, Metric, Provenance, Source, save_codes
from nidcli.codes import ImageCode, LevelCode, SparseCode


@dataclass(frozen=True, kw_only=True)
class DictionarySpec:
    experts: int
    hidden: int = 4
    embedding: Literal["fourier", "siren"] = "fourier"

    def __post_init__(self) -> None:
        if self.experts < 1:
            raise ValueError("experts must be at least 1")


@dataclass(frozen=True, kw_only=True)
class LevelSpec:
    dictionary: DictionarySpec
    overlap: float = 0.5


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    kind: str
    levels: tuple[LevelSpec, ...]


class Model(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        sizes = [(level.dictionary.experts, level.dictionary.hidden) for level in spec.levels]
        self.heads = nn.ParameterList(torch.randn(size) for size in sizes)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("derived", torch.ones(3), persistent=False)


SPEC = ModelSpec(
    kind="image",
    levels=(
        LevelSpec(dictionary=DictionarySpec(experts=6)),
        LevelSpec(dictionary=DictionarySpec(experts=3), overlap=0),
    ),
)
META = Metadata(
    licence="CC0",
    code_samples=50,
    metrics=(Metric("psnr", 31.25), Metric("ssim", 0.9)),
    provenance=Provenance(command="nid learn-dict --data PATH", seed=7, data_count=3, data_attribution="J. Müller"),
)
REF = DictionaryRef("face", "ab" * 32, (6,))
REF_4096 = DictionaryRef("face", "ab" * 32, (4096,))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("nidcli.model")
    module.Model, module.ModelSpec = Model, ModelSpec
    monkeypatch.setitem(sys.modules, "nidcli.model", module)


def model(seed: int = 0, spec: ModelSpec = SPEC) -> Any:
    torch.manual_seed(seed)
    return Model(spec)


def small_code() -> ImageCode:
    index_SJ = torch.tensor([[0, 5, 2], [1, 0, 0]])
    value_SJ = torch.tensor([[0.5, -1.25, 0.0], [0.0, 2.0, 0.0]])
    return ImageCode(32, 16, 16, (LevelCode((2, 1), SparseCode(index_SJ, value_SJ, torch.tensor([[0.1], [0.2]]))),))


def write_small(path: Path) -> bytes:
    save_codes(path, small_code(), REF, Source())
    return path.read_bytes()
