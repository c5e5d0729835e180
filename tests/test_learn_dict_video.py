"""`nid learn-dict --kind video`: one camera's background from a clip, judged on frames that were held out."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from video_cases import H, W, crossing, room, write_clip, write_frames

from nidcli.artifacts import load_model
from nidcli.errors import UsageError
from nidcli.files.video import open_clip
from nidcli.kinds import prepare
from nidcli.presets import load_preset
from nidcli.runs import Interrupted, RunFolder, drive
from nidcli.training import Changes
from nidcli.video import teaching
from nidcli.video.judging import judged
from nidcli.video.learner import Camera, SceneLearner, SceneSpec
from nidcli.video.learning import learn
from nidcli.video.scene import Scene, picture, scene_model
from nidcli.video.teaching import Preset
from nidcli.video.windows import windows

pytestmark = pytest.mark.usefixtures("one_thread")

Nid = Callable[..., tuple[int, str, str]]
CASE = crossing()
WINDOWED = "samples: 16\nstride: 1\nmodel: {kind: video}\n"  # of 40 frames: four windows


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "monday", CASE.frames)


@pytest.fixture
def learn_dict(nid: Nid, frames: Path, tmp_path: Path) -> Nid:
    """`nid learn-dict --kind video --data monday/ -o camera.nid` with further arguments, the later ones win."""

    def run(*arguments: object) -> tuple[int, str, str]:
        return nid("learn-dict", "--kind", "video", "--data", frames, "-o", tmp_path / "camera.nid", *arguments)

    return run


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_clip_becomes_a_dictionary_that_the_other_commands_take(
    nid: Nid, learn_dict: Nid, frames: Path, tmp_path: Path
):
    code, out, err = learn_dict("--json", "--licence", "CC0")
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert (item["experts"], item["top_k"], item["samples"]) == (19, 19, 35)  # and five are held out
    assert item["rank"][0] == 19 and item["bytes"] == (tmp_path / "camera.nid").stat().st_size
    assert 35.5 < item["psnr"] < 36.2  # the noise alone is 36.1 dB
    assert item["moving"] == pytest.approx(14 * 14 / (H * W), rel=0.1)
    found = load_model(tmp_path / "camera.nid")
    assert found.meta.metric("psnr") == item["psnr"] and found.meta.provenance.data_count == 40
    assert found.meta.provenance.data_licence == "CC0"
    assert "--kind video" in found.meta.provenance.command and str(tmp_path) not in found.meta.provenance.command
    assert float(((picture(found.model, W, H).numpy() - room()) ** 2).mean()) < 10**-3.8
    stages = [(line.get("stage"), line.get("psnr")) for line in lines(tmp_path / "camera.run")]
    assert stages == [("scene", item["psnr"]), (None, item["psnr"])]
    assert not (tmp_path / "camera.run" / "checkpoint.safetensors").exists()

    assert nid("verify", tmp_path / "camera.nid")[0] == 0
    code, out, _ = nid("info", tmp_path / "camera.nid", "--json")
    assert code == 0 and json.loads(out)["items"][0]["kind"] == "video"
    given = ("--dict", tmp_path / "camera.nid", "--json")
    code, out, err = nid("decompose-video", frames, "-o", tmp_path / "out", *given)
    assert code == 0, err
    assert np.mean(json.loads((tmp_path / "out" / "report.json").read_text())["moving"]) == pytest.approx(
        CASE.masks.mean(), rel=0.1
    )


def test_equal_clips_give_equal_bytes_and_nothing_is_lost_unasked(learn_dict: Nid, tmp_path: Path):
    assert learn_dict()[0] == 0
    first = (tmp_path / "camera.nid").read_bytes()
    code, _, err = learn_dict()
    assert code == 6 and "--overwrite" in err
    assert learn_dict("--resume")[0] == 0  # done already
    assert learn_dict("--overwrite", "--run", tmp_path / "elsewhere")[0] == 0
    assert (tmp_path / "camera.nid").read_bytes() == first


def test_the_scene_is_the_one_that_decompose_video_learns(frames: Path):
    """Frames held out apart, which a clip of fewer than eight has none of."""
    clip = open_clip(frames)
    few = type(clip)(clip.path, clip.width, clip.height, clip.times[:7], clip.fps, clip.files[:7])
    learner = SceneLearner(SceneSpec(), Camera(few, print))
    assert [progress.psnr for progress in learner.run()] == [None] and not learner.held
    (window,) = windows(few, "cpu")
    assert learner.background is not None
    ours, theirs = learner.background.model.state_dict(), window.scene.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_an_interrupted_run_ends_in_the_same_bytes(learn_dict: Nid, frames: Path, tmp_path: Path, stop: int):
    (tmp_path / "c.yaml").write_text(WINDOWED)
    given = ("--config", tmp_path / "c.yaml")
    assert learn_dict(*given)[0] == 0
    whole = (tmp_path / "camera.nid").read_bytes()
    logged = lines(tmp_path / "camera.run")
    assert [line.get("step") for line in logged] == [1, 2, 3, 4, None] and logged[-1]["samples"] == 35

    _, spec = prepare("video", None, tmp_path / "c.yaml", Changes())
    camera = teaching.open_data([str(frames)], spec, recursive=False, files_from=None, warn=print)
    learner, run = (
        teaching.learner(spec, camera, "cpu", None),
        RunFolder.of(tmp_path / "cut", spec.learn, camera.digest),
    )

    def tell(done: int, total: int, note: str) -> None:
        assert total == 4
        if done == stop:
            signal.raise_signal(signal.SIGINT)

    run.start(learner, resume=False, overwrite=False)
    with pytest.raises(Interrupted, match=f"step {stop} of 4"):
        drive(learner, run, tell)
    again = ("-o", tmp_path / "again.nid", "--run", tmp_path / "cut", *given)
    assert learn_dict(*again)[0] == 6
    code, _, err = learn_dict(*again, "--resume", "--holdout", "3")
    assert code == 2 and "other options" in err
    assert learn_dict(*again, "--resume")[0] == 0
    assert (tmp_path / "again.nid").read_bytes() == whole
    timeless = [{**line, "seconds": 0} for line in lines(tmp_path / "cut")]
    assert timeless == [{**line, "seconds": 0} for line in logged]


def test_a_time_limit_leaves_the_background_so_far(learn_dict: Nid, tmp_path: Path):
    (tmp_path / "c.yaml").write_text(WINDOWED)
    code, out, err = learn_dict("--config", tmp_path / "c.yaml", "--time-limit", "0.001s", "--json")
    assert code == 0 and "the last 24 frames were not looked at" in err
    assert json.loads(out)["items"][0]["samples"] == 14


def test_a_dry_run_tells_the_plan_and_writes_nothing(learn_dict: Nid, tmp_path: Path):
    code, out, _ = learn_dict("--dry-run", "--json")
    (item,) = json.loads(out)["items"]
    assert code == 0 and item["planned"] is True
    assert (item["frames"], item["windows"], item["window"], item["held_out"]) == (40, 1, 40, 5)
    assert (item["width"], item["height"], item["experts"]) == (W, H, 19) and item["memory"] > 40 * H * W * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["monday"]
    assert learn_dict()[0] == 0
    assert item["file_bytes"] == pytest.approx((tmp_path / "camera.nid").stat().st_size, rel=0.1)


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--cells", "4"), "--cells has no meaning for --kind video"),
        (("--overlap", "0.1", "--size", "64"), "--overlap and --size have no meaning"),
        (("--experts", "8"), "--experts has"),
        (("--top-k", "8"), "--top-k has"),
        (("--gate", "none"), "--gate has"),
        (("--steps", "9"), "--steps has"),
        (("--method", "moe"), "not for video"),
        (("--preset", "small"), "--preset small is for --kind image"),
        (("--holdout", "21"), "--holdout 21 is more than half of the 40 frames"),
    ],
)
def test_options_that_mean_nothing_are_refused(learn_dict: Nid, tmp_path: Path, flags: tuple[str, ...], words: str):
    code, _, err = learn_dict(*flags)
    assert code == 2 and words in " ".join(err.split())
    assert not (tmp_path / "camera.nid").exists()


def test_data_that_are_no_clip_are_refused(nid: Nid, learn_dict: Nid, tmp_path: Path):
    code, _, err = learn_dict("--data", write_frames(tmp_path / "tuesday", CASE.frames[:2]))
    assert code == 2 and "one camera, but 2 clips are given" in " ".join(err.split())
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    wrong = ("learn-dict", "--kind", "video", "-o", tmp_path / "camera.nid")
    for name in ("bad.mp4", "nowhere.mp4"):
        code, _, err = nid(*wrong, "--data", tmp_path / name)
        assert code == 4 and name in err
    assert nid(*wrong)[0] == 2
    (tmp_path / "c.yaml").write_text("samples: 2\nmodel: {kind: video}\n")
    with pytest.raises(UsageError, match="holds 8 samples or more"):
        prepare(None, None, tmp_path / "c.yaml", Changes())


def test_a_video_file_of_a_single_frame_is_learned_without_a_judge(nid: Nid, tmp_path: Path):
    clip = write_clip(tmp_path / "one.mp4", CASE.frames[:1])
    code, out, err = nid("learn-dict", "--kind", "video", "--data", clip, "-o", tmp_path / "one.nid", "--json")
    assert code == 0 and "Nothing is held out" in err
    (item,) = json.loads(out)["items"]
    assert item["samples"] == 1 and item["psnr"] is None and load_model(tmp_path / "one.nid").meta.metrics == ()


def test_held_out_frames_are_as_many_as_asked_for_and_never_learned_from(frames: Path):
    learner = SceneLearner(SceneSpec(holdout=5), Camera(open_clip(frames), print))
    assert learner.held == [4, 12, 20, 28, 36]
    assert len(SceneLearner(SceneSpec(holdout=20), Camera(open_clip(frames), print)).held) == 20


def test_a_wrong_background_shows_as_moving_and_noise_as_psnr():
    samples_THWC = torch.from_numpy(CASE.frames)
    good = learn(samples_THWC)
    right = judged(good, samples_THWC, samples_THWC[:8])
    patched_HWC = picture(good.model, W, H).clone()
    patched_HWC[:20, :40] = torch.tensor([0.1, 0.9, 0.1])
    wrong = judged(Scene(scene_model(patched_HWC), good.deviation_HWC), samples_THWC, samples_THWC[:8])
    assert right.psnr == pytest.approx(-20 * np.log10(4 / 255), abs=0.5)
    assert right.moving == pytest.approx(14 * 14 / (H * W), rel=0.1)
    assert wrong.moving > right.moving + 0.9 * 20 * 40 / (H * W)


def test_the_preset_is_what_decompose_video_does():
    assert load_preset("video", Preset) == Preset()
