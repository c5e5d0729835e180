"""How `learn-dict --kind ct` learns: from slices of files, or from random phantoms; see `nidcli.kinds.Teaching`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from nidcli.errors import UsageError
from nidcli.files.collections import PhotoCollection
from nidcli.files.slices import SliceScale, open_slices, phantom_count
from nidcli.learn import Learner
from nidcli.phantoms import random_phantom
from nidcli.training import Changes, Learned
from nidcli.training import Preset as PhotoPreset
from nidcli.training import adjusted as photo_adjusted
from nidcli.training import learner as learner
from nidcli.training import plan as plan
from nidcli.training import save as photo_save

UNITS = {
    "attenuation": "attenuation, relative",
    "hu": "attenuation, (HU + 1000) / 2000",
}


@dataclass(frozen=True, kw_only=True)
class Preset(PhotoPreset):
    """A preset of slices. scale : what the numbers of files mean."""

    scale: SliceScale = field(default_factory=SliceScale)


class Slices(Protocol):
    """What is asked of a preset to open slices."""

    @property
    def scale(self) -> SliceScale:
        """What the numbers of files mean."""
        ...

    @property
    def seed(self) -> int:
        """Of random phantoms."""
        ...

    @property
    def size(self) -> int:
        """Pixels a side."""
        ...


class Phantoms:
    """`phantoms:N`: random phantoms of a seed, drawn when they are asked for."""

    def __init__(self, count: int, seed: int, size: int) -> None:
        self.count, self.seed, self.size = count, seed, size

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """phantom INDEX."""
        return f"phantom {index}"

    def pixels(self, index: int) -> np.ndarray:
        """(size, size, 1) float32 in 0 ... 1."""
        return random_phantom(self.seed, index, self.size)[:, :, None]

    def feed(self, update: Callable[[bytes], None]) -> None:
        """What they follow from."""
        update(hashlib.sha256(f"phantoms {self.count} {self.seed} {self.size}".encode()).digest())


def adjusted(preset: Preset, changes: Changes) -> Preset:
    """The preset with what the command line changes. Raises UsageError for what slices cannot be learned with."""
    spec = photo_adjusted(preset, changes)
    assert isinstance(spec, Preset)
    first, finest = spec.model.levels[0], spec.model.levels[-1]
    if spec.model.kind != "ct" or any(level.dictionary.channels != 1 for level in spec.model.levels):
        raise UsageError("Slices have one channel; give a preset with kind: ct and channels: 1.")
    if first.cells != 1 or not finest.cells or finest.cells * finest.pixels != spec.size:
        raise UsageError(
            f"Slices of {spec.size} pixels need a first level of one cell, and a last whose cells x pixels are "
            f"{spec.size}; change size, cells or pixels."
        )
    return spec


def open_data(
    data: Sequence[str],
    spec: Slices,
    *,
    recursive: bool,
    files_from: Path | None,
    warn: Callable[[str], None],
) -> PhotoCollection:
    """The slices to learn from."""
    counts = [phantom_count(argument) for argument in data]
    phantoms = [Phantoms(count, spec.seed, spec.size) for count in counts if count is not None]
    named = [argument for argument, count in zip(data, counts, strict=True) if count is None]
    return open_slices(named, spec.scale, more=phantoms, recursive=recursive, files_from=files_from, warn=warn)


def save(path: Path, learner: Learner, preset: Preset, command: str, data_digest: str) -> Learned:
    """Measure the finished dictionary on held-out slices and write it, in half precision: its codes are a means."""
    return photo_save(path, learner, preset, command, data_digest, units=UNITS[preset.scale.units], always_half=True)
