"""Sealed files: damaged, foreign and newer ones are never loaded, and a failing write leaves nothing behind."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nidcli import artifacts, codefile, container
from nidcli.artifacts import Source, load_codes, load_model, save_codes, save_model
from nidcli.errors import ArtifactError, InputError, OutputError
from standins import META, REF, REF_4096, model, small_code, stand_in, write_small

__all__ = ["stand_in"]  # a fixture that every test here uses


def test_every_flipped_bit_is_noticed(tmp_path: Path):
    """One bit of every byte of the file, in turn: length, header, document, sums, padding and tensors."""
    path = tmp_path / "a.nidc"
    whole = write_small(path)
    for i in range(len(whole)):
        flipped = bytearray(whole)
        flipped[i] ^= 1 << (i % 8)
        path.write_bytes(flipped)
        with pytest.raises(ArtifactError, match=r"a\.nidc"):
            load_codes(path)


@given(st.data())
def test_flipped_bits_of_a_dictionary_are_noticed(tmp_path: Path, data: st.DataObject):
    path = tmp_path / "d.nid"
    save_model(path, model(), META)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    if bytes(whole) != path.read_bytes():
        path.write_bytes(whole)
        with pytest.raises(ArtifactError, match=r"d\.nid"):
            load_model(path)


@given(st.data())
def test_truncated_and_lengthened_files_are_refused(tmp_path: Path, data: st.DataObject):
    path = tmp_path / "a.nidc"
    whole = write_small(path)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for damaged in (cut, cut + bytes(len(whole) - len(cut)), whole + data.draw(st.binary(min_size=1, max_size=9))):
        if damaged != whole:
            path.write_bytes(damaged)
            with pytest.raises(ArtifactError, match=r"a\.nidc"):
                load_codes(path)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "a.nidc"
    for damaged in (content, len(content).to_bytes(8, "little") + content):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"a\.nidc"):
            load_codes(path)


def test_foreign_files_are_refused_in_one_sentence(tmp_path: Path):
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    (tmp_path / "tensors.pt").write_bytes(pickle.dumps({"a": 1}))
    torch.save({"a": torch.zeros(3)}, tmp_path / "torch.pt")
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors", {"format": "pt"})
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "other2.safetensors", {"nid": "{}"})
    (tmp_path / "empty").write_bytes(b"")
    for path in sorted(tmp_path.iterdir()):
        for load in (load_codes, load_model):
            with pytest.raises(ArtifactError) as caught:
                load(path)
            text = str(caught.value)
            assert str(path) in text
            assert text.endswith(".")
            assert "\n" not in text


def test_a_code_file_is_no_dictionary_nor_the_reverse(tmp_path: Path):
    write_small(tmp_path / "a.nidc")
    save_model(tmp_path / "d.nid", model(), META)
    with pytest.raises(ArtifactError, match=r"a\.nidc is a code file \(\.nidc\), not a dictionary"):
        load_model(tmp_path / "a.nidc")
    with pytest.raises(ArtifactError, match=r"d\.nid is a dictionary \(\.nid\), not a code file"):
        load_codes(tmp_path / "d.nid")


def test_a_newer_major_format_is_refused_and_a_newer_minor_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.nidc"
    write_small(path)
    sealed = container.read_sealed(path, "codes")
    document = {**sealed.document, "source": {"bit_depth": 8, "channels": 3, "later": 1}}
    monkeypatch.setattr(container, "FORMAT", (1, 4))
    container.write_sealed(path, "codes", document, sealed.tensors)
    monkeypatch.setattr(container, "FORMAT", (1, 0))
    assert load_codes(path).source == Source()
    monkeypatch.setattr(container, "FORMAT", (2, 0))
    write_small(path)
    monkeypatch.setattr(container, "FORMAT", (1, 0))
    with pytest.raises(ArtifactError, match=r"newer format 2\.0 and this nidcli reads format 1; update nidcli\."):
        load_codes(path)


def test_nothing_is_executed_by_loading(tmp_path: Path):
    """No module of the package that reads these files knows how to unpickle."""
    for module in (container, codefile, artifacts):
        source = Path(str(module.__file__)).read_text()
        assert "pickle" not in source
        assert "torch.load" not in source
        assert "eval(" not in source.replace(".eval()", "")


def test_a_missing_or_unreadable_input_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.nidc does not exist"):
        load_codes(tmp_path / "none.nidc")
    with pytest.raises(InputError, match="cannot be read"):
        load_codes(tmp_path)


def test_a_failing_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = write_small(tmp_path / "a.nidc")
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(OutputError, match=r"a\.nidc cannot be written: the disk is full"):
            save_codes(tmp_path / "a.nidc", small_code(), REF_4096, Source())
    assert [path.name for path in tmp_path.iterdir()] == ["a.nidc"]
    assert (tmp_path / "a.nidc").read_bytes() == old


def test_what_cannot_be_written_is_an_output_error(tmp_path: Path):
    (tmp_path / "folder.nidc").mkdir()
    for path in (tmp_path / "none" / "a.nidc", tmp_path / "folder.nidc", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot be written"):
            save_codes(path, small_code(), REF, Source())
    assert [path.name for path in tmp_path.iterdir()] == ["folder.nidc"]


def test_a_file_gets_the_usual_permissions(tmp_path: Path):
    write_small(tmp_path / "a.nidc")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "a.nidc").stat().st_mode == (tmp_path / "plain").stat().st_mode
