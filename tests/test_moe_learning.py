"""`--method moe`, tiny: it gets better, uses its experts, and an interrupted run ends in the same bytes."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from photo_cases import Nid
from tiny import edges

from nidcli.artifacts import load_model
from nidcli.coding import coder
from nidcli.errors import InputError, UsageError
from nidcli.files.collections import PhotoCollection, open_collection
from nidcli.files.images import read_image, write_image
from nidcli.imaging import encode, render_all
from nidcli.metrics import psnr
from nidcli.moe.gates import LookupGate
from nidcli.moe.learner import MoeLearner, MoeProgress, used_and_even
from nidcli.moe.spec import MoeSpec
from nidcli.structure import from_plain

BANK = {"experts": 48, "hidden": 32, "frequencies": 60, "layers": 2, "activated": True}
TINY = {
    "method": "moe",
    "size": 32,
    "epochs": 12,
    "warm_epochs": 2,
    "batch": 64,
    "holdout": 3,
    "rate": 3e-3,
    "precision": "float32",
    "model": {
        "moe": {"kind": "cnn", "width": 12, "stem": 8, "blocks": 4, "halve": 1},
        "levels": [{"pixels": 8, "overlap": 0.125, "top_k": 8, "basis": 0, "dictionary": BANK}],
    },
}
SPEC = from_plain(MoeSpec, {key: value for key, value in TINY.items() if key != "method"}, "tiny", UsageError)
LEVEL = SPEC.model.levels[0]
SET = {"kind": "set", "width": 12, "blocks": 2, "halve": 0, "pool": "max"}
WAYS: dict[str, MoeSpec] = {
    "cnn": SPEC,
    "lookup": replace(SPEC, model=replace(SPEC.model, moe=None)),
    "own heads, set": from_plain(
        MoeSpec,
        {
            "size": 16, "epochs": 6, "warm_epochs": 1, "batch": 32, "precision": "float32",
            "model": {"moe": SET, "levels": [{
                "pixels": 8, "overlap": 0.125, "top_k": 4, "basis": 0,
                "dictionary": BANK | {"experts": 24, "heads": "own", "width": 4, "embedding": "siren"},
            }]},
        }, "set", UsageError,
    ),
    "blocks": replace(
        SPEC, size=16, model=replace(SPEC.model, levels=(replace(LEVEL, cells=2, shared=False, overlap=0.25),))
    ),
    "video": replace(SPEC, loss="l1", decay=0.5, balance=0.0, masked=0.5, falling=False),
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edges(tmp_path_factory.mktemp("data") / "photos.npy")


@pytest.fixture(scope="module")
def collection(photos: Path) -> PhotoCollection:
    return open_collection([str(photos)])


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: object) -> Path:
        path = tmp_path / f"tiny{'-'.join(changes)}.yaml"
        path.write_text(yaml.safe_dump(TINY | changes))
        return path

    return write


def run(spec: MoeSpec, collection: PhotoCollection) -> tuple[MoeLearner, list[MoeProgress]]:
    learner = MoeLearner(spec, collection)
    return learner, [line for line in learner.run() if isinstance(line, MoeProgress)]


def equal(a: MoeLearner, b: MoeLearner) -> bool:
    ours, theirs = a.state(), b.state()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gets_better_and_uses_its_experts(way: str, collection: PhotoCollection):
    learner, lines = run(WAYS[way], collection)
    told = [line for line in lines if line.loss is not None and line.psnr_train is not None]
    trained = [line.psnr_train for line in told if line.psnr_train is not None]
    assert len(told) >= 3 and max(trained[1:]) > trained[0] + 1
    assert [stage for stage, _ in itertools.groupby(line.stage for line in lines)] == ["warm-up", "top-k"]
    assert all((line.psnr is None) == isinstance(learner.gate, LookupGate) for line in told)
    used_K = learner.code(learner.source.batch([0, 1])[0], 8, [0, 1]).code_SK.abs().sum(0)
    if way == "video":  # eq. 15: the first experts carry most
        assert used_K[:12].sum() > 2 * used_K[12:24].sum() > 0
    else:
        assert told[-1].used is not None and told[-1].used > 0.5
    assert all(tensor.isfinite().all() for tensor in learner.state().values() if tensor.is_floating_point())


@pytest.mark.parametrize("way, after", [("cnn", 2), ("cnn", 30), ("lookup", 9), ("blocks", 5), ("video", 11)])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(way: str, after: int, collection: PhotoCollection):
    first, second = (MoeLearner(WAYS[way], collection) for _ in range(2))
    for _ in itertools.islice(first.run(), after):
        pass
    second.restore({name: tensor.clone() for name, tensor in first.state().items()}, copy.copy(first.place))
    assert list(second.run())
    assert equal(second, run(WAYS[way], collection)[0])


def test_the_gates_of_blocks_answer_at_the_border_where_samples_are_missing(collection: PhotoCollection):
    learner, _ = run(replace(WAYS["blocks"], epochs=40), collection)
    model = learner.model.eval().requires_grad_(False)
    images = torch.stack([collection.image(index, 16) for index in learner.held])
    codes = encode(model, images, coder(model, "gate", 8))
    assert all(code.coefficients <= 4 * (8 + 3) for code in codes)
    drawn = render_all(model, codes, 16, 16)
    assert float(psnr(drawn, images).mean()) == pytest.approx(learner.held_out(3), abs=4)
    assert float(psnr(drawn, images).mean()) > float(
        psnr(images.mean((1, 2, 3), keepdim=True) + 0 * images, images).mean()
    )


def test_seeds_tell_runs_apart(collection: PhotoCollection):
    assert not equal(run(replace(SPEC, epochs=2), collection)[0], run(replace(SPEC, epochs=2, seed=1), collection)[0])


def test_a_time_limit_ends_the_run(collection: PhotoCollection):
    learner = MoeLearner(replace(SPEC, epochs=5000), collection, limit=0.5)
    lines = list(learner.run())
    assert lines[-1].seconds < 5 and lines[-1].step < 5000
    assert lines[-1].psnr is not None and learner.place.stage == "done"


def test_in_the_warm_up_codes_are_dense_and_afterwards_they_are_not(collection: PhotoCollection):
    learner = MoeLearner(SPEC, collection)
    values, images = learner.source.batch([0, 1])[0], [0, 1]
    assert int((learner.code(values, None, images).code_SK != 0).sum(1).min()) > 40
    assert (learner.code(values, 8, images).code_SK != 0).sum(1).tolist() == [8] * len(values)


def test_use_is_told_as_a_share_and_as_evenness():
    assert list(used_and_even(torch.tensor([3, 3, 0, 0]))) == pytest.approx([0.5, 0.5])
    assert list(used_and_even(torch.tensor([5, 5]))) == pytest.approx([1.0, 1.0])
    assert used_and_even(torch.zeros(4))[0] == 0


def test_too_few_images_and_two_levels_are_refused(collection: PhotoCollection):
    with pytest.raises(InputError, match="too few"):
        MoeLearner(replace(SPEC, holdout=20), collection)
    with pytest.raises(ValueError, match="one level"):
        replace(SPEC, model=replace(SPEC.model, levels=(LEVEL, LEVEL)))


@pytest.mark.parametrize("gate", ["cnn", "set", "lookup"])
def test_the_command_learns_what_encode_refine_and_decode_read(
    nid: Nid, photos: Path, tiny: Callable[..., Path], tmp_path: Path, gate: str
):
    given = ("learn-dict", "--data", photos, "-o", tmp_path / "a.nid", "--method", "moe", "--config", tiny())
    code, out, err = nid(*given, "--gate", gate, "--json")
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert (item["experts"], item["top_k"], item["samples"]) == (48, 8, 17)
    assert item["used"] > 0.5 and math.isfinite(item["psnr"])
    lines = [json.loads(line) for line in (tmp_path / "a.run/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["used"] == item["used"] and any(line.get("used") for line in lines[:-1])
    assert read_image(tmp_path / "a.run/progress.png").width > 100
    model = load_model(tmp_path / "a.nid").model
    assert (model.moe is None) == (gate == "lookup") and model.level(0).prior_variance_BK.max() > 0

    picture = torch.from_numpy(open_collection([str(photos)]).image(3, 32).numpy())
    write_image(tmp_path / "p.npy", picture.numpy())
    at = ("--dict", tmp_path / "a.nid", "--json")
    code, out, err = nid("encode", tmp_path / "p.npy", "-o", tmp_path / "p.nidc", *at)
    if gate == "lookup":
        assert code == 2 and "--solver omp" in err
        code, out, err = nid("encode", tmp_path / "p.npy", "-o", tmp_path / "p.nidc", "--solver", "omp", *at)
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert item["coefficients"] <= 16 * (8 + 3)
    code, out, err = nid("refine", tmp_path / "p.nidc", "--data", tmp_path / "p.npy", "-o", tmp_path / "r.nidc", *at)
    assert code == 0, err
    assert json.loads(out)["items"][0]["psnr"] >= json.loads(out)["items"][0]["psnr_before"] - 0.01
    assert nid("decode", tmp_path / "r.nidc", "-o", tmp_path / "r.npy", *at)[0] == 0
    drawn = torch.from_numpy(read_image(tmp_path / "r.npy").pixels)
    refined = json.loads(out)["items"][0]["psnr"]
    assert float(psnr(drawn[None], picture[None])) == pytest.approx(refined, abs=0.1)


def test_methods_gates_and_presets_must_agree(nid: Nid, photos: Path, tiny: Callable[..., Path], tmp_path: Path):
    given = ("learn-dict", "--data", photos, "-o", tmp_path / "a.nid")
    for flags, words in (
        (("--method", "moe", "--gate", "cell"), "trains a gate"),
        (("--method", "moe", "--gate", "none"), "cnn, set or lookup"),
        (("--gate", "cnn"), "for --method moe"),
        (("--method", "moe", "--preset", "face"), "--preset face is for --method solve"),
        (("--method", "solve", "--preset", "moe"), "--preset moe is for --method moe"),
        (("--method", "moe", "--top-k", 49, "--config", tiny()), "--top-k 49"),
        (("--method", "moe", "--config", tiny(warmth=3)), "unknown key 'warmth'"),
        (("--method", "moe", "--config", tiny(epochs=0)), "epochs"),
    ):
        code, _, err = nid(*given, *flags)
        assert code == 2 and words in err, (flags, err)


def test_a_dry_run_tells_the_plan_of_the_preset_that_the_file_names(
    nid: Nid, photos: Path, tiny: Callable[..., Path], tmp_path: Path
):
    code, out, err = nid(
        "learn-dict", "--data", photos, "-o", tmp_path / "a.nid", "--config", tiny(), "--dry-run", "--json"
    )
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert (item["images"], item["held_out"], item["experts"], item["steps"]) == (20, 3, 48, 12 * 4)
    assert item["memory"] > 1 << 20 and not (tmp_path / "a.nid").exists()
