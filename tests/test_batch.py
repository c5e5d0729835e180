"""A folder goes on when one input fails, an interrupt keeps what is whole, and files wait for no computation."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nidcli.batch import Done, dry_run, run
from nidcli.console import Console
from nidcli.errors import ArtifactError, InputError
from nidcli.files.atomic import replacing
from nidcli.files.inputs import Input
from nidcli.files.outputs import Job
from nidcli.outcome import Item, Outcome


@dataclass(frozen=True)
class Length:
    length: int


class Recorder:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def item(self, item: Item) -> None:
        self.items.append(item)

    def progress(self, done: int, total: int) -> None:
        assert done <= total


def jobs(folder: Path, names: str) -> list[Job]:
    return [Job(Input(folder / name, Path(name)), folder / "out" / f"{name}.txt") for name in names.split()]


def load(item: Input) -> str:
    if item.path.name.startswith("bad"):
        raise InputError(f"{item.path} is damaged; copy it again.")
    return item.path.name


def compute(names: list[str]) -> list[Done]:
    if any(name.startswith("odd") for name in names):
        raise ArtifactError("odd does not fit the dictionary; choose another.")
    return [Done(Length(len(name)), writer(name)) for name in names]


def writer(text: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        if text.startswith("full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        with replacing(path) as temporary:
            temporary.write_text(text)

    return write


def errors(outcome: Outcome) -> list[int]:
    return [item.error.exit_code if item.error else 0 for item in outcome.items]


def test_every_input_is_written_and_reported_in_order(tmp_path: Path):
    recorder = Recorder()
    names = " ".join(f"n{number}" for number in range(50))
    outcome = run(jobs(tmp_path, names), load, compute, recorder, size=4)
    assert [item.input for item in outcome.items] == [str(tmp_path / name) for name in names.split()]
    assert all(Path(str(item.output)).read_text() == Path(item.input).name for item in outcome.items)
    assert [item.bytes for item in outcome.items] == [len(name) for name in names.split()]
    assert sorted(item.input for item in recorder.items) == sorted(item.input for item in outcome.items)
    assert outcome.exit_code == 0


@pytest.mark.parametrize("size", [1, 3, 16])
def test_failures_of_reading_and_computing_do_not_touch_the_others(tmp_path: Path, size: int):
    outcome = run(jobs(tmp_path, "a bad b odd c"), load, compute, Recorder(), size=size)
    assert errors(outcome) == [0, 4, 0, 5, 0]
    assert outcome.exit_code == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "b.txt", "c.txt"]


def test_an_unexpected_error_fails_its_own_input_only(tmp_path: Path):
    outcome = run(jobs(tmp_path, "a b"), load, lambda n: [Done(Length(1 // (n[0] != "a")))], Recorder())
    assert errors(outcome) == [1, 0]
    assert "ZeroDivisionError" in str(outcome.items[0].error)


def test_batches_hold_equal_keys_only_and_no_more_than_their_size(tmp_path: Path):
    seen: list[list[str]] = []

    def watch(names: list[str]) -> list[Done]:
        seen.append(names)
        return compute(names)

    names = "a1 b22 a2 b33 a3 b44 a4 a5"
    run(jobs(tmp_path, names), load, watch, Recorder(), size=3, key=len)
    assert sorted(name for batch in seen for name in batch) == sorted(names.split())
    assert all(len({len(name) for name in batch}) == 1 and len(batch) <= 3 for batch in seen)
    assert ["a1", "a2", "a3"] in seen


def test_skipped_jobs_and_problems_are_reported_without_work(tmp_path: Path):
    skipped = Job(Input(tmp_path / "a", Path("a")), tmp_path / "a.txt", skip=True)
    lost = Job(Input(tmp_path / "b", Path("b"), problem="b does not exist; check the path."))
    outcome = run([skipped, lost], lambda item: pytest.fail("loaded"), compute, Recorder())
    assert [item.skipped for item in outcome.items] == [True, False]
    assert errors(outcome) == [0, 4]


def test_a_full_disk_ends_the_work_and_the_rest_is_named(tmp_path: Path):
    names = "full " + " ".join(f"n{number}" for number in range(200))
    outcome = run(jobs(tmp_path, names), load, compute, Recorder())
    assert outcome.items[0].error is not None
    assert "disk is full" in str(outcome.items[0].error)
    assert errors(outcome)[-1] == 6
    assert len(outcome.items) == 201


def test_inputs_are_read_ahead_within_a_budget_of_memory(tmp_path: Path):
    lock, alive, most = threading.Lock(), 0, 0

    class Large:
        nbytes = 1 << 28  # two of them fill the budget

    def count(item: Input) -> Large:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return Large()

    def release(loaded: list[Large]) -> list[Done]:
        nonlocal alive
        time.sleep(0.002)
        with lock:
            alive -= len(loaded)
        return [Done()] * len(loaded)

    run(jobs(tmp_path, " ".join("abcdefghijklmnopqrstuvwxyz")), count, release, Recorder(), size=8)
    assert most <= 10  # the first reads, one for each thread, start before the size is known


def test_reading_goes_on_while_computing(tmp_path: Path):
    def slow_load(item: Input) -> str:
        time.sleep(0.02)
        return item.path.name

    def slow_compute(names: list[str]) -> list[Done]:
        time.sleep(0.02 * len(names))
        return [Done()] * len(names)

    start = time.perf_counter()
    outcome = run(jobs(tmp_path, " ".join("abcdefghijklmnopqrst")), slow_load, slow_compute, Recorder())
    assert time.perf_counter() - start < 0.7  # one after the other would take 0.8
    assert all(0.03 < item.seconds < 0.3 for item in outcome.items)


def test_the_runner_itself_takes_less_than_half_a_millisecond_an_item(tmp_path: Path):
    many = [Job(Input(tmp_path / str(number), Path(str(number)))) for number in range(2000)]
    start = time.perf_counter()
    run(many, lambda item: 1, lambda batch: [Done(Length(1))] * len(batch), Console("x", jsonl=True), size=16)
    assert time.perf_counter() - start < 1.0


def test_a_dry_run_reports_the_plan_and_writes_nothing(tmp_path: Path):
    recorder = Recorder()
    outcome = dry_run(jobs(tmp_path, "a b"), recorder)
    assert [item.document()["planned"] for item in outcome.items] == [True, True]
    assert outcome.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_waited_for_when_the_interrupt_comes_is_reported(tmp_path: Path):
    def write(path: Path) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # while the main thread waits
        time.sleep(0.2)
        path.write_text("whole")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = run(jobs(tmp_path, "a"), load, lambda names: [Done(None, write)], Recorder())
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.interrupted and [item.error for item in outcome.items] == [None]
    assert outcome.items[0].output is not None and Path(outcome.items[0].output).read_text() == "whole"


def test_ctrl_c_keeps_whole_files_leaves_no_temporary_ones_and_exits_with_130(tmp_path: Path):
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from nidcli.batch import Done, run
        from nidcli.console import Console
        from nidcli.files.atomic import replacing
        from nidcli.files.inputs import Input
        from nidcli.files.outputs import Job

        def write(path):
            with replacing(path) as temporary, temporary.open("w") as file:
                file.write("first half, ")
                time.sleep(0.05)
                file.write("second half")

        def compute(batch):
            time.sleep(0.02)
            return [Done(None, write) for _ in batch]

        out = Path(sys.argv[1])
        jobs = [Job(Input(Path(str(n)), Path(str(n))), out / f"{n}.txt") for n in range(500)]
        console = Console("encode", json=True)
        console.conclude(run(jobs, lambda item: item, compute, console))
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("out/3.txt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    written = list((tmp_path / "out").iterdir())
    assert 4 <= len(written) < 500
    assert {path.read_text() for path in written} == {"first half, second half"}
    assert {item["output"] for item in json.loads(out)["items"]} == {str(path) for path in written}
