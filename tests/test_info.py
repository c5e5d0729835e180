"""`nid info` and `nid verify`, from the command line to the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nidcli.artifacts import save_model
from nidcli.cli import main
from nidcli.dictionary import DictionarySpec
from nidcli.model import LevelSpec, Model, ModelSpec
from standins import META, write_small


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a dictionary, a code and a damaged code."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    bank = DictionarySpec(experts=12, hidden=8, frequencies=8)
    save_model("faces.nid", Model(ModelSpec(levels=(LevelSpec(dictionary=bank, basis=4, pixels=8),))), META)
    whole = bytearray(write_small(tmp_path / "a.nidc"))
    whole[-1] ^= 1
    Path("damaged.nidc").write_bytes(whole)
    return tmp_path


@pytest.fixture
def nid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr("sys.argv", ["nid", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return run


def test_verify_says_what_is_whole(nid: Any):
    code, out, err = nid("verify", "faces.nid", "a.nidc")
    assert (code, err) == (0, "")
    assert "kind dictionary" in out
    assert "kind codes" in out
    code, out, _ = nid("verify", ".", "--json")
    items = json.loads(out)["items"]
    assert [item["input"] for item in items] == ["a.nidc", "damaged.nidc", "faces.nid"]
    assert "is damaged" in items[1]["error"]
    assert items[0]["bytes"] == Path("a.nidc").stat().st_size
    assert code == 3


def test_verify_tells_damaged_from_missing_files(nid: Any):
    code, out, err = nid("verify", "damaged.nidc")
    assert (code, out) == (5, "")
    assert err.startswith("Error: damaged.nidc is damaged")
    assert nid("verify", "none.nid")[0] == 4
    assert nid("verify")[0] == 2


def test_info_tells_what_a_dictionary_is(nid: Any):
    code, out, _ = nid("info", "faces.nid", "--json")
    assert code == 0
    (item,) = json.loads(out)["items"]
    assert (item["kind"], item["experts"], item["licence"]) == ("image", 12, "CC0")
    assert item["bytes"] == Path("faces.nid").stat().st_size
    assert 1 <= item["rank"][0] <= 12
    assert 0 <= item["coherence"][0] <= 1
    assert item["levels"][0]["pixels"] == 8
    assert item["metrics"][0] == {"name": "psnr", "value": 31.25}
    assert item["provenance"]["data_attribution"] == "J. Müller"
    _, out, _ = nid("info", "faces.nid")
    assert "  psnr                31.25\n" in out
    assert "    experts           12\n" in out


def test_info_tells_what_a_code_is(nid: Any):
    code, out, _ = nid("info", "a.nidc", "--jsonl")
    assert code == 0
    item = json.loads(out)
    assert (item["width"], item["height"], item["cells"], item["coefficients"]) == (32, 16, [[2, 1]], 5)
    assert item["dictionary"]["name"] == "face"
    _, out, _ = nid("info", "a.nidc")
    assert "  cells               2 x 1\n" in out


def test_info_draws_atoms_once(nid: Any):
    assert nid("info", "faces.nid", "--atoms", "atoms.png")[0] == 0
    assert Path("atoms.png").read_bytes().startswith(b"\x89PNG")
    assert nid("info", "faces.nid", "--atoms", "atoms.png")[0] == 6
    assert nid("info", "faces.nid", "--atoms", "atoms.png", "--overwrite")[0] == 0
    assert nid("info", "a.nidc", "--atoms", "other.png")[0] == 2
    assert nid("info", "a.nidc", "faces.nid", "--atoms", "other.png")[0] == 2


def test_info_goes_on_after_a_damaged_file(nid: Any):
    code, out, err = nid("info", "damaged.nidc", "a.nidc")
    assert code == 3
    assert out.startswith("a.nidc\n")
    assert "damaged.nidc is damaged" in err
