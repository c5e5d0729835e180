"""README.md tells the truth: every command is shown, every option and file that it names exists, its examples run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from nidcli import cli
from nidcli.artifacts import bundled

README = (REPOSITORY / "README.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The words after `nid` of every command in a sh block, pipes and lists taken apart, comments left out."""
    found = []
    for block in SHELL:
        for line in block.replace("\\\n", " ").splitlines():
            split = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            split.whitespace_split = True
            part: list[str] = []
            for word in [*split, ";"]:
                if set(word) <= set("|&;<>"):
                    if part and Path(part[0]).name == "nid":
                        found.append(part[1:])
                    part = []
                else:
                    part.append(word)
    return found


def options(name: str) -> set[str]:
    command = cli.load(name)
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def test_the_parser_of_this_test_finds_commands():
    found = commands()
    assert len(found) >= len(cli.COMMANDS)
    assert all((words and words[0] in cli.COMMANDS) or words[0].startswith("-") for words in found)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_shown(name: str):
    assert name in {words[0] for words in commands()}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_option_of_an_example_exists(words: list[str]):
    used = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
    assert used <= options(words[0])


def test_every_option_named_in_the_text_exists():
    every = set().union(*(options(name) for name in cli.COMMANDS), {"--version"})
    text = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    named = {span.split()[0] for span in re.findall(r"`([^`]+)`", text) if span.startswith("-")}
    assert named - {"-"} <= every


def test_every_file_of_the_repository_that_is_named_exists():
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link}
    spans = {word for span in re.findall(r"`([^`\n]+)`", README) for word in span.split()}
    spans |= {word for block in SHELL for word in block.split()}
    folders = ("examples/", "presets/", "benchmarks/", "tests/", "nidcli/", "docs/")
    named = links | {word for word in spans if word.startswith(folders) or word in ("constraints.txt", "Makefile")}
    assert "examples/astronaut.png" in named
    missing = sorted(name for name in named if not (REPOSITORY / name).exists())
    assert missing == []


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join([*SHELL, *re.findall(r"`([^`\n]+)`", README)])
    named = set(re.findall(r"\bmake ([a-z]+)", text))
    assert "check" in named
    assert named <= targets


def test_every_exit_status_is_in_the_table():
    assert {"0", "1, 2", "3, 4", "5, 6", "130"} <= set(re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE))


@pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary")
def test_the_examples_on_the_example_photo_run_as_they_are_written(tmp_path: Path):
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    ready = {"examples/astronaut.png"}
    ran = []
    for words in commands():
        inputs = [word for word in words[1:2] if not word.startswith("-")]
        if not inputs or inputs[0] not in ready | {"face"}:
            continue
        flags = [] if "--overwrite" in words else ["--overwrite"] if "--overwrite" in options(words[0]) else []
        command = [sys.executable, "-m", "nidcli", *words, *flags]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)
        ready |= {path.name for path in tmp_path.iterdir() if path.is_file()}
        ran.append(words[0])
    assert {"encode", "decode"} <= set(ran)


@pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionary")
@pytest.mark.parametrize("example", PYTHON)
def test_the_example_of_the_library_runs(example: str, tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
