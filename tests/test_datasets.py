"""Data sets as they are published, on small folders of the same layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from nidcli.errors import InputError
from nidcli.files.collections import open_collection
from nidcli.files.datasets import bmc, celeba, named_split, shapenet
from nidcli.files.images import write_image
from nidcli.moe.training import Preset, open_data
from nidcli.presets import load_preset

CHAIR = "03001627"


def touched(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Six photos: three to train on, one to choose by, two to test on, out of order."""
    (tmp_path / "img_align_celeba").mkdir()
    for number in range(1, 7):
        values = np.full((20, 16, 3), number / 10, np.float32)
        write_image(tmp_path / "img_align_celeba" / f"{number:06d}.jpg", values)
    split = {1: 0, 2: 2, 3: 0, 4: 1, 5: 2, 6: 0}
    touched(tmp_path / "list_eval_partition.txt", "".join(f"{n:06d}.jpg {s}\n" for n, s in split.items()))
    return tmp_path


def test_celeba_is_split_by_its_partition_file(faces: Path):
    names = {split: [path.name for path in celeba(faces, split)] for split in ("train", "val", "test")}
    assert names["train"] == ["000001.jpg", "000003.jpg", "000006.jpg"]
    assert names["val"] == ["000004.jpg"] and names["test"] == ["000002.jpg", "000005.jpg"]


def test_learning_takes_the_training_partition_of_a_celeba_folder_and_any_other_folder_whole(faces: Path):
    told: list[str] = []
    spec = load_preset("celeba-small", Preset)
    found = open_data([str(faces)], spec, recursive=False, files_from=None, warn=told.append)
    assert len(found) == 3 and "train partition" in told[0]
    assert [round(float(found.image(i, 16).mean()), 1) for i in range(3)] == [0.1, 0.3, 0.6]
    assert named_split(str(faces / "img_align_celeba"), "train", told.append) == [str(faces / "img_align_celeba")]


def test_the_head_line_of_the_table_form_is_skipped(faces: Path):
    touched(faces / "list_eval_partition.txt", "image_id,partition\n000002.jpg,0\n000004.jpg,2\n")
    assert [path.name for path in celeba(faces, "train")] == ["000002.jpg"]


@pytest.mark.parametrize(
    "text, words",
    [("000001.jpg 7\n000002.jpg 0\n000003.jpg 9\n", "line 3"), ("000009.jpg 0\n", "000009.jpg"), ("", "no photo")],
)
def test_a_damaged_partition_is_refused(faces: Path, text: str, words: str):
    touched(faces / "list_eval_partition.txt", text)
    with pytest.raises(InputError, match=words):
        celeba(faces, "train")


def test_shapenet_is_read_in_both_its_layouts_by_the_split_of_r2n2(tmp_path: Path):
    new = touched(tmp_path / CHAIR / "aaa" / "models" / "model_normalized.obj")
    old = touched(tmp_path / CHAIR / "bbb" / "model.obj")
    touched(tmp_path / CHAIR / "ccc" / "models" / "model_normalized.obj")
    touched(tmp_path / "02691156" / "ddd" / "model.obj")
    split = {
        "train": {CHAIR: ["bbb", "aaa", "gone"], "02691156": ["ddd"]},
        "val": {CHAIR: []},
        "test": {CHAIR: {"ccc": [0, 3]}},  # with numbers of views
    }
    file = touched(tmp_path / "split.json", json.dumps(split))
    assert [(s.name, s.path) for s in shapenet(tmp_path, file, CHAIR, "train")] == [("bbb", old), ("aaa", new)]
    assert [s.name for s in shapenet(tmp_path, file, CHAIR, "test")] == ["ccc"]
    with pytest.raises(InputError, match="holds none of the 0 models"):
        shapenet(tmp_path, file, CHAIR, "val")
    with pytest.raises(InputError, match="does not list test / 02691156"):
        shapenet(tmp_path, file, "02691156", "test")
    with pytest.raises(InputError, match="does not list"):
        shapenet(tmp_path, touched(tmp_path / "bad.json", "[1]"), CHAIR, "train")
    with pytest.raises(InputError, match="cannot be read"):
        shapenet(tmp_path, tmp_path / "none.json", CHAIR, "train")


def test_bmc_clips_are_files_or_folders_of_frames_without_their_truth(tmp_path: Path):
    film = touched(tmp_path / "Video_001.avi")
    inner = touched(tmp_path / "Video_002" / "Video_002.avi")
    for number in (10, 2):
        touched(tmp_path / "Video_003" / "img" / f"Img_{number:05d}.bmp")
        touched(tmp_path / "Video_003" / "private_truth" / f"{number}.bmp")
    touched(tmp_path / "readme.txt")
    touched(tmp_path / "empty" / "notes.txt")
    clips = dict(bmc(tmp_path))
    assert list(clips) == ["Video_001", "Video_002", "Video_003"]
    assert clips["Video_001"] == [film] and clips["Video_002"] == [inner]
    assert [path.name for path in clips["Video_003"]] == ["Img_00002.bmp", "Img_00010.bmp"]
    told: list[str] = []
    frames = [Path(name).name for name in named_split(str(tmp_path / "Video_003"), "train", told.append)]
    assert frames == ["Img_00002.bmp", "Img_00010.bmp"] and "ground truth" in told[0]
    assert named_split(str(film), "train", told.append) == [str(film)]
    with pytest.raises(InputError, match="name one of them"):
        named_split(str(tmp_path), "train", told.append)
    with pytest.raises(InputError, match="holds no clip"):
        bmc(tmp_path / "empty")
    with pytest.raises(InputError, match="is no folder"):
        bmc(film)


def test_a_video_is_a_run_of_frames(tmp_path: Path):
    path = tmp_path / "Video_001" / "Video_001.avi"
    path.parent.mkdir()
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))  # type: ignore[attr-defined]
    for number in range(6):
        film.write(np.full((24, 32, 3), (0, 0, 40 * number), np.uint8))  # blue, green, red
    film.release()
    spec = load_preset("surveillance-small", Preset)
    found = open_data([str(path.parent)], spec, recursive=False, files_from=None, warn=lambda text: None)
    assert len(found) == 6
    for number in (3, 0, 5, 4):  # in any order
        frame = found.image(number, 24)
        assert frame.shape == (24, 24, 3)
        assert float(frame[..., 0].mean()) == pytest.approx(40 * number / 255, abs=0.03)
        assert float(frame[..., 2].mean()) < 0.03
    assert found.digest == open_collection([str(path)]).digest
    (tmp_path / "text.avi").write_text("words")
    with pytest.raises(InputError, match=r"text\.avi"):
        open_collection([str(tmp_path / "text.avi")])
