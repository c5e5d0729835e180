"""What the user names becomes inputs, and nothing that was named is left out in silence."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from nidcli.errors import InputError, UsageError
from nidcli.files.inputs import CODES, Input, expand, match


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with photos/ in it."""
    for name in ("b.jpg", "a.png", "notes.txt", ".hidden.jpg", "a.nidc", "sub/c.png", "sub/deep/d.png", ".cache/x.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def relative(inputs: list[Input]) -> list[str]:
    return [item.relative.as_posix() for item in inputs]


def test_a_folder_gives_its_files_sorted_with_those_that_are_no_images_and_without_hidden_ones(tree: Path):
    assert relative(expand(["photos"])) == ["a.png", "b.jpg", "notes.txt"]


def test_subfolders_are_entered_only_when_asked_and_are_mirrored(tree: Path):
    found = expand(["photos"], recursive=True)
    assert relative(found) == ["a.png", "b.jpg", "notes.txt", "sub/c.png", "sub/deep/d.png"]
    assert all(item.path == Path("photos") / item.relative for item in found)


def test_a_folder_can_be_asked_for_some_suffixes(tree: Path):
    assert relative(expand(["photos"], only=CODES)) == ["a.nidc"]


def test_files_keep_the_order_in_which_they_are_named_and_are_named_themselves(tree: Path):
    found = expand(["photos/b.jpg", "photos/a.png"])
    assert relative(found) == ["b.jpg", "a.png"]
    assert all(item.named for item in found)
    assert not any(item.named for item in expand(["photos"]))


def test_globs_are_expanded_and_sorted(tree: Path):
    assert relative(expand(["photos/*.*g"])) == ["a.png", "b.jpg"]
    assert relative(expand(["photos/**/*.png"])) == ["a.png", "c.png", "d.png"]
    assert relative(expand(["photos/**/*.png"], recursive=True)) == ["a.png", "sub/c.png", "sub/deep/d.png"]


def test_a_name_with_brackets_that_exists_is_no_glob(tree: Path):
    (tree / "a[1].png").write_text("")
    assert relative(expand(["a[1].png"])) == ["a[1].png"]


def test_a_list_names_files_and_folders_one_a_line(tree: Path):
    (tree / "list.txt").write_text("photos/b.jpg\n\n  \nphotos/sub\n")
    found = expand([], files_from=Path("list.txt"))
    assert relative(found) == ["b.jpg", "c.png"]
    assert not any(item.named for item in found)


def test_a_dash_reads_the_list_from_standard_input(tree: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("photos/a.png\nphotos/none.png"))
    found = expand(["-", "photos/b.jpg"])
    assert relative(found) == ["a.png", "none.png", "b.jpg"]
    assert [bool(item.problem) for item in found] == [False, True, False]


@pytest.mark.parametrize("name", ["none.png", "none/", "*.gif", "empty"])
def test_what_is_missing_or_empty_becomes_an_input_with_a_sentence_that_names_it(tree: Path, name: str):
    found = expand([name, "photos/a.png"])
    assert name.rstrip("/") in found[0].problem
    assert found[0].problem.endswith(".")
    assert not found[1].problem


def test_nothing_named_is_a_usage_error_and_an_empty_list_an_input_error(tree: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError):
        expand([])
    (tree / "list.txt").write_text("\n")
    with pytest.raises(InputError, match=r"list\.txt is empty"):
        expand([], files_from=Path("list.txt"))
    with pytest.raises(InputError, match=r"none\.txt cannot be read"):
        expand([], files_from=Path("none.txt"))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(InputError, match="standard input is empty"):
        expand(["-"])


def inputs(*names: str) -> list[Input]:
    return [Input(Path("x", name), Path(name)) for name in names]


def test_partners_are_found_by_stem_whatever_their_suffix_and_folder():
    pairs = match(inputs("a.nidc", "sub/b.nidc"), inputs("b.jpg", "a.png"))
    assert [pair.partner.name for pair in pairs] == ["a.png", "b.jpg"]
    assert not any(pair.problem for pair in pairs)


def test_the_partner_in_the_same_subfolder_is_preferred():
    pairs = match(inputs("u/a.nidc", "v/a.nidc"), inputs("v/a.png", "u/a.png"))
    assert [pair.partner for pair in pairs] == [Path("x/u/a.png"), Path("x/v/a.png")]


def test_an_input_with_no_partner_or_two_says_so():
    none, two = match(inputs("a.nidc", "b.nidc"), inputs("b.png", "b.jpg"))
    assert "x/a.nidc has no partner" in none.problem
    assert "x/b.nidc has 2 partners" in two.problem


def test_one_named_file_goes_with_one_named_file_whatever_their_stems():
    [pair] = match([Input(Path("out.png"), Path("out.png"), named=True)], [Input(Path("r.jpg"), Path("r.jpg"), True)])
    assert (pair.partner, pair.problem) == (Path("r.jpg"), "")


def test_an_empty_folder_is_told_where_partners_are_looked_for(tree: Path):
    (empty,), photos = expand(["empty"]), expand(["photos"])
    assert all("holds no files" in pair.problem for pair in match([empty], photos))
    assert all("has no partner" in pair.problem for pair in match(photos, [empty]))
