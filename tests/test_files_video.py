"""Clips from files and folders, with their times; MP4 files that keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from video_cases import changed, crossing, write_clip, write_frames

from nidcli.errors import InputError, OutputError, UsageError
from nidcli.files.clips import expand_clips, plan_clips
from nidcli.files.mp4 import TIMESCALE, _box, _find, _runs, samples_of
from nidcli.files.video import frames_in, open_clip
from nidcli.files.video_writing import coded, writing

FRAMES = crossing(12).frames
TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def test_a_clip_has_its_size_rate_and_frames_in_order(tmp_path: Path):
    clip = open_clip(write_clip(tmp_path / "a.mp4", FRAMES, 10.0))
    assert (clip.width, clip.height, clip.count, clip.fps) == (80, 60, 12, 10.0)
    frames = list(clip.frames())
    assert [frame.number for frame in frames] == list(range(1, 13))
    assert np.allclose([frame.seconds for frame in frames], np.arange(12) / 10)
    errors = [np.abs(frame.pixels.astype(float) - true).mean() for frame, true in zip(frames, FRAMES, strict=True)]
    assert max(errors) < 12  # lossy, but in RGB order and not shifted in time
    assert [frame.number for frame in clip.frames(5)] == [1, 6, 11]


def test_a_variable_frame_rate_is_kept(tmp_path: Path):
    path = write_clip(tmp_path / "a.mp4", FRAMES, 10.0)
    scale = int.from_bytes(_find(path.read_bytes(), b"moov", b"trak", b"mdia", b"mdhd")[12:16], "big")
    table = b"".join(n.to_bytes(4, "big") for n in (0, 2, 4, scale // 10, 8, scale // 5))
    path.write_bytes(changed(path.read_bytes(), (*TABLE, b"stts"), lambda body: table))
    edits = (b"moov", b"trak", b"edts", b"elst")
    path.write_bytes(changed(path.read_bytes(), edits, lambda body: body[:8] + b"\0\1\0\0" + body[12:]))  # long
    clip = open_clip(path)
    wanted = [0.1 * min(i, 4) + 0.2 * max(0, i - 4) for i in range(12)]
    assert np.allclose([frame.seconds for frame in clip.frames()], wanted, atol=1e-3)
    assert [frame.number for frame in clip.frames(5)] == [1, 6, 11]


def test_rotation_in_the_metadata_is_applied(tmp_path: Path):
    path = write_clip(tmp_path / "a.mp4", FRAMES)
    turned = [0, 1 << 16, 0, -1 << 16, 0, 0, 60 << 16, 0, 1 << 30]
    matrix = b"".join(n.to_bytes(4, "big", signed=True) for n in turned)

    def turn(body: bytes) -> bytes:
        return body[:40] + matrix + body[76:]

    path.write_bytes(changed(path.read_bytes(), (b"moov", b"trak", b"tkhd"), turn))
    clip = open_clip(path)
    assert (clip.width, clip.height) == (60, 80)
    error = np.abs(next(clip.frames()).pixels.astype(float) - np.rot90(FRAMES[0], -1)).mean()
    assert error < 12


def test_broken_frames_are_left_out_and_keep_their_numbers(tmp_path: Path):
    folder = write_frames(tmp_path / "clip", FRAMES)
    (folder / "in0003.png").write_bytes(b"no picture")
    (folder / "in0001.png").write_bytes((folder / "in0002.png").read_bytes()[:200])
    clip = open_clip(folder)
    assert clip.count == 12
    assert [frame.number for frame in clip.frames()] == [2, *range(4, 13)]


def test_packets_that_are_lost_leave_a_gap_in_the_numbers(tmp_path: Path):
    path = write_clip(tmp_path / "a.mp4", FRAMES)
    data = bytearray(path.read_bytes())
    stbl = _find(bytes(data), *TABLE)
    sizes = [int.from_bytes(_find(stbl, b"stsz")[12 + 4 * i : 16 + 4 * i], "big") for i in range(12)]
    start = data.index(b"mdat") + 4 + sum(sizes[:11])
    data[start : start + sizes[11]] = bytes(sizes[11])
    path.write_bytes(data)
    clip = open_clip(path)
    assert clip.count == 12
    assert [frame.number for frame in clip.frames()] == list(range(1, 12))


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path):
    for name in ("f10.png", "f9.png", "f1.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in frames_in(tmp_path)] == ["f1.png", "f9.png", "f10.png"]


@pytest.mark.parametrize("name, content", [("a.mp4", b"no video at all"), ("b.mp4", b""), ("c.mp4", None)])
def test_what_is_no_clip_is_told_in_a_sentence(tmp_path: Path, name: str, content: bytes | None):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        open_clip(tmp_path / name)


def test_a_written_video_holds_every_frame_and_its_time(tmp_path: Path):
    times = [0.04 * i + 0.1 * (i > 6) for i in range(12)]
    with writing(tmp_path / "out.mp4", 80, 60, 0.04) as writer:
        for frame, seconds in zip(FRAMES, times, strict=True):
            writer.add(frame, seconds)
    data = (tmp_path / "out.mp4").read_bytes()
    table = _find(data, *TABLE)
    runs = np.frombuffer(_find(table, b"stts")[8:], ">u4").reshape(-1, 2)
    deltas = np.repeat(runs[:, 1], runs[:, 0])
    assert np.allclose(np.concatenate([[0], deltas.cumsum()[:-1]]) / TIMESCALE, times, atol=1e-4)
    sizes = np.frombuffer(_find(table, b"stsz")[12:], ">u4")
    (offset,) = np.frombuffer(_find(table, b"co64")[8:], ">u8")
    held = samples_of_file(data, int(offset), sizes)
    assert held == list(coded(list(FRAMES), Path("x")).samples)
    assert b"av01" in table and b"av1C" in table


def samples_of_file(data: bytes, offset: int, sizes: np.ndarray) -> list[bytes]:
    ends = offset + sizes.cumsum().astype(int)
    return [data[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]


@pytest.mark.parametrize("count, height, width", [(1, 60, 80), (5, 31, 47)])
def test_single_frames_and_odd_sizes_are_coded(tmp_path: Path, count: int, height: int, width: int):
    frames = [np.ascontiguousarray(frame[:height, :width]) for frame in FRAMES[:count]]
    assert len(coded(frames, Path("x")).samples) == count
    with writing(tmp_path / "out.mp4", width, height, 0.04) as writer:
        for i, frame in enumerate(frames):
            writer.add(frame, i / 25)
    entry = _find((tmp_path / "out.mp4").read_bytes(), *TABLE, b"stsd")[16:]
    assert (int.from_bytes(entry[24:26], "big"), int.from_bytes(entry[26:28], "big")) == (width, height)


def test_a_video_that_fails_leaves_nothing(tmp_path: Path):
    def fail() -> None:
        with writing(tmp_path / "out.mp4", 80, 60, 0.04) as writer:
            writer.add(FRAMES[0], 0.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_image_sequence_is_refused():
    with pytest.raises(ValueError, match="AV1"):
        samples_of(_box(b"ftyp", b"avif") + _box(b"moov", b""))


def test_equal_neighbours_are_counted():
    assert _runs([3, 3, 5, 3]) == [(2, 3), (1, 5), (1, 3)]


def test_a_folder_of_frames_is_one_clip_and_a_folder_of_videos_several(tmp_path: Path):
    frames = write_frames(tmp_path / "frames", FRAMES[:2])
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("b.mp4", "a.mp4"):
        write_clip(videos / name, FRAMES[:2])
    found = expand_clips([str(frames), str(videos)])
    assert [item.path.name for item in found] == ["frames", "a.mp4", "b.mp4"]
    jobs = plan_clips(found, str(tmp_path / "out"))
    assert [str(job.output.relative_to(tmp_path)) for job in jobs if job.output] == [
        "out/frames/report.json",
        "out/a/report.json",
        "out/b/report.json",
    ]
    (one,) = plan_clips(expand_clips([str(frames)]), str(tmp_path / "out"))
    assert one.output == tmp_path / "out" / "report.json"


def test_outputs_that_exist_are_refused_before_any_work(tmp_path: Path):
    found = expand_clips([str(write_frames(tmp_path / "frames", FRAMES[:2]))])
    (tmp_path / "out" / "masks").mkdir(parents=True)
    with pytest.raises(OutputError, match="masks"):
        plan_clips(found, str(tmp_path / "out"))
    assert plan_clips(found, str(tmp_path / "out"), overwrite=True)
    assert not plan_clips(found, str(tmp_path / "out"), skip_existing=True)[0].skip
    (tmp_path / "out" / "report.json").write_text("{}")
    assert plan_clips(found, str(tmp_path / "out"), skip_existing=True)[0].skip
    with pytest.raises(UsageError, match="-o"):
        plan_clips(found, None)
