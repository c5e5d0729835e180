"""Presets and the converter between dataclasses and plain values, on dataclasses of the shapes that the package has."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nidcli.errors import ArtifactError, UsageError
from nidcli.kinds import prepare
from nidcli.presets import load_config, load_preset, preset_names
from nidcli.structure import from_plain, to_plain
from nidcli.training import Changes


@dataclass(frozen=True, kw_only=True)
class Bank:
    experts: int = 16
    heads: Literal["linear", "own"] = "linear"
    omega: float = 30.0

    def __post_init__(self) -> None:
        if self.experts < 1:
            raise ValueError(f"experts must be at least 1, not {self.experts}")


@dataclass(frozen=True, kw_only=True)
class Level:
    bank: Bank
    cells: int = 8
    shared: bool = True


@dataclass(frozen=True, kw_only=True)
class Gate:
    layers: tuple[int, ...] = (32, 64)


@dataclass(frozen=True, kw_only=True)
class Whole:
    kind: str
    levels: tuple[Level, ...]
    gate: Gate | None = None
    limit: int | float | None = None
    value_range: tuple[float, float] = (0.0, 1.0)


numbers = st.floats(allow_nan=False, allow_infinity=False)
banks = st.builds(Bank, experts=st.integers(1), heads=st.sampled_from(["linear", "own"]), omega=numbers)
levels = st.builds(Level, bank=banks, cells=st.integers(), shared=st.booleans())
wholes = st.builds(
    Whole,
    kind=st.text(),
    levels=st.lists(levels, max_size=3).map(tuple),
    gate=st.none() | st.builds(Gate, layers=st.lists(st.integers(), max_size=3).map(tuple)),
    limit=st.none() | st.integers() | numbers,
    value_range=st.tuples(numbers, numbers),
)


def read(plain: object) -> Whole:
    return from_plain(Whole, plain, "some.yaml", UsageError)


def message(plain: object) -> str:
    with pytest.raises(UsageError) as caught:
        read(plain)
    return str(caught.value)


@given(wholes)
def test_json_brings_every_dataclass_back(whole: Whole):
    back = read(json.loads(json.dumps(to_plain(whole))))
    assert back == whole
    assert type(back.limit) is type(whole.limit)


@given(wholes)
def test_yaml_brings_every_dataclass_back(tmp_path: Path, whole: Whole):
    path = tmp_path / "whole.yaml"
    path.write_text(yaml.safe_dump(to_plain(whole)))
    assert load_config(path, Whole) == whole


def test_an_int_may_stand_for_a_float_and_nothing_else_is_converted():
    assert read({"kind": "image", "levels": [], "value_range": [0, 2]}).value_range == (0.0, 2.0)
    assert "must be a whole number, not True" in message({"kind": "x", "levels": [{"bank": {"experts": True}}]})
    assert "must be a whole number, not 3.0" in message({"kind": "x", "levels": [{"bank": {"experts": 3.0}}]})
    assert "must be a text, not 3" in message({"kind": 3, "levels": []})
    assert "must be true or false, not 1" in message({"kind": "x", "levels": [{"bank": {}, "shared": 1}]})


def test_an_unknown_key_is_an_error_that_names_file_and_key_and_suggests():
    text = message({"kind": "image", "levels": [{"bank": {"expert": 4}}]})
    assert text == "some.yaml: unknown key 'levels[0].bank.expert'; did you mean 'experts'?"
    assert "known keys: kind, levels" in message({"kind": "image", "levels": [], "zzzz": 1})


def test_a_wrong_value_is_an_error_that_names_its_key():
    assert "'levels[0].bank.heads' must be one of 'linear', 'own', not 'lineal'; did you mean 'linear'?" in message(
        {"kind": "x", "levels": [{"bank": {"heads": "lineal"}}]}
    )
    assert "'levels[0].bank': experts must be at least 1, not 0" in message(
        {"kind": "x", "levels": [{"bank": {"experts": 0}}]}
    )
    assert "'limit' must be a whole number or a number or null, not 'big'" in message(
        {"kind": "x", "levels": [], "limit": "big"}
    )
    assert "'gate.layers' must be a list" in message({"kind": "x", "levels": [], "gate": {"layers": 3}})
    assert "'value_range' must be a list of 2, not of 3" in message(
        {"kind": "x", "levels": [], "value_range": [0, 1, 2]}
    )
    assert "must be a finite number" in message({"kind": "x", "levels": [], "value_range": [0, float("nan")]})
    assert "key 'levels' is missing" in message({"kind": "x"})
    assert "must be a mapping of keys" in message([1])


def test_a_newer_minor_format_may_have_more_keys():
    plain = {"kind": "x", "levels": [], "later": 1}
    assert from_plain(Whole, plain, "f", ArtifactError, ignore_unknown=True) == Whole(kind="x", levels=())


def test_what_a_file_could_not_bring_back_is_not_stored():
    for value in (Bank(omega=float("nan")), object(), {1, 2}, b"x"):
        with pytest.raises(ValueError, match="cannot be stored"):
            to_plain(value)


def test_a_config_is_laid_over_a_preset_key_by_key(tmp_path: Path):
    base = Level(bank=Bank(experts=5, heads="own"), cells=3)
    path = tmp_path / "mine.yaml"
    path.write_text("bank: {omega: 1e-3}\n")
    assert load_config(path, Level, base) == dataclasses.replace(base, bank=dataclasses.replace(base.bank, omega=1e-3))
    path.write_text("# nothing\n")
    assert load_config(path, Level, base) == base


def test_yaml_that_would_be_misread_is_refused(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    for text, reason in (
        ("experts: 3\nexperts: 4\n", "'experts' is given twice"),
        ("experts: [", "not valid YAML"),
        ("experts: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("- 1\n", "must be a mapping"),
        ("experts: 4\n---\nexperts: 5\n", "not valid YAML"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=reason) as caught:
            load_config(path, Bank)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"experts: \xff")
    with pytest.raises(UsageError, match="UTF-8"):
        load_config(path, Bank)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.yaml", Bank)


def test_presets_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nidcli.presets._folder", lambda: tmp_path)
    (tmp_path / "face.yaml").write_text("experts: 7\n")
    assert preset_names() == ("face",)
    assert load_preset("face", Bank) == Bank(experts=7)
    with pytest.raises(UsageError, match=r"no preset 'fase'; did you mean 'face'\? \(there are face\)"):
        load_preset("fase", Bank)


def test_the_presets_of_the_checkout_are_the_ones_found(repository: Path):
    assert set(preset_names()) == {path.stem for path in (repository / "presets").glob("*.yaml")}


@pytest.mark.parametrize(("kind", "told"), [("imgae", "did you mean 'image'"), ("3", "ct, sdf, video")])
def test_a_kind_that_is_not_learned_from_collections_is_refused_in_a_sentence(kind: str, told: str):
    with pytest.raises(UsageError, match=told):
        prepare(kind, None, None, Changes())


@pytest.mark.parametrize("name", ["phantom", "chest"])
def test_the_encoder_of_slices_halves_down_to_a_cell(name: str):
    _, spec = prepare(None, name, None, Changes())
    encoder, finest = spec.model.encoder, spec.model.levels[-1]
    assert encoder.fold * 2**encoder.depth == finest.pixels
    assert finest.orthonormal + finest.dictionary.channels == finest.pixels**2  # a cell's basis is complete
