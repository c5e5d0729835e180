"""`.nid` files: a model comes back with all that is known about it, and codes only meet the dictionary they name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nidcli import artifacts, container
from nidcli.artifacts import (
    Artifact,
    CodeFile,
    DictionaryRef,
    Metadata,
    Source,
    check_dictionary,
    dictionary_path,
    load_model,
    save_model,
    without_paths,
)
from nidcli.errors import ArtifactError, OutputError, UsageError
from nidcli.structure import to_plain
from standins import META, REF, SPEC, ModelSpec, model, small_code, stand_in, write_small

__all__ = ["stand_in"]  # a fixture that every test here uses


def test_a_model_comes_back_with_its_metadata(tmp_path: Path):
    before = model()
    fingerprint = save_model(tmp_path / "d.nid", before, META)
    state = torch.get_rng_state()
    back = load_model(tmp_path / "d.nid")
    assert torch.equal(state, torch.get_rng_state())
    assert isinstance(back, Artifact)
    assert to_plain(back.model.spec) == to_plain(SPEC)
    assert back.model.state_dict().keys() == before.state_dict().keys()
    for name, tensor in before.state_dict().items():
        assert torch.equal(back.model.state_dict()[name], tensor)
    assert not any(p.requires_grad for p in back.model.parameters())
    assert not back.model.training
    assert (back.meta, back.fingerprint, back.name) == (META, fingerprint, "d")
    assert back.meta.metric("psnr") == 31.25
    assert back.meta.metric("chamfer") is None
    assert back.reference == DictionaryRef("d", fingerprint, (6, 3))


def test_half_precision_stores_every_float_but_those_named(tmp_path: Path):
    before = model()
    save_model(tmp_path / "d.nid", before, META, half=True, keep_float32=["heads.1"])
    dtypes = {k: v.dtype for k, v in container.read_sealed(tmp_path / "d.nid", "dictionary").tensors.items()}
    assert dtypes["heads.0"] == dtypes["scale"] == np.float16
    assert dtypes["heads.1"] == np.float32
    assert dtypes["steps"] == np.int64
    back: Any = load_model(tmp_path / "d.nid").model
    assert torch.equal(back.heads[0], before.heads[0].half().float())
    assert torch.equal(back.heads[1], before.heads[1])


def test_what_float16_cannot_hold_keeps_float32(tmp_path: Path):
    before = model()
    before.scale.fill_(1e6)
    save_model(tmp_path / "d.nid", before, META, half=True)
    assert load_model(tmp_path / "d.nid").model.scale == 1e6


def test_the_same_model_gives_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        save_model(tmp_path / f"{name}.nid", model(), META)
        write_small(tmp_path / f"{name}.nidc")
    for suffix in (".nid", ".nidc"):
        first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
        assert first == second
        assert str(tmp_path).encode() not in first


def test_the_fingerprint_tells_tensors_and_specs_apart_but_not_metadata(tmp_path: Path):
    other = ModelSpec(kind="image", levels=(replace(SPEC.levels[0], overlap=0.25), SPEC.levels[1]))
    same = save_model(tmp_path / "d.nid", model(), META)
    assert save_model(tmp_path / "e.nid", model(), Metadata()) == same == load_model(tmp_path / "d.nid").fingerprint
    assert (
        len(
            {
                same,
                save_model(tmp_path / "e.nid", model(1), META),
                save_model(tmp_path / "f.nid", model(0, other), META),
            }
        )
        == 3
    )


def test_a_diverged_model_is_not_written(tmp_path: Path):
    before = model()
    before.scale.fill_(float("nan"))
    with pytest.raises(OutputError, match="'scale' has values that are not finite"):
        save_model(tmp_path / "d.nid", before, META)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (
            {"heads.0": np.zeros((6, 5), np.float32)},
            r"'heads.0' is \(6, 5\) float32, its spec asks for \(6, 4\) float32",
        ),
        ({"heads.0": np.zeros((6, 4), np.int32)}, "'heads.0' is"),
        ({"heads.0": np.zeros((6, 4), np.float64)}, "'heads.0' is"),
        ({"heads.0": None}, "lacks tensor 'heads.0'"),
        ({"heads.2": np.zeros(1, np.float32)}, "unknown tensor 'heads.2'"),
    ],
)
def test_tensors_that_do_not_fit_the_spec_are_refused(tmp_path: Path, tensors: dict[str, Any], reason: str):
    save_model(tmp_path / "d.nid", model(), META)
    sealed = container.read_sealed(tmp_path / "d.nid", "dictionary")
    kept = {name: array for name, array in {**sealed.tensors, **tensors}.items() if array is not None}
    container.write_sealed(tmp_path / "d.nid", "dictionary", sealed.document, kept)
    with pytest.raises(ArtifactError, match=reason):
        load_model(tmp_path / "d.nid")


def test_a_spec_that_cannot_be_built_is_refused(tmp_path: Path):
    save_model(tmp_path / "d.nid", model(), META)
    sealed = container.read_sealed(tmp_path / "d.nid", "dictionary")
    level: dict[str, Any] = {"dictionary": {"experts": 3}}
    for change in (
        {"spec": {"kind": "image", "levels": [{"dictionary": {"experts": 0}}]}},
        {"spec": {"kind": "image", "levels": [level], "gates": 1}},
        {"spec": {"kind": "image", "levels": [{"dictionary": {"experts": 3, "hidden": -1}}]}},
        {"spec": None},
        {"metadata": {"seeds": 1}},
    ):
        container.write_sealed(tmp_path / "d.nid", "dictionary", {**sealed.document, **change}, sealed.tensors)
        with pytest.raises(ArtifactError, match=r"d\.nid"):
            load_model(tmp_path / "d.nid")


def test_codes_of_another_dictionary_are_refused_naming_both(tmp_path: Path):
    fingerprint = save_model(tmp_path / "mine.nid", model(), META)
    mine = load_model(tmp_path / "mine.nid")
    file = CodeFile(tmp_path / "a.nidc", small_code(), REF, Source(), 1)
    with pytest.raises(ArtifactError) as caught:
        check_dictionary(file, mine)
    assert caught.value.exit_code == 5
    for part in ("a.nidc", "'face'", "ab" * 6, "'mine'", fingerprint[:12]):
        assert part in str(caught.value)
    check_dictionary(replace(file, dictionary=replace(mine.reference, name="renamed")), mine)
    with pytest.raises(ArtifactError, match="levels are not those"):
        check_dictionary(replace(file, dictionary=replace(mine.reference, experts=(6,))), mine)


def test_a_dictionary_is_found_by_name_or_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(artifacts, "_folder", lambda: tmp_path / "package")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "face.nid").write_bytes(b"")
    (tmp_path / "face").mkdir()
    (tmp_path / "mine").write_bytes(b"")
    assert dictionary_path("face") == tmp_path / "package" / "face.nid"
    assert dictionary_path("mine") == Path("mine")
    for name, reason in (
        ("fase", r"no dictionary 'fase'; did you mean 'face'\? \(it brings face\)"),
        ("none.nid", r"none\.nid does not exist; give a \.nid file or one of face"),
        ("some/face", "some/face does not exist"),
    ):
        with pytest.raises(UsageError, match=reason):
            dictionary_path(name)


def test_bundled_dictionaries_load_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    for name in artifacts.bundled():
        assert load_model(name).name == name


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["learn-dict", "-q", "--seed=3", "10m", "faces", "--cells", "8x8"])))
def test_a_command_line_without_paths_keeps_every_other_word(words: list[str]):
    assert without_paths(words) == " ".join(words)


def test_a_command_line_loses_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patients").mkdir()
    line = ["learn-dict", "--data", "patients", "--data=patients", "-o", "/tmp/x.nid", "--config=~/a.yaml", "--top-k=8"]
    assert without_paths(line) == "learn-dict --data PATH --data=PATH -o PATH --config=PATH --top-k=8"
