"""Frozen dataclasses <-> the plain values of JSON and YAML, with errors that name the key.

Understood: dataclasses (nested), tuples, Optional and other unions, Literal, bool, int, float, str. An int is taken
where a float is asked for, nothing else is converted. A missing key takes the field's default; an unknown one is an
error that suggests the nearest name; so is a value of the wrong type.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nidcli.errors import NidError

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Dataclasses become mappings, tuples lists; the rest must be None, bool, int, str or a finite float.

    Raises ValueError on anything else, since a file could not bring it back.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    raise ValueError(f"{value!r} ({type(value).__name__}) cannot be stored")


def from_plain(
    cls: type[T],
    plain: object,
    source: str,
    error: type[NidError],
    *,
    ignore_unknown: bool = False,
) -> T:
    """Build a `cls` from what a file holds.

    source : the file's name, for messages; error : the class to raise; ignore_unknown : skip keys that `cls` has not,
    as a reader of an older minor format must.
    """
    try:
        built: T = _Reader(ignore_unknown).read(cls, plain, "")
    except _Mismatch as mismatch:
        text = f"{source}: {mismatch}"
        raise error(text if text.endswith("?") else f"{text}.") from None
    return built


def nearest(word: str, names: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the name most like `word`, or nothing."""
    close = difflib.get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class _Mismatch(Exception):
    """A value does not fit its field; the message starts with the key."""


class _Reader:
    def __init__(self, ignore_unknown: bool) -> None:
        self.ignore_unknown = ignore_unknown

    def read(self, hint: Any, plain: object, key: str) -> Any:
        """`plain` as a value of the type `hint`; `key` is its dotted name."""
        origin = get_origin(hint)
        if is_dataclass(hint):
            return self._dataclass(hint, plain, key)
        if origin is tuple:
            return self._tuple(get_args(hint), plain, key)
        if origin in (Union, types.UnionType):
            return self._union(get_args(hint), plain, key)
        if origin is Literal:
            return _literal(get_args(hint), plain, key)
        if hint is float and type(plain) is int:
            return float(plain)
        if hint is types.NoneType and plain is None:
            return None
        if hint in (bool, int, float, str) and type(plain) is hint:
            if isinstance(plain, float) and not math.isfinite(plain):
                raise _Mismatch(f"{_of(key)} must be a finite number, not {plain}")
            return plain
        raise _Mismatch(f"{_of(key)} must be {_name(hint)}, not {_shown(plain)}")

    def _dataclass(self, cls: Any, plain: object, key: str) -> Any:
        if not isinstance(plain, Mapping):
            raise _Mismatch(f"{_of(key)} must be a mapping of keys, not {_shown(plain)}")
        hints, known = get_type_hints(cls), [field for field in fields(cls) if field.init]
        names = [field.name for field in known]
        for name in plain:
            if name not in names and not self.ignore_unknown:
                path = f"{key}.{name}" if key else str(name)
                raise _Mismatch(f"unknown key {path!r}{nearest(str(name), names) or _choices(names)}")
        values = {}
        for field in known:
            path = f"{key}.{field.name}" if key else field.name
            if field.name in plain:
                values[field.name] = self.read(hints[field.name], plain[field.name], path)
            elif field.default is MISSING and field.default_factory is MISSING:
                raise _Mismatch(f"key {path!r} is missing")
        try:
            return cls(**values)
        except (TypeError, ValueError) as wrong:  # the class's own check of its fields
            raise _Mismatch(f"{_of(key)}: {wrong}" if key else str(wrong)) from None

    def _tuple(self, hints: tuple[Any, ...], plain: object, key: str) -> tuple[Any, ...]:
        if not isinstance(plain, list | tuple):
            raise _Mismatch(f"{_of(key)} must be a list, not {_shown(plain)}")
        if len(hints) == 2 and hints[1] is Ellipsis:
            hints = hints[:1] * len(plain)
        if len(plain) != len(hints):
            raise _Mismatch(f"{_of(key)} must be a list of {len(hints)}, not of {len(plain)}")
        pairs = zip(hints, plain, strict=True)
        return tuple(self.read(hint, item, f"{key}[{i}]") for i, (hint, item) in enumerate(pairs))

    def _union(self, hints: tuple[Any, ...], plain: object, key: str) -> Any:
        if plain is None and types.NoneType in hints:
            return None
        kinds = [hint for hint in hints if hint is not types.NoneType]
        kinds.sort(key=lambda hint: hint is not type(plain))  # of int | float the one that needs no conversion
        reasons = []
        for hint in kinds:
            try:
                return self.read(hint, plain, key)
            except _Mismatch as mismatch:
                reasons.append(mismatch)
        if len(reasons) == 1:
            raise reasons[0]
        raise _Mismatch(f"{_of(key)} must be {' or '.join(map(_name, hints))}, not {_shown(plain)}")


def _literal(choices: tuple[Any, ...], plain: object, key: str) -> Any:
    for choice in choices:
        if choice == plain and type(choice) is type(plain):
            return choice
    hint = nearest(plain, map(str, choices)) if isinstance(plain, str) else ""
    raise _Mismatch(f"{_of(key)} must be one of {', '.join(map(repr, choices))}, not {_shown(plain)}{hint}")


def _of(key: str) -> str:
    return repr(key) if key else "the document"


def _choices(names: list[str]) -> str:
    return f"; known keys: {', '.join(names)}"


def _name(hint: Any) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: "null"}
    if hint in words:
        return words[hint]
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return "a list" if get_origin(hint) is tuple else "a mapping of keys"


def _shown(plain: object) -> str:
    shown = repr(plain)
    return shown if len(shown) <= 40 else shown[:37] + "..."
