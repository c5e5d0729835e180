"""`nid decompose-video` on small clips: what it writes, what it refuses, and that it is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from video_cases import H, W, crossing, f_measure, room, write_clip, write_frames

from nidcli.files.image_writing import write_image
from nidcli.files.images import as_float, read_image
from nidcli.files.mp4 import _find
from nidcli.files.video import open_clip
from nidcli.video import windows as windowing
from nidcli.video.job import BATCH, Settings, decompose, scheduled
from nidcli.video.windows import windows

pytestmark = pytest.mark.usefixtures("one_thread")

Nid = Callable[..., tuple[int, str, str]]
CASE = crossing()


def masks(folder: Path) -> np.ndarray:
    return np.stack([read_image(path).pixels[:, :, 0] > 127 for path in sorted((folder / "masks").glob("*.png"))])


def sample_count(path: Path) -> int:
    table = _find(path.read_bytes(), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz")
    return int.from_bytes(table[8:12], "big")


def psnr(folder: Path) -> float:
    found = as_float(read_image(folder / "background.png").pixels)
    return float(-10 * np.log10(np.mean((found - room()) ** 2)))


def test_a_clip_is_parted_into_background_masks_and_foreground(nid: Nid, tmp_path: Path):
    frames = write_frames(tmp_path / "clip", CASE.frames)
    code, out, _ = nid("decompose-video", str(frames), "-o", str(tmp_path / "out"), "--json")
    (item,) = json.loads(out)["items"]
    assert code == 0
    assert (item["frames"], item["skipped"], item["width"], item["height"], item["fps"]) == (40, 0, W, H, 25.0)
    assert [path.name for path in sorted((tmp_path / "out" / "masks").iterdir())][::39] == ["000001.png", "000040.png"]
    assert f_measure(masks(tmp_path / "out"), CASE.masks) > 0.95
    assert psnr(tmp_path / "out") > 38
    assert sample_count(tmp_path / "out" / "background.mp4") == sample_count(tmp_path / "out" / "foreground.mp4") == 40
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["moving"]) == 40 and report["numbers"] == list(range(1, 41))
    assert report["moving"] == pytest.approx(masks(tmp_path / "out").mean((1, 2)).tolist(), abs=1e-5)
    assert report["events"] == item["events"] and report["events"][0]["first_frame"] == 1
    assert 0 < report["threshold"] < 60 and 1 <= report["rank"] <= 19


def test_a_kept_background_serves_the_next_clip_without_learning(nid: Nid, tmp_path: Path):
    camera, first = str(tmp_path / "camera.nid"), str(write_frames(tmp_path / "monday", CASE.frames))
    assert nid("decompose-video", first, "-o", str(tmp_path / "m"), "--save-dict", camera)[0] == 0
    still = CASE.frames[20:28].copy()
    still[:, 30:50, 10:30] = (30, 200, 60)  # stands there all the time
    second = str(write_frames(tmp_path / "tuesday", still))
    assert nid("decompose-video", second, "-o", str(tmp_path / "t"), "--dict", camera)[0] == 0
    assert masks(tmp_path / "t")[:, 32:48, 12:28].mean() > 0.98
    assert psnr(tmp_path / "t") > 38
    code, out, _ = nid("info", camera, "--json")
    assert code == 0 and json.loads(out)["items"][0]["kind"] == "video"
    assert nid("verify", camera)[0] == 0
    code, _, err = nid("decompose-video", second, "-o", str(tmp_path / "u"), "--dict", "face")
    assert code == 5 and "face" in err


def test_videos_are_jobs_of_their_own_and_one_that_fails_does_not_stop_the_others(nid: Nid, tmp_path: Path):
    good = [str(write_clip(tmp_path / name, CASE.frames[:10])) for name in ("a.mp4", "b.mp4")]
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    arguments = (*good, str(tmp_path / "bad.mp4"), "-o", str(tmp_path / "out"), "--json")
    code, out, err = nid("decompose-video", *arguments)
    assert code == 3 and "bad.mp4" in err
    assert [item.get("frames") for item in json.loads(out)["items"]] == [10, 10, None]
    assert len(masks(tmp_path / "out" / "a")) == len(masks(tmp_path / "out" / "b")) == 10
    assert nid("decompose-video", *arguments)[0] == 6
    assert nid("decompose-video", *arguments, "--skip-existing")[0] == 3


def test_the_region_and_the_threshold_are_obeyed(nid: Nid, tmp_path: Path):
    frames = str(write_frames(tmp_path / "clip", CASE.frames))
    flags = ("--roi", "0,0,40,60", "--threshold", "25", "--min-area", "5")
    code, out, _ = nid("decompose-video", frames, "-o", str(tmp_path / "out"), *flags, "--json")
    found = masks(tmp_path / "out")
    assert code == 0 and json.loads(out)["items"][0]["threshold"] == 25
    assert not found[:, :, 40:].any() and f_measure(found[:, :, :40], CASE.masks[:, :, :40]) > 0.9
    code, out, _ = nid("decompose-video", frames, "-o", str(tmp_path / "none"), "--threshold", "255", "--json")
    assert code == 0 and json.loads(out)["items"][0]["events"] == [] and not masks(tmp_path / "none").any()


@pytest.mark.parametrize(
    "flags, code",
    [
        (("--roi", "1,2,3"), 2),
        (("--roi", "500,500,5,5"), 2),
        (("--threshold", "high"), 2),
        (("--save-dict", "camera.txt"), 2),
        (("--dict", "nowhere.nid"), 2),
    ],
)
def test_options_that_mean_nothing_are_refused(nid: Nid, tmp_path: Path, flags: tuple[str, ...], code: int):
    frames = str(write_frames(tmp_path / "clip", CASE.frames[:3]))
    found, _, err = nid("decompose-video", frames, "-o", str(tmp_path / "out"), *flags)
    assert (found == code and flags[0] in err) or flags[1] in err


def test_a_clip_that_fails_half_way_leaves_nothing(tmp_path: Path):
    clip = open_clip(write_frames(tmp_path / "clip", CASE.frames))
    (tmp_path / "out").mkdir()

    def fail(done: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        decompose(clip, tmp_path / "out", Settings(), "cpu", progress=fail)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_dry_run_does_nothing(nid: Nid, tmp_path: Path):
    frames = str(write_frames(tmp_path / "clip", CASE.frames[:3]))
    code, _, err = nid("decompose-video", frames, "-o", str(tmp_path / "out"), "--dry-run")
    assert code == 0 and "Memory" in err and not (tmp_path / "out").exists()


def test_an_older_runs_masks_do_not_stay(nid: Nid, tmp_path: Path):
    out = str(tmp_path / "out")
    assert nid("decompose-video", str(write_frames(tmp_path / "a", CASE.frames[:6])), "-o", out)[0] == 0
    shorter = str(write_frames(tmp_path / "b", CASE.frames[:4]))
    assert nid("decompose-video", shorter, "-o", out, "--overwrite")[0] == 0
    assert len(masks(tmp_path / "out")) == 4


@pytest.mark.parametrize("count", [1, 2])
def test_very_short_clips_have_empty_masks(tmp_path: Path, count: int):
    clip = open_clip(write_frames(tmp_path / "clip", np.repeat(CASE.frames[:1], count, 0)))
    result = decompose(clip, tmp_path, Settings(), "cpu")
    assert result.report.frames == count and result.shares == (0.0,) * count


def test_windows_follow_one_another_and_every_frame_is_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(windowing, "SAMPLES", 8)
    monkeypatch.setattr(windowing, "STRIDE", 3)
    long = crossing(60)
    clip = open_clip(write_frames(tmp_path / "clip", long.frames))
    batches = list(scheduled(clip.frames(), windows(clip, "cpu"), BATCH))
    assert [frame.number for _, batch in batches for frame in batch] == list(range(1, 61))
    assert len({id(window) for window, _ in batches}) > 2
    for window, batch in batches:
        assert window.until is None or batch[-1].number <= window.until
    decompose(clip, tmp_path, Settings(), "cpu")
    assert f_measure(masks(tmp_path), long.masks) > 0.85


def test_masks_are_measured_against_labels(nid: Nid, tmp_path: Path):
    truth, mine = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth[:, :4], truth[:, 4], truth[:, 5], truth[:, 6] = 255, 170, 50, 85
    mine[:, 2:7] = 255
    for folder, name, values in (("m", "000001.png", mine), ("g", "gt000901.png", truth)):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / name, values)
    arguments = ("eval", str(tmp_path / "m"), str(tmp_path / "g"), "--kind", "mask", "--json")
    code, out, _ = nid(*arguments)
    document = json.loads(out)
    assert code == 0 and document["total"] == pytest.approx({"precision": 2 / 3, "recall": 0.5, "f_measure": 4 / 7})
    assert document["items"][0]["f_measure"] == pytest.approx(4 / 7)
    write_image(tmp_path / "g" / "gt000901.png", truth + 1)
    code, _, err = nid(*arguments)
    assert code == 4 and "no label" in err
    write_image(tmp_path / "g" / "other.png", truth)
    code, _, err = nid(*arguments)
    assert code == 4 and "partner" in err


@pytest.mark.data
def test_traffic_is_found(nid: Nid, tmp_path: Path, data: Path):
    """Every tenth of 300 frames of changedetection.net's highway; the whole clip has .955 (benchmarks)."""
    source = data / "video" / "highway"
    for kind in ("input", "groundtruth"):
        (tmp_path / kind).mkdir()
        for path in sorted((source / kind).iterdir())[::10]:
            (tmp_path / kind / path.name).symlink_to(path)
    out = tmp_path / "out"
    assert nid("decompose-video", str(tmp_path / "input"), "-o", str(out))[0] == 0
    code, text, _ = nid("eval", str(out / "masks"), str(tmp_path / "groundtruth"), "--kind", "mask", "--json")
    assert code == 0 and json.loads(text)["total"]["f_measure"] > 0.94
