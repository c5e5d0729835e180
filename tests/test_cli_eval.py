"""`nid eval` compares what has a partner and names what has none; `nid doctor` tells what there is."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nidcli.files.images import write_image

Nid = Callable[..., tuple[int, str, str]]


def test_doctor_reports_versions_devices_extras_and_dictionaries(nid: Nid):
    code, out, _ = nid("doctor", "--json")
    document = json.loads(out)
    assert (code, document["command"], document["items"]) == (0, "doctor", [])
    assert document["versions"]["torch"].split("+")[0] == importlib.import_module("torch").__version__.split("+")[0]
    assert document["devices"][0]["name"] == "cpu"
    assert document["devices"][0]["bf16_speedup"] > 0
    assert {"extras", "dictionaries"} <= document.keys()


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    """results/ and references/ of three photos; each result is darker by 0.01, which is 40 dB."""
    results, references = tmp_path / "results", tmp_path / "references"
    results.mkdir()
    references.mkdir()
    for number in range(3):
        values = np.full((16 + number, 20, 3), 0.5, np.float32)
        write_image(references / f"p{number}.npy", values)
        write_image(results / f"p{number}.tif", values - 0.01, bit_depth=32)
    return results, references


def test_eval_reports_every_pair_and_the_means(nid: Nid, photos: tuple[Path, Path]):
    code, out, _ = nid("eval", *map(str, photos), "--json")
    document = json.loads(out)
    assert code == 0
    assert [round(item["psnr"], 2) for item in document["items"]] == [40.0] * 3
    assert round(document["mean"]["psnr"], 2) == 40.0
    assert 0.9 < document["mean"]["ssim"] <= 1
    assert "mean  psnr 40.00" in nid("eval", *map(str, photos))[1]


def test_eval_names_what_fails_and_does_the_rest(nid: Nid, photos: tuple[Path, Path]):
    results, references = photos
    (results / "notes.txt").write_text("words")
    (results / "p0.tif").write_bytes(b"II*\0")
    write_image(references / "p1.npy", np.zeros((5, 5, 3)))
    write_image(references / "alone.png", np.zeros((5, 5, 3)))
    code, out, err = nid("eval", str(results), str(references), "--json")
    items = {Path(item["input"]).name: item for item in json.loads(out)["items"]}
    assert code == 3
    assert round(items["p2.tif"]["psnr"], 2) == 40.0
    for name in ("notes.txt", "p0.tif", "p1.tif", "alone.png"):
        assert name in items[name]["error"]
        assert items[name]["error"] in err
    assert nid("eval", str(results / "p0.tif"), str(references))[0] == 4
