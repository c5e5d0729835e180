"""The checkpoint of the paper's published code (VITA-Group/Neural-Implicit-Dict) as a dictionary of ours.

What it holds: `{"model": tensors by name, "optimizer": ..., "current_epoch": n}`, of which the model is taken.

    experts.map.B                       Gaussian frequencies, (E / 2, 2), of (row, column); features are (sin, cos)
    experts.net.net.N.0.weight, .bias   linear maps with a relu after each but the last, which holds all heads (K C, H)
    gate_generator.convs.*, .fc.*       the CNN gate: (K + C) outputs, not divided by their norm
    gate_generator.codebook.weight      or a lookup table, which says nothing about other images and is left out

Their grid has its first and last sample at -1 and 1, ours its pixels' centres at (2 i + 1) / n - 1: theirs = ours
n / (n - 1). Heads have a bias there; a feature that is always one (a unit without weights and with bias 1 in the last
layer, zero in those before) carries it here. Both draw the same field, up to the rounding of float32.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nidcli.dictionary import DictionarySpec
from nidcli.errors import ArtifactError, InputError
from nidcli.model import LevelSpec, Model, ModelSpec
from nidcli.moe.gates import MoeGateSpec

KEYS = {"model", "optimizer", "current_epoch"}
PIXELS = 16  # a side of a patch where the checkpoint does not tell
_MAP, _NET = "experts.map.B", re.compile(r"experts\.net\.net\.(\d+)\.0\.weight")
_FIXED = {
    "convs.conv_theta": "encoder.stem.0",
    "convs.cnn.0": "encoder.stem.1",
    "convs.fc": "encoder.position",
    "fc": "heads.0",
}


@dataclass(frozen=True)
class Converted:
    """A model, and what was left behind: dropped names of parts, epochs that it was trained for."""

    model: Model
    dropped: tuple[str, ...]
    epochs: int


def convert(path: Path, top_k: int) -> Converted:
    """Read a published checkpoint. Nothing but tensors and numbers is ever built from it.

    Raises InputError where there is no file, ArtifactError for anything that is not such a checkpoint.
    """
    plain = _load(path)
    state = plain["model"]
    epoch = plain.get("current_epoch", 0)
    dropped = tuple(name for name in ("optimizer",) if name in plain)
    if "gate_generator.codebook.weight" in state:
        dropped += ("lookup table",)
    with torch.random.fork_rng(devices=[]):
        model = Model(_spec(path, state, top_k))
    try:
        model.load_state_dict(_ours(model, state, path))
    except RuntimeError as wrong:
        raise _foreign(path, " ".join(str(wrong).split())[:200]) from None
    return Converted(model.eval().requires_grad_(False), dropped, epoch if type(epoch) is int else 0)


def _load(path: Path) -> Mapping[str, Mapping[str, Tensor]]:
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path.") from None
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ):
        raise _foreign(path, "it holds more than tensors, or is no checkpoint at all") from None
    if not isinstance(plain, Mapping) or not isinstance(plain.get("model"), Mapping):
        raise _foreign(path, "it has no `model`")
    unknown = sorted(map(str, plain.keys() - KEYS))
    if unknown:
        raise _foreign(path, f"it has an unknown part {unknown[0]!r}")
    for name, tensor in plain["model"].items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise _foreign(path, f"{name!r} in its model is no tensor of floats")
        if not bool(tensor.isfinite().all()):
            raise _foreign(path, f"tensor {name!r} has values that are not finite")
    return plain


def _spec(path: Path, state: Mapping[str, Tensor], top_k: int) -> ModelSpec:
    """All sizes, from the shapes of the tensors."""
    numbers = sorted(int(found[1]) for name in state if (found := _NET.fullmatch(name)))
    if _MAP not in state or len(numbers) < 2 or numbers != list(range(len(numbers))):
        raise _foreign(path, "it has no experts on Gaussian frequencies")
    heads = state[f"experts.net.net.{numbers[-1]}.0.weight"]
    hidden = state["experts.net.net.0.0.weight"].shape[0]
    table = state.get("gate_generator.codebook.weight")
    outputs = state.get("gate_generator.fc.weight") if table is None else table.T
    if outputs is None or state[_MAP].ndim != 2 or state[_MAP].shape[1] != 2 or heads.ndim != 2:
        raise _foreign(path, "it has no gate, or its experts are not on the plane")
    fits = [c for c in (1, 2, 3, 4) if heads.shape[0] % c == 0 and heads.shape[0] // c + c == outputs.shape[0]]
    if not fits:
        raise _foreign(path, f"{heads.shape[0]} heads and {outputs.shape[0]} gates do not fit together")
    channels, experts = fits[0], heads.shape[0] // fits[0]
    gate, pixels = (None, PIXELS) if table is not None else _gate_spec(path, state)
    bank = DictionarySpec(
        channels=channels,
        experts=experts,
        hidden=hidden + 1,
        layers=len(numbers) - 1,
        activated=True,
        embedding="gaussian",
        frequencies=2 * len(state[_MAP]),
    )
    level = LevelSpec(dictionary=bank, pixels=pixels, overlap=1 / pixels, top_k=min(top_k, experts), basis=0)
    return ModelSpec(levels=(level,), moe=gate)


def _gate_spec(path: Path, state: Mapping[str, Tensor]) -> tuple[MoeGateSpec, int]:
    """The gate, and the side of the patches that it looks at."""
    names = ("convs.conv_theta.weight", "convs.cnn.0.weight", "convs.cnn.2.convs.0.weight", "convs.fc.weight")
    found = [state.get(f"gate_generator.{name}") for name in names]
    if any(tensor is None for tensor in found):
        raise _foreign(path, "its gate is neither the residual CNN nor a lookup table")
    theta, first, block, position = (tensor for tensor in found if tensor is not None)
    blocks = {name.split(".")[3] for name in state if re.match(r"gate_generator\.convs\.cnn\.\d+\.convs\.", name)}
    gate = MoeGateSpec(
        width=first.shape[0],
        stem=theta.shape[0],
        blocks=len(blocks),
        kernel=block.shape[-1],
        halve=0,
        pool="position",
        centred=False,
        normalise=False,
    )
    return gate, math.isqrt(position.shape[-1])


def _ours(model: Model, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Their tensors under our names. Raises ArtifactError for those that have no place."""
    left, mine = dict(state), dict(model.state_dict())
    level = model.spec.levels[0]
    bank, n = level.dictionary, level.pixels
    trunk, half = "levels.0.banks.0.trunk", bank.frequencies // 2
    mine[f"{trunk}.wave_DE"] = (left.pop(_MAP).double().flip(1).T * n / (n - 1)).float()
    for number in range(bank.layers):
        weight, bias = (left.pop(f"experts.net.net.{number}.0.{part}").float() for part in ("weight", "bias"))
        if number == 0:
            weight = torch.cat([weight[:, half:], weight[:, :half]], 1)
        wide = torch.nn.functional.pad(weight, (0, 0 if number == 0 else 1, 0, 1))
        last = number == bank.layers - 1
        mine[f"{trunk}.maps.{number}.weight"] = wide
        mine[f"{trunk}.maps.{number}.bias"] = torch.cat([bias, torch.full((1,), float(last))])
    weight, bias = (left.pop(f"experts.net.net.{bank.layers}.0.{part}").float() for part in ("weight", "bias"))
    heads_KCF = torch.cat([weight, bias[:, None]], 1).view(bank.experts, bank.channels, -1)
    mine["levels.0.banks.0.head_KCF"] = heads_KCF
    left.pop("gate_generator.codebook.weight", None)
    for name in list(left):
        part, _, leaf = name.removeprefix("gate_generator.").rpartition(".")
        mine[f"moe.{_gate_name(part, model)}.{leaf}"] = left.pop(name).float()
    unknown = sorted(mine.keys() - model.state_dict().keys())
    if unknown:
        raise _foreign(path, f"its tensor {unknown[0].removeprefix('moe.')!r} has no place in the model")
    return mine


def _gate_name(part: str, model: Model) -> str:
    """Our name of a part of their CNN gate; blocks are numbered from 2 there."""
    if part in _FIXED:
        return _FIXED[part]
    blocks = model.spec.moe.blocks if model.spec.moe else 0
    if found := re.fullmatch(r"convs\.cnn\.(\d+)\.convs\.([02])", part):
        return f"encoder.blocks.{int(found[1]) - 2}.convs.{int(found[2]) // 2}"
    return "encoder.tail" if part == f"convs.cnn.{blocks + 2}" else part


def _foreign(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{path} is not a checkpoint of the published image experiments ({why}); give such a .ckpt.")
