"""A command made of options, inputs, the batch runner and the console keeps the contract on a folder of photos."""

from __future__ import annotations

import io
import json
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nidcli import cli
from nidcli.commands.groups import FileOptions, ReportOptions, RunOptions
from nidcli.commands.options import Inputs
from nidcli.files.images import read_image, write_image

Nid = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Brightness:
    mean: float


def command(files: FileOptions, run: RunOptions, report: ReportOptions, inputs: Inputs = None) -> None:
    """Writes every photo upside down."""
    from nidcli import batch
    from nidcli.files.images import Image

    console = report.console("encode")
    jobs = files.plan(files.inputs(inputs), ".png", dry_run=run.dry_run)
    if run.dry_run:
        console.conclude(batch.dry_run(jobs, console))

    def compute(photos: list[Image]) -> list[batch.Done]:
        return [batch.Done(Brightness(float(photo.pixels.mean())), writer(photo)) for photo in photos]

    def writer(photo: Image) -> Callable[[Path], None]:
        return lambda path: write_image(path, photo.pixels[::-1], alpha=photo.alpha)

    outcome = batch.run(
        jobs,
        lambda item: read_image(item.path),
        compute,
        console,
        size=4,
        key=lambda photo: photo.pixels.shape,
    )
    console.conclude(outcome, dictionary="none", device="cpu")


@pytest.fixture
def nid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nid:
    """Run the command above as `nid encode`, in a folder with photos/: exit status, standard output and error."""
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png", "c.tif", "sub/d.webp"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "photos" / name, rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    module = types.ModuleType("nidcli.commands.stand_in")
    vars(module)["command"] = command
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "encode", (module.__name__, "Stand in."))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nid", "encode", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return (int(left.value.code or 0), *capsys.readouterr())

    return run


def written(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_folder_becomes_a_folder(nid: Nid):
    code, out, err = nid("photos", "-o", "out")
    assert (code, err, len(out.splitlines())) == (0, "", 3)
    assert written("out") == ["a.png", "b.png", "c.png"]
    np.testing.assert_array_equal(read_image("out/b.png").pixels, read_image("photos/b.png").pixels[::-1])


def test_subfolders_are_mirrored(nid: Nid):
    assert nid("photos", "-o", "out", "-r")[0] == 0
    assert written("out") == ["a.png", "b.png", "c.png", "sub/d.png"]


def test_a_text_file_and_a_truncated_jpeg_among_the_photos_are_named_and_the_rest_is_done(nid: Nid):
    Path("photos/notes.txt").write_text("words")
    whole = Path("photos/a.jpg").read_bytes()
    Path("photos/cut.jpg").write_bytes(whole[: len(whole) // 2])
    code, out, err = nid("photos", "-o", "out", "--json")
    items = json.loads(out)["items"]
    assert code == 3
    assert written("out") == ["a.png", "b.png", "c.png"]
    assert [Path(item["input"]).name for item in items if "error" in item] == ["cut.jpg", "notes.txt"]
    assert all({"input", "output", "seconds", "mean", "bytes"} <= item.keys() for item in items if "error" not in item)
    assert "cut.jpg" in err
    assert "notes.txt" in err
    assert "Traceback" not in err


def test_no_readable_input_exits_with_4(nid: Nid):
    Path("empty").mkdir()
    for name in ("none.jpg", "empty", "*.gif"):
        code, out, err = nid(name, "-o", "out")
        assert (code, out) == (4, "")
        assert name in err


def test_existing_outputs_are_refused_skipped_or_replaced_as_asked(nid: Nid):
    nid("photos/b.png", "-o", "out/")
    Path("out/b.png").write_bytes(b"old")
    code, _, err = nid("photos", "-o", "out")
    assert (code, written("out"), "b.png" in err) == (6, ["b.png"], True)
    code, out, _ = nid("photos", "-o", "out", "--skip-existing", "--json")
    assert (code, [item.get("skipped", False) for item in json.loads(out)["items"]]) == (0, [False, True, False])
    assert Path("out/b.png").read_bytes() == b"old"
    assert nid("photos", "-o", "out", "--overwrite")[0] == 0
    assert read_image("out/b.png").height == 12


def test_an_output_that_cannot_be_written_exits_with_6_before_any_work(nid: Nid):
    Path("file").write_text("")
    code, out, err = nid("photos", "-o", "file/out")
    assert (code, out) == (6, "")
    assert "file" in err


def test_two_inputs_for_one_output_fail_the_later_one(nid: Nid):
    write_image(Path("photos/a.bmp"), np.zeros((4, 4, 3)))
    code, _, err = nid("photos", "-o", "out")
    assert code == 3
    assert "a.jpg is left out" in err


def test_a_dry_run_tells_the_plan_and_writes_nothing(nid: Nid):
    code, out, _ = nid("photos", "-o", "out", "--dry-run", "--json")
    assert code == 0
    planned = [item["output"] for item in json.loads(out)["items"]]
    assert planned == [str(Path("out", name)) for name in ("a.png", "b.png", "c.png")]
    assert not Path("out").exists()


def test_a_list_on_standard_input_is_taken(nid: Nid, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("photos/a.jpg\nphotos/sub/d.webp\n"))
    assert nid("-", "-o", "out")[0] == 0
    assert written("out") == ["a.png", "d.png"]
