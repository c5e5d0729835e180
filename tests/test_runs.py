"""Runs that are interrupted lose nothing, and go on with what they began with only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY, edges, learned, photos, tiny, tiny_preset  # noqa: F401

from nidcli.errors import NidError, UsageError
from nidcli.files.collections import open_collection
from nidcli.learn import Learner
from nidcli.runs import Interrupted, RunFolder, drive


@pytest.mark.parametrize("stop", [1, 3, 4, 6, 10])
def test_an_interrupted_run_ends_in_the_same_bytes(photos: Path, tmp_path: Path, stop: int):
    whole = learned(photos, tmp_path / "whole", tiny_preset())
    with pytest.raises(Interrupted, match="--resume"):
        learned(photos, tmp_path / "cut", tiny_preset(), stop=stop)
    with pytest.raises(NidError, match="holds an unfinished run"):
        learned(photos, tmp_path / "cut", tiny_preset())
    assert learned(photos, tmp_path / "cut", tiny_preset(), resume=True) == whole
    stages = [json.loads(line).get("stage") for line in (tmp_path / "cut/metrics.jsonl").read_text().splitlines()]
    assert stages.count("atoms") == 4


def test_a_bank_for_each_cell_is_resumed_where_it_stood(photos: Path, tmp_path: Path):
    preset = tiny_preset(shared=False)
    whole = learned(photos, tmp_path / "whole", preset)
    with pytest.raises(Interrupted):
        learned(photos, tmp_path / "cut", preset, stop=11)
    assert learned(photos, tmp_path / "cut", preset, resume=True) == whole


def test_other_photos_or_options_do_not_resume(photos: Path, tmp_path: Path):
    with pytest.raises(Interrupted):
        learned(photos, tmp_path / "cut", tiny_preset(), stop=2)
    with pytest.raises(UsageError, match="other options"):
        learned(photos, tmp_path / "cut", replace(tiny_preset(), steps=5), resume=True)
    np.save(tmp_path / "others.npy", np.load(photos)[::-1])
    with pytest.raises(UsageError, match="other data"):
        learned(tmp_path / "others.npy", tmp_path / "cut", tiny_preset(), resume=True)
    (tmp_path / "cut/checkpoint.safetensors").write_bytes(b"damaged")
    with pytest.raises(NidError, match="is damaged"):
        learned(photos, tmp_path / "cut", tiny_preset(), resume=True)


def test_the_first_interrupt_of_the_command_saves_and_leaves_with_130(photos: Path, tiny: Path, tmp_path: Path):
    given = ["learn-dict", "--data", str(photos), "-o", str(tmp_path / "a.nid"), "--config", str(tiny)]
    command = [sys.executable, "-m", "nidcli", *given, "--steps", "3000", "--gate", "none"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    metrics, deadline = tmp_path / "a.run/metrics.jsonl", time.monotonic() + 50
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130, err
    assert "--resume" in err and "Traceback" not in err
    assert (tmp_path / "a.run/checkpoint.safetensors").exists() and not (tmp_path / "a.nid").exists()


def test_a_second_interrupt_stops_at_once(photos: Path, tmp_path: Path):
    collection = open_collection([str(photos)])
    learner, run = Learner(tiny_preset().learn, collection), RunFolder.of(tmp_path, tiny_preset().learn, "")

    def tell(done: int, total: int, note: str) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        drive(learner, run, tell)
    assert signal.getsignal(signal.SIGINT) is before
