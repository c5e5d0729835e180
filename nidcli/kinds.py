"""Kinds of signals that `learn-dict` learns: where each is taught."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from nidcli.errors import UsageError
from nidcli.presets import kind_of, load_config, load_preset, method_of, preset_names
from nidcli.structure import nearest

# Kind: the module that teaches it, which looks like Teaching, and the preset it starts from.
KINDS = {
    "image": ("nidcli.training", "image"),
    "ct": ("nidcli.ct.teaching", "phantom"),
    "sdf": ("nidcli.sdf.teaching", "shapenet-like"),
    "video": ("nidcli.video.teaching", "video"),
}
# Kind and method other than `solve`: likewise.
METHODS = {
    ("image", "moe"): ("nidcli.moe.training", "moe"),
    ("ct", "moe"): ("nidcli.moe.slices", "shepp-logan-small"),
    ("sdf", "moe"): ("nidcli.moe.shapes", "shapenet-chair-small"),
}


class Teaching(Protocol):
    """What the module of a kind offers. Types are its own: a preset that it reads is what it is handed back."""

    __name__: str
    Preset: type[Any]

    def adjusted(self, preset: Any, changes: Any) -> Any:
        """The preset with what the command line changes."""
        ...

    def open_data(
        self, data: Sequence[str], spec: Any, *, recursive: bool, files_from: Path | None, warn: Callable[[str], None]
    ) -> Any:
        """The collection to learn from; its `digest` says what it holds."""
        ...

    def learner(self, spec: Any, collection: Any, device: str, limit: float | None) -> Any:
        """A `nidcli.learn.Learner`, or what does as it does: spec, place, held, limit, run, state, restore."""
        ...

    def plan(self, learner: Any, budget: int) -> Any:
        """What a dry run tells."""
        ...

    def save(self, path: Path, learner: Any, preset: Any, command: str, data_digest: str) -> Any:
        """Measure the finished dictionary, write it, and return the keys of the report."""
        ...


def teaching(kind: str, method: str = "solve") -> tuple[Teaching, str]:
    """The module of a kind and method, and the preset it starts from. Raises UsageError for an unknown one."""
    if method != "solve":
        kinds = [known for known, way in METHODS if way == method]
        if kind not in kinds:
            raise UsageError(f"--method {method} is for --kind {' or '.join(kinds)}, not for {kind}; leave it out.")
        name, preset = METHODS[kind, method]
    elif kind in KINDS:
        name, preset = KINDS[kind]
    else:
        raise UsageError(f"--kind {kind} is unknown{nearest(kind, KINDS)} (there are {', '.join(KINDS)}).")
    module: Teaching = importlib.import_module(name)
    return module, preset


def prepare(
    kind: str | None, preset: str | None, config: Path | None, changes: Any, method: str | None = None
) -> tuple[Teaching, Any]:
    """Who teaches, and the preset with the configuration file above it and the changes above both.

    The kind and the method are those of the preset, or else what is asked for, or else what the file says, or else
    image and solve. Raises UsageError where they do not agree.
    """
    if preset in preset_names():
        theirs = kind_of(preset) or "image"
        if kind not in (None, theirs):
            raise UsageError(f"--preset {preset} is for --kind {theirs}, not for {kind}; leave one out.")
        way = method_of(preset) or "solve"
        if method not in (None, way):
            raise UsageError(f"--preset {preset} is for --method {way}, not for {method}; leave one out.")
        kind, method = theirs, way
    kind = kind or (kind_of(config) if config else None) or "image"
    method = method or (method_of(config) if config else None) or "solve"
    taught, default = teaching(kind, method)
    spec = load_preset(preset or default, taught.Preset)
    if config is not None:
        spec = load_config(config, taught.Preset, spec)
    return taught, taught.adjusted(spec, changes)
