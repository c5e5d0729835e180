"""Presets and configuration files: YAML -> frozen dataclasses; an unknown key is an error with a suggestion.

A preset is `presets/NAME.yaml` of the repository, which installs as `nidcli/preset_files/NAME.yaml`. A configuration
file has the same keys and is laid over a preset: mappings are merged key by key, everything else is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml

from nidcli.errors import UsageError
from nidcli.structure import from_plain, nearest, to_plain

T = TypeVar("T")


def preset_names() -> tuple[str, ...]:
    """Names of the presets that the package brings."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def load_preset(name: str, cls: type[T]) -> T:
    """The preset of that name as a `cls`. Raises UsageError naming the preset and the key."""
    names = preset_names()
    if name not in names:
        hint = nearest(name, names)
        raise UsageError(f"there is no preset {name!r}{hint} (there are {', '.join(names) or 'none'}).")
    return load_config(_folder() / f"{name}.yaml", cls)


def kind_of(path: Path | str) -> str | None:
    """The kind of signal that a preset's NAME or a configuration FILE is for, None where it does not say."""
    plain = _read(_folder() / f"{path}.yaml" if path in preset_names() else path)
    model = plain.get("model") if isinstance(plain, Mapping) else None
    kind = model.get("kind") if isinstance(model, Mapping) else None
    return kind if isinstance(kind, str) else None


def method_of(path: Path | str) -> str | None:
    """The method that a preset's NAME or a configuration FILE is for, None where it does not say."""
    plain = _read(_folder() / f"{path}.yaml" if path in preset_names() else path)
    method = plain.get("method") if isinstance(plain, Mapping) else None
    return method if isinstance(method, str) else None


def load_config(path: Path | str, cls: type[T], base: T | None = None) -> T:
    """A configuration file as a `cls`; keys that it does not name are those of `base`, or else `cls`'s defaults.

    Raises UsageError naming the file and the key.
    """
    plain = _read(path)
    return from_plain(cls, plain if base is None else _merged(to_plain(base), plain), str(path), UsageError)


def _read(path: Path | str) -> object:
    try:
        with open(path, encoding="utf-8") as file:
            plain: object = yaml.load(file, _Loader)  # a SafeLoader: it makes plain values only
    except (OSError, UnicodeDecodeError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) and wrong.strerror else "it is not a text in UTF-8"
        raise UsageError(f"{path} cannot be read: {reason}.") from None
    except yaml.YAMLError as wrong:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(wrong).split())}.") from None
    return {} if plain is None else plain


def _folder() -> Path:
    """Where presets lie: inside an installed package, or beside it in a checkout."""
    package = Path(str(files("nidcli")))
    installed = package / "preset_files"
    return installed if installed.is_dir() else package.parent / "presets"


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


class _Loader(yaml.SafeLoader):
    """YAML as people expect it: 1e-3 is a number, and a key given twice is an error, not the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes 1e-3 for a text since it has no point
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
