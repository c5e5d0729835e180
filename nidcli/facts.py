"""What `nid info` tells of a file, as dataclasses whose fields are the keys of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nidcli.artifacts import Metric, Provenance, load_model
from nidcli.codefile import DictionaryRef, Source, load_codes
from nidcli.errors import InputError, UsageError
from nidcli.files.image_writing import write_image
from nidcli.files.inputs import CODES, Input
from nidcli.outcome import Item, keys_of
from nidcli.report import coherence, contact_sheet, rank


@dataclass(frozen=True)
class LevelFacts:
    """One level. cells : a side, 0 as many as a photo needs; pixels : samples a side of a cell where it was learned."""

    experts: int
    top_k: int
    cells: int
    pixels: int
    overlap: float
    channels: int
    hidden: int
    embedding: str
    heads: str


@dataclass(frozen=True)
class DictionaryFacts:
    """A `.nid`. rank and coherence : see `report`; parameters : numbers that were learned; bytes : on disk."""

    kind: str
    experts: int  # of all levels
    rank: object
    coherence: object
    parameters: int
    bytes: int
    fingerprint: str
    units: str
    value_range: tuple[float, float]
    licence: str
    levels: tuple[LevelFacts, ...]
    metrics: tuple[Metric, ...]
    code_samples: int
    provenance: Provenance


@dataclass(frozen=True)
class CodeFacts:
    """A `.nidc`. cells : (columns, rows) of each level; pitch : pixels a side of a finest cell; bytes : on disk."""

    kind: str
    width: int
    height: int
    cells: tuple[tuple[int, int], ...]
    pitch: int
    coefficients: int
    bytes: int
    dictionary: DictionaryRef
    source: Source


def read(item: Input, atoms: Path | None = None) -> DictionaryFacts | CodeFacts:
    """The facts of a file; `atoms` is where a contact sheet of the dictionary is to go.

    Raises InputError, ArtifactError, and UsageError where a code file is asked for its atoms.
    """
    if item.problem:
        raise InputError(item.problem)
    is_code = item.path.suffix.lower() in CODES
    if is_code and atoms is not None:
        raise UsageError(f"{item.path} is a code file and has no atoms; name a dictionary.")
    return _codes(item.path) if is_code else _dictionary(item.path, atoms)


def text(item: Item) -> str:
    """The facts of an item as lines for people: the file, then a key and a value a line."""
    return "\n".join([item.input, *_lines(keys_of(item.report), 1)])


def _codes(path: Path) -> CodeFacts:
    file = load_codes(path)
    code, cells = file.code, tuple(level.cells for level in file.code.levels)
    numbers = (code.pitch, code.coefficients, file.size)
    return CodeFacts("codes", code.width, code.height, cells, *numbers, file.dictionary, file.source)


def _dictionary(path: Path, atoms: Path | None) -> DictionaryFacts:
    artifact = load_model(path)
    model, meta = artifact.model, artifact.meta
    if atoms is not None:
        write_image(atoms, contact_sheet(model))
    levels = []
    for level in model.spec.levels:
        bank = level.dictionary
        size = (bank.experts, level.top_k, level.cells, level.pixels, level.overlap)
        levels.append(LevelFacts(*size, bank.channels, bank.hidden, bank.embedding, bank.heads))
    return DictionaryFacts(
        kind=model.spec.kind,
        experts=sum(level.experts for level in levels),
        rank=rank(model),
        coherence=coherence(model),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes=artifact.size,
        fingerprint=artifact.fingerprint,
        units=meta.units,
        value_range=meta.value_range,
        licence=meta.licence,
        levels=tuple(levels),
        metrics=meta.metrics,
        code_samples=meta.code_samples,
        provenance=meta.provenance,
    )


def _lines(keys: Mapping[str, object], depth: int) -> Iterator[str]:
    for key, value in keys.items():
        label = "  " * depth + key
        parts = value if isinstance(value, list) else [value]
        groups = [part for part in parts if isinstance(part, dict)]
        for number, group in enumerate(groups, 1):
            if key == "metrics":
                yield f"{'  ' * depth + group['name']:<22}{_shown(group['value'])}"
            else:
                yield label if len(groups) == 1 else f"{label} {number}"
                yield from _lines(group, depth + 1)
        if not groups and value not in (None, "", []):
            yield f"{label:<22}{_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(" x ".join(map(str, part)) if isinstance(part, list) else _shown(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
