"""`nid learn-dict` from photos to a dictionary: presets and flags, reports, and equal bytes for equal seeds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY, edges, learned, photos, tiny  # noqa: F401

from nidcli import cli
from nidcli.artifacts import load_model
from nidcli.presets import kind_of, load_config, load_preset, method_of, preset_names
from nidcli.training import Changes, Preset, adjusted

Nid = Callable[..., tuple[int, str, str]]


@pytest.fixture
def nid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nid:
    """Run `nid learn-dict` in this process: exit status, standard output, standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nid", "learn-dict", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


def test_a_run_writes_a_dictionary_metrics_and_a_report(nid: Nid, photos: Path, tiny: Path, tmp_path: Path):
    given = ("--data", photos, "-o", tmp_path / "a.nid", "--config", tiny, "--licence", "CC0", "--json")
    code, out, err = nid(*given)
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert item["experts"] == 32 and item["top_k"] == 4 and item["samples"] == 17
    assert 8 <= item["rank"][0] <= 32
    assert 10 < item["psnr"] < 60
    assert item["bytes"] == (tmp_path / "a.nid").stat().st_size
    artifact = load_model(tmp_path / "a.nid")
    assert artifact.meta.provenance.data_licence == "CC0"
    assert artifact.meta.provenance.data_count == 20
    assert artifact.meta.metric("psnr") == pytest.approx(item["psnr"])
    assert artifact.meta.code_samples == 4 * 16 * 4
    lines = [json.loads(line) for line in (tmp_path / "a.run" / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("stage") for line in lines] == ["atoms"] * 4 + ["polish"] * 4 + ["gate"] * 3 + [None]
    assert lines[-1]["psnr"] == item["psnr"]
    assert not (tmp_path / "a.run" / "checkpoint.safetensors").exists()

    first = (tmp_path / "a.nid").read_bytes()
    code, _, err = nid(*given)
    assert code == 6 and "exists already" in err
    assert nid(*given, "--resume")[0] == 0  # done already
    assert nid(*given, "--overwrite", "--run", tmp_path / "elsewhere")[0] == 0
    assert (tmp_path / "a.nid").read_bytes() == first
    assert nid(*given, "--overwrite", "--seed", "1")[0] == 0
    assert (tmp_path / "a.nid").read_bytes() != first


def test_a_dry_run_tells_the_plan_and_writes_nothing(nid: Nid, photos: Path, tiny: Path, tmp_path: Path):
    code, out, _ = nid("--data", photos, "-o", tmp_path / "a.nid", "--config", tiny, "--dry-run", "--json")
    (item,) = json.loads(out)["items"]
    assert code == 0 and item["planned"] is True
    assert (item["images"], item["held_out"], item["steps"]) == (20, 3, 4 + 4 + 3)
    assert item["memory"] > 20 * 32 * 32 * 3 * 4 and item["file_bytes"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.yaml"]


@pytest.mark.parametrize(
    "wrong, words",
    [
        (("-o", "a.png"), "does not end in .nid"),
        (("-o", "a.nid", "--time-limit", "soon"), "10m"),
        (("-o", "a.nid", "--preset", "fase"), "did you mean 'face'"),
        (("-o", "a.nid", "--experts", "8", "--top-k", "9"), "--top-k 9"),
    ],
)
def test_wrong_options_are_usage_errors(nid: Nid, photos: Path, wrong: tuple[str, ...], words: str):
    code, _, err = nid("--data", photos, *wrong)
    assert code == 2 and words in err


def test_an_unknown_key_of_the_configuration_is_named(nid: Nid, photos: Path, tmp_path: Path):
    (tmp_path / "c.yaml").write_text("stepps: 3\n")
    code, _, err = nid("--data", photos, "-o", tmp_path / "a.nid", "--config", tmp_path / "c.yaml")
    assert code == 2 and "unknown key 'stepps'; did you mean 'steps'" in err


def test_data_that_cannot_be_read_leave_with_4(nid: Nid, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("words")
    assert nid("--data", tmp_path, "-o", tmp_path / "a.nid")[0] == 4
    assert nid("-o", tmp_path / "a.nid")[0] == 2


def test_flags_win_over_the_preset_and_the_rest_follows():
    image = load_preset("image", Preset)
    level = adjusted(image, Changes(experts=100)).model.levels[0]
    assert (level.dictionary.experts, level.basis) == (100, 50)
    level = adjusted(image, Changes(cells=4)).model.levels[0]
    assert (level.cells, level.pixels, level.overlap) == (4, 32, 1 / 32)
    assert adjusted(image, Changes(cells=4, overlap=0.5)).model.levels[0].overlap == 0.5
    assert adjusted(image, Changes(gate="none")).model.gate is None
    tiny_gate = adjusted(image, Changes(experts=6)).model
    assert tiny_gate.gate is not None and tiny_gate.gate.rounds == 0
    assert tiny_gate.levels[0].top_k == 6


@pytest.mark.parametrize(
    "flags", [("--cells", "1", "--size", "16"), ("--cells", "3"), ("--experts", "5"), ("--overlap", "0.5")]
)
def test_cells_experts_and_overlap_of_any_size_learn(nid: Nid, photos: Path, tiny: Path, tmp_path: Path, flags):
    code, out, err = nid("--data", photos, "-o", tmp_path / "a.nid", "--config", tiny, "--steps", 2, *flags, "-q")
    assert (code, err) == (0, "")
    assert "psnr" in out


SOLVED = [name for name in preset_names() if method_of(name) is None and kind_of(name) in (None, "image")]


@pytest.mark.parametrize("name", SOLVED)
def test_every_preset_learns(photos: Path, tmp_path: Path, name: str):
    """As it is but for its size: fewer experts on smaller cells, so that a busy machine learns it in a second."""
    preset = load_preset(name, Preset)
    levels = tuple(
        replace(level, pixels=level.pixels // 2, basis=16, overlap=2 * level.overlap, top_k=4, dictionary=bank)
        for level in preset.model.levels
        for bank in [replace(level.dictionary, experts=80, hidden=32, frequencies=60)]
    )
    small = {"size": 16, "steps": 2, "batch": 64, "sparsity": (2,), "components": 16, "fine_pixels": 12, "holdout": 3}
    spec = replace(preset, model=replace(preset.model, levels=levels), **small)  # type: ignore[arg-type]
    spec = replace(spec, polish_steps=min(2, spec.polish_steps), gate_steps=min(2, spec.gate_steps))
    spec = replace(spec, encoder_steps=2, detector_steps=2, finisher_steps=2)
    assert learned(photos, tmp_path / name, spec)


def test_the_face_preset_records_whose_the_photos_are(tmp_path: Path):
    face = load_preset("face", Preset)
    assert "non-commercial" in face.data_licence
    (tmp_path / "c.yaml").write_text("data_licence: mine\n")
    assert load_config(tmp_path / "c.yaml", Preset, face).data_licence == "mine"
    assert adjusted(face, Changes(licence="yours")).data_licence == "yours"
