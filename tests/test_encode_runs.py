"""`nid encode` in batches: folders, lists and outputs; what fails is named, and nothing is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from photo_cases import Nid, _face_is_loaded_once, encoded, face, photo, scene  # noqa: F401
from PIL import Image

from nidcli.artifacts import bundled, dictionary_path, load_codes

pytestmark = pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary")


def test_size_resizes_the_longer_side_first(nid: Nid, tmp_path: Path):
    file, _ = encoded(nid, photo(tmp_path / "a.png", 40, 60), "--size", 30)
    assert (file.code.width, file.code.height) == (20, 30)
    file, _ = encoded(nid, photo(tmp_path / "b.png", 1, 500), "--size", 10)
    assert (file.code.width, file.code.height) == (1, 10)


# What fails, and where outputs go


def test_a_folder_goes_on_and_names_what_failed(nid: Nid, tmp_path: Path):
    folder, codes = tmp_path / "photos", tmp_path / "codes"
    photo(folder / "good.png")
    photo(folder / "odd.jpg", 31, 45)
    (folder / "notes.txt").write_text("no photo")
    whole = io.BytesIO()
    Image.fromarray(scene(200, 200)).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    code, out, err = nid("encode", folder, "-o", codes, "--json")
    items = {Path(item["input"]).name: item for item in json.loads(out)["items"]}
    assert code == 3
    for name in ("notes.txt", "cut.jpg"):
        assert items[name].keys() == {"input", "error"}
        assert name in items[name]["error"] and name in err
    assert sorted(path.name for path in codes.iterdir()) == ["good.nidc", "odd.nidc"]
    assert "Traceback" not in err


def test_nothing_to_read_is_exit_status_4(nid: Nid, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no photo")
    for named in ("empty", "missing.png", "notes.txt", "*.jpg"):
        code, _, err = nid("encode", tmp_path / named, "-o", tmp_path / "codes")
        assert (code, named in err) == (4, True)


def test_an_output_that_cannot_be_written_is_exit_status_6(nid: Nid, tmp_path: Path):
    path = photo(tmp_path / "a.png")
    (tmp_path / "file").write_text("not a folder")
    code, _, err = nid("encode", path, "-o", tmp_path / "file" / "a.nidc")
    assert code == 6
    assert "file" in err and "Traceback" not in err


def test_an_existing_output_is_refused_skipped_or_replaced(nid: Nid, tmp_path: Path):
    path, output = photo(tmp_path / "a.png"), tmp_path / "a.nidc"
    output.write_text("mine")
    code, _, err = nid("encode", path, "-o", output)
    assert (code, output.read_text()) == (6, "mine")
    assert "--overwrite" in err
    code, out, _ = nid("encode", path, "-o", output, "--skip-existing", "--json")
    assert (code, output.read_text(), json.loads(out)["items"][0]["skipped"]) == (0, "mine", True)
    assert nid("encode", path, "-o", output, "--overwrite")[0] == 0
    assert load_codes(output).code.width == 40
    assert nid("encode", path, "-o", output, "--overwrite", "--skip-existing")[0] == 2


def test_a_list_of_paths_comes_on_standard_input(nid: Nid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [photo(tmp_path / name) for name in ("a b.png", "ü.png")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{path}\n" for path in paths)))
    assert nid("encode", "-", "-o", tmp_path / "codes")[0] == 0
    assert sorted(path.name for path in (tmp_path / "codes").iterdir()) == ["a b.nidc", "ü.nidc"]


def test_subfolders_are_mirrored(nid: Nid, tmp_path: Path):
    for name in ("a.png", "x/a.png", "x/y/b.jpg"):
        photo(tmp_path / "photos" / name)
    assert nid("encode", "-r", tmp_path / "photos", "-o", tmp_path / "codes")[0] == 0
    codes = sorted(str(path.relative_to(tmp_path / "codes")) for path in (tmp_path / "codes").rglob("*.nidc"))
    assert codes == ["a.nidc", "x/a.nidc", "x/y/b.nidc"]


def test_a_dry_run_writes_nothing_and_tells_the_plan(nid: Nid, tmp_path: Path):
    path = photo(tmp_path / "a.png")
    code, out, err = nid("encode", path, "-o", tmp_path / "codes", "--dry-run", "--json")
    (item,) = json.loads(out)["items"]
    assert (code, item["planned"], item["output"]) == (0, True, str(tmp_path / "codes" / "a.nidc"))
    assert "MiB" in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_an_unknown_dictionary_is_a_usage_error_and_a_damaged_one_exit_status_5(nid: Nid, tmp_path: Path):
    path = photo(tmp_path / "a.png")
    whole = dictionary_path("face").read_bytes()
    middle = len(whole) // 2
    (tmp_path / "flipped.nid").write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    (tmp_path / "cut.nid").write_bytes(whole[:middle])
    (tmp_path / "words.nid").write_text("words")
    for name, status in (("facee", 2), ("gone.nid", 2), ("flipped.nid", 5), ("cut.nid", 5), ("words.nid", 5)):
        where = name if name == "facee" else str(tmp_path / name)
        code, _, err = nid("encode", path, "--dict", where)
        assert (name, code) == (name, status)
        assert name in err and "Traceback" not in err
    assert not (tmp_path / "a.nidc").exists()


# The installed command


def test_the_command_is_quiet_on_standard_output_but_for_its_report(tmp_path: Path):
    photo(tmp_path / "a.png")
    command = [sys.executable, "-m", "nidcli", "encode", "-", "-o", "codes", "--json"]
    done = subprocess.run(command, input="a.png\n", cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["items"][0]["output"] == "codes/a.nidc"
    again = subprocess.run([*command, "-q"], input="a.png\n", cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (6, "")
    assert len(again.stderr.splitlines()) == 1
