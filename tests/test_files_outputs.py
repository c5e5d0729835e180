"""Every output has its place before any work begins, and nothing is replaced unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nidcli.errors import OutputError, UsageError
from nidcli.files.inputs import Input, expand
from nidcli.files.outputs import plan


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("photos/a.png", "photos/b.jpg", "photos/sub/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(*arguments: str, to: str | None, suffix: str = ".nidc", recursive: bool = False) -> list[str]:
    return [str(job.output) for job in plan(expand(arguments, recursive=recursive), to, suffix)]


def test_one_named_input_may_have_an_output_file():
    assert outputs("photos/a.png", to="code.nidc") == ["code.nidc"]


def test_an_existing_folder_a_trailing_slash_and_a_name_without_suffix_are_folders():
    Path("v1.0").mkdir()
    assert outputs("photos/a.png", to="v1.0") == [os.path.join("v1.0", "a.nidc")]
    assert outputs("photos/a.png", to="v2.0/") == [os.path.join("v2.0", "a.nidc")]
    assert outputs("photos/a.png", to="codes") == [os.path.join("codes", "a.nidc")]


def test_a_folder_with_one_image_in_it_has_an_output_folder():
    assert outputs("photos/sub", to="v1.5") == [os.path.join("v1.5", "a.nidc")]


def test_subfolders_are_mirrored_and_the_output_folder_is_made():
    mirrored = [os.path.join("new", "deep", name) for name in ("a.nidc", "b.nidc", os.path.join("sub", "a.nidc"))]
    assert outputs("photos", to="new/deep", recursive=True) == mirrored
    assert Path("new/deep").is_dir()


def test_without_an_output_it_lies_beside_the_input_but_never_is_the_input():
    assert outputs("photos/a.png", to=None) == [os.path.join("photos", "a.nidc")]
    assert outputs("photos/a.png", to=None, suffix="") == [os.path.join("photos", "a_nid.png")]
    assert outputs("photos/a.png", "photos/b.jpg", to="out", suffix="") == [
        os.path.join("out", "a.png"),
        os.path.join("out", "b.jpg"),
    ]


def test_several_inputs_for_one_output_file_are_a_usage_error():
    with pytest.raises(UsageError, match="give a folder"):
        outputs("photos", to="codes.nidc")
    Path("plain").write_text("")
    with pytest.raises(UsageError, match="give a folder"):
        outputs("photos", to="plain")


def test_of_two_inputs_with_one_output_the_later_fails_and_names_both():
    first, second = plan(expand(["photos/a.png", "photos/sub/a.png"]), "out", ".nidc")
    assert first.input.problem == ""
    assert all(str(Path(name)) in second.input.problem for name in ("photos/a.png", "photos/sub/a.png", "out/a.nidc"))


def test_an_existing_output_is_refused_unless_told_what_to_do():
    Path("out").mkdir()
    Path("out/a.nidc").write_text("old")
    found = expand(["photos"])
    with pytest.raises(OutputError, match=r"a\.nidc exists already; give --overwrite or --skip-existing"):
        plan(found, "out", ".nidc")
    assert [job.skip for job in plan(found, "out", ".nidc", overwrite=True)] == [False, False]
    assert [job.skip for job in plan(found, "out", ".nidc", skip_existing=True)] == [True, False]
    with pytest.raises(UsageError, match="contradict"):
        plan(found, "out", ".nidc", overwrite=True, skip_existing=True)


def test_a_folder_that_cannot_be_made_is_an_output_error_before_any_work():
    Path("file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        plan(expand(["photos"]), "file/out", ".nidc")


def test_a_dry_run_makes_no_folder():
    plan(expand(["photos"]), "new", ".nidc", dry_run=True)
    assert not Path("new").exists()


def test_an_input_with_a_problem_takes_no_place():
    lost = Input(Path("photos/none.png"), Path("none.png"), problem="none.png does not exist; check the path.")
    Path("photos/none.nidc").write_text("")
    [job] = plan([lost], None, ".nidc")
    assert not job.skip
