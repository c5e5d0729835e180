"""Results on standard output, everything else on standard error, and the JSON of the contract."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

import pytest

from nidcli import __version__
from nidcli.console import Console, complain, explain
from nidcli.errors import ArtifactError, InputError, NidError, OutputError
from nidcli.outcome import Item, Outcome


@dataclass(frozen=True)
class Keys:
    psnr: float
    top_k: int


@dataclass(frozen=True)
class Summary:
    mean: Keys | None
    names: tuple[str, ...] = ()


GOOD = Item("a.png", "a.nidc", 0.25, Keys(31.25, 8), bytes=120)
BAD = Item("b.png", error=InputError("b.png is damaged; copy it again."))


def conclude(console: Console, *items: Item, interrupted: bool = False, summary: Summary | None = None) -> int:
    for item in items:
        console.item(item)
    with pytest.raises(SystemExit) as left:
        console.conclude(Outcome(items, interrupted), dictionary="face", device="cpu", summary=summary)
    assert isinstance(left.value.code, int)
    return left.value.code


def test_the_json_document_is_that_of_the_contract(capsys: pytest.CaptureFixture[str]):
    assert conclude(Console("encode", json=True), GOOD, BAD) == 3
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert list(document) == ["command", "version", "dictionary", "device", "seconds", "items"]
    assert [document[key] for key in ("command", "version", "dictionary", "device")] == [
        "encode",
        __version__,
        "face",
        "cpu",
    ]
    assert document["seconds"] >= 0
    assert document["items"] == [
        {"input": "a.png", "output": "a.nidc", "seconds": 0.25, "psnr": 31.25, "top_k": 8, "bytes": 120},
        {"input": "b.png", "error": "b.png is damaged; copy it again."},
    ]
    assert "1 of 2 inputs failed" in err


def test_json_lines_are_one_item_a_line_and_no_document(capsys: pytest.CaptureFixture[str]):
    console = Console("encode", jsonl=True)
    console.item(GOOD)
    first = capsys.readouterr().out
    assert json.loads(first)["psnr"] == 31.25
    assert first.count("\n") == 1
    conclude(console, BAD)
    assert [json.loads(line)["input"] for line in capsys.readouterr().out.splitlines()] == ["b.png"]


def test_what_is_not_finite_is_null_in_json(capsys: pytest.CaptureFixture[str]):
    conclude(Console("eval", json=True), Item("a.png", report=Keys(math.inf, 1)), summary=Summary(Keys(math.nan, 2)))
    document = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert document["items"][0]["psnr"] is None
    assert document["mean"] == {"psnr": None, "top_k": 2}


def test_a_result_is_one_line_on_standard_output_and_a_failure_is_not(capsys: pytest.CaptureFixture[str]):
    conclude(Console("encode"), GOOD, BAD)
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a.png -> a.nidc  psnr 31.25  top_k 8  bytes 120  0.250 s"]
    assert "b.png is damaged; copy it again." in err


def test_a_single_failure_is_one_sentence(capsys: pytest.CaptureFixture[str]):
    conclude(Console("encode"), BAD)
    assert capsys.readouterr().err == "Error: b.png is damaged; copy it again.\n"


def test_skipped_and_planned_items_say_so(capsys: pytest.CaptureFixture[str]):
    skipped, planned = Item("a", "b", skipped=True), Item("c", "d", planned=True)
    assert skipped.document()["skipped"]
    assert planned.document()["planned"]
    assert conclude(Console("encode"), skipped, planned) == 0
    assert capsys.readouterr().out.splitlines() == ["a -> b  skipped, exists already", "c -> d"]


@pytest.mark.parametrize(
    ("errors", "done", "code"),
    [
        ([], 2, 0),
        ([InputError("x")], 1, 3),
        ([InputError("x"), InputError("y")], 0, 4),
        ([ArtifactError("x")], 0, 5),
        ([OutputError("x"), OutputError("y")], 0, 6),
        ([NidError("x")], 0, 1),
        ([OutputError("x"), InputError("y")], 0, 4),
        ([ArtifactError("x")], 1, 3),
    ],
)
def test_exit_codes_are_those_of_the_contract(errors: list[NidError], done: int, code: int):
    items = [Item("a")] * done + [Item("b", error=error) for error in errors]
    assert Outcome(tuple(items)).exit_code == code
    assert Outcome(tuple(items), interrupted=True).exit_code == 130


def test_messages_and_progress_go_to_standard_error_and_quiet_silences_both(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nidcli.console._PLAIN", 0.0)
    monkeypatch.setattr("nidcli.console._REDRAW", 0.0)
    loud, quiet = Console("encode", verbose=True), Console("encode", quiet=True, verbose=True)
    for console in (loud, quiet):
        console.note("loaded")
        console.detail("on cpu")
        console.progress(3, 10, "psnr 30")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:2] == ["loaded", "on cpu"]
    assert re.fullmatch(r"3/10, .*/s, .* s left, psnr 30", lines[2])
    assert len(lines) == 3


def test_details_are_told_only_on_demand(capsys: pytest.CaptureFixture[str]):
    Console("encode").detail("on cpu")
    assert capsys.readouterr().err == ""


def test_progress_is_plain_lines_off_a_terminal_and_not_one_an_item(capsys: pytest.CaptureFixture[str]):
    console = Console("encode")
    for number in range(100):
        console.progress(number, 100)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")  # all within the first seconds


def test_a_bar_on_a_terminal_leaves_results_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("nidcli.console._REDRAW", 0.0)
    console = Console("encode")
    console.progress(1, 2)
    console.item(GOOD)
    console.progress(2, 2)
    conclude(console)
    out, err = capsys.readouterr()
    assert out == "a.png -> a.nidc  psnr 31.25  top_k 8  bytes 120  0.250 s\n"
    assert "\r\x1b[2K" in err


@pytest.mark.parametrize(("name", "value", "coloured"), [("TERM", "xterm", True), ("NO_COLOR", "1", False)])
def test_errors_are_coloured_on_a_terminal_unless_no_color_is_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, coloured: bool
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, value)
    complain("no.")
    assert ("\x1b" in capsys.readouterr().err) == coloured


def test_unexpected_errors_become_one_sentence_that_names_the_file():
    told = explain(ZeroDivisionError("division\nby zero"), "a.png")
    assert str(told).startswith("a.png: nid met an unexpected ZeroDivisionError: division by zero; ")
    assert "--debug" in str(told)
    assert told.exit_code == 1


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")])
def test_lack_of_memory_is_said_so(error: Exception):
    assert "memory is not enough" in str(explain(error, "a.png"))


def test_a_traceback_is_shown_only_with_debug(capsys: pytest.CaptureFixture[str]):
    conclude(Console("encode"), BAD)
    assert "Traceback" not in capsys.readouterr().err
    try:
        raise BAD.error or AssertionError
    except InputError:
        conclude(Console("encode", debug=True), BAD)
    assert "Traceback" in capsys.readouterr().err
