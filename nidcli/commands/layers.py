"""Values of options: flags win over `--config`, which wins over a preset; and groups of options as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import typer

from nidcli.errors import UsageError
from nidcli.structure import nearest

T = TypeVar("T")


def load_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Make the values of a YAML file the command's defaults, so that they are checked as flags are."""
    if path is None or ctx.resilient_parsing:
        return path
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path given to --config.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a YAML file ({' '.join(str(error).split())}); correct it.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} has no `option: value` lines; write it as such.")
    # An option is known by its flags and by its parameter: --dict is the parameter `dictionary`.
    known = {_key(flag): par.name or "" for par in ctx.command.params for flag in (*par.opts, par.name or "")}
    for key in map(_key, values):
        if key not in known:
            raise UsageError(f"{path} sets {key}, which {ctx.info_name} does not know{nearest(key, known)}.")
    ctx.default_map = {**(ctx.default_map or {}), **{known[_key(key)]: value for key, value in values.items()}}
    return path


def merge(ctx: typer.Context, preset: T) -> T:
    """A preset (a dataclass) with those fields replaced that the command line or --config gave as options."""
    given = {name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "DEFAULT") != "DEFAULT"}
    names = given & {field.name for field in fields(preset)}  # type: ignore[arg-type]
    return replace(preset, **{name: ctx.params[name] for name in names})  # type: ignore[type-var]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of its dataclass parameters as parameters of its own, which Typer understands."""
    hints, kind = get_type_hints(command, include_extras=True), inspect.Parameter.KEYWORD_ONLY
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        inner = get_type_hints(groups[name], include_extras=True) if name in groups else {}
        defaults = {f.name: f.default for f in fields(groups[name])} if inner else {name: parameter.default}
        for key, default in defaults.items():
            parameters.append(inspect.Parameter(key, kind, default=default, annotation=inner.get(key, hints[name])))

    def call(**values: object) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    vars(call)["__signature__"] = inspect.Signature(parameters)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _key(name: object) -> str:
    return str(name).lstrip("-").replace("-", "_")
