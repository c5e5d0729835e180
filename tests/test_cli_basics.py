"""The command line itself: quick help, one-sentence errors, exit statuses, and values from flags, files and presets."""

from __future__ import annotations

import errno
import importlib
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from nidcli import __version__, cli
from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.layers import merge
from nidcli.commands.options import Inputs
from nidcli.errors import ArtifactError

Nid = Callable[..., tuple[int, str, str]]


def install(monkeypatch: pytest.MonkeyPatch, function: Callable[..., None]) -> None:
    """Let `nid encode` be this function."""
    module = types.ModuleType("nidcli.commands.stand_in")
    vars(module)["command"] = function
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "encode", (module.__name__, "Stand in."))


def failing(error: BaseException) -> Callable[..., None]:
    def command(report: ReportOptions) -> None:
        raise error

    return command


def test_help_names_every_command_imports_none_and_is_quick():
    code = (
        "import sys\nfrom nidcli.cli import main\nsys.argv = ['nid', '--help']\n"
        "try: main()\nexcept SystemExit: print(*(m for m in sys.modules if m.startswith(('nidcli', 'numpy', 'rich'))))"
    )
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        seconds.append(time.perf_counter() - start)
    assert out.splitlines()[-1].split() == ["nidcli", "nidcli.cli"]
    assert all(f"  {name} " in out and line in out for name, (_, line) in cli.COMMANDS.items())
    assert min(seconds) < 0.25


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_shows_an_example_of_itself(nid: Nid, name: str):
    pytest.importorskip(cli.COMMANDS[name][0])
    code, out, _ = nid(name, "-h")
    assert code == 0
    assert f"nid {name}" in out.replace(f"Usage: nid {name}", "")


def test_python_m_nidcli_is_nid():
    done = subprocess.run([sys.executable, "-m", "nidcli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"nid {__version__}\n"


@pytest.mark.parametrize("arguments", [["encod"], ["--nothing"], ["doctor", "--nothing"], ["eval"], []])
def test_a_wrong_command_line_exits_with_2(nid: Nid, arguments: list[str]):
    code, _, err = nid(*arguments)
    assert code == 2
    assert "Traceback" not in err


def test_a_mistyped_command_is_guessed(nid: Nid):
    assert "'encode'" in nid("encod")[2]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ArtifactError("face.nid is damaged; copy it again."), 5, "face.nid is damaged"),
        (MemoryError(), 1, "memory"),
        (OSError(errno.ENOSPC, "No space"), 6, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "x.nid"), 1, "x.nid"),
        (ZeroDivisionError("by zero"), 1, "--debug"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
    ],
)
def test_every_error_is_one_sentence_and_a_status(
    nid: Nid, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
):
    install(monkeypatch, failing(error))
    got, out, err = nid("encode")
    assert (got, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == (1 if words else 0)


def test_debug_shows_the_traceback(nid: Nid, monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, failing(ArtifactError("damaged.")))
    code, _, err = nid("encode", "--debug")
    assert (code, "Traceback" in err) == (5, True)


def test_a_closed_pipe_is_quiet():
    code = "from nidcli.cli import main; import sys; sys.argv = ['nid', 'doctor', '--help']; main()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == ""
    child.wait(timeout=20)


@pytest.mark.parametrize(
    ("body", "status", "out"),
    [
        ("print('x' * 300_000)", 0, "x" * 300_000 + "\n"),
        ("print('told'); sys.exit(3)", 3, "told\n"),
        ("print('told'); sys.exit(None)", 0, "told\n"),
        ("raise SystemExit('words')", 1, ""),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_leaving_at_once_loses_neither_output_nor_status(body: str, status: int, out: str):
    code = f"import sys; from nidcli import cli\ndef body(**_):\n    {body}\ncli.app = body\nimport atexit\n"
    code += "atexit.register(print, 'at the exit')\ncli.run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    told = done.returncode if done.returncode >= 0 else 128 - done.returncode
    assert (told, done.stdout) == (status, out + "at the exit\n")


@dataclass(frozen=True)
class Recipe:
    experts: Annotated[int, typer.Option("--experts")] = 100
    rate: Annotated[float, typer.Option("--rate")] = 0.5
    kind: Annotated[str, typer.Option("--kind")] = "image"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What a command with groups of options, a configuration and a preset receives."""
    calls: list[tuple[object, ...]] = []

    def command(
        ctx: typer.Context,
        files: FileOptions,
        run: RunOptions,
        recipe: Recipe,
        report: ReportOptions,
        inputs: Inputs = None,
        top_k: Annotated[int, typer.Option("--top-k", min=1)] = 8,
    ) -> None:
        preset = Recipe(experts=7, rate=7.0, kind="preset") if run.preset else recipe
        calls.append((inputs, files, run, merge(ctx, preset), report, top_k))

    install(monkeypatch, command)
    return calls


def test_groups_of_options_arrive_as_their_dataclasses(nid: Nid, seen: list[tuple[object, ...]]):
    nid("encode", "a", "b", "-o", "out/", "-r", "--seed", "3", "--json", "--top-k", "5", "--rate", "1e-3")
    assert seen == [
        (
            ["a", "b"],
            FileOptions(output="out/", recursive=True),
            RunOptions(seed=3),
            Recipe(rate=0.001),
            ReportOptions(json=True),
            5,
        )
    ]
    nid("encode")
    assert seen[1] == (None, FileOptions(), RunOptions(), Recipe(), ReportOptions(), 8)


def test_flags_win_over_config_which_wins_over_the_preset(nid: Nid, seen: list[tuple[object, ...]], tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text("experts: 2\nrate: 2e-3\ntop-k: 2\noverwrite: true\n")
    nid("encode", "--preset", "p", "--experts", "1", "--config", str(config))
    _, files, _, recipe, _, top_k = seen[0]
    assert recipe == Recipe(experts=1, rate=0.002, kind="preset")
    assert (files, top_k) == (FileOptions(overwrite=True), 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("expert: 2", "c.yaml sets expert, which encode does not know; did you mean 'experts'?"),
        ("a: [", "not a YAML file"),
        ("- 1", "option: value"),
        ("top-k: many", "--top-k"),
        ("top-k: 0", "--top-k"),
    ],
)
def test_a_wrong_configuration_is_refused(
    nid: Nid, seen: list[tuple[object, ...]], tmp_path: Path, text: str, words: str
):
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = nid("encode", "--config", str(tmp_path / "c.yaml"))
    assert (code, seen) == (2, [])
    assert words in err


def test_a_device_that_is_not_there_is_a_usage_error(nid: Nid, monkeypatch: pytest.MonkeyPatch):
    def command(run: RunOptions) -> None:
        print(run.start())

    install(monkeypatch, command)
    torch = importlib.import_module("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert nid("encode")[:2] == (0, "cpu\n")
    code, _, err = nid("encode", "--device", "cuda")
    assert (code, "--device cpu" in err) == (2, True)
