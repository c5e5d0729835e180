"""Photos come as middle squares in 0...1 from folders, stacks and shards, whatever lies beside them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nidcli.errors import InputError, UsageError
from nidcli.files.collections import open_collection
from nidcli.files.images import write_image


def values(n: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (n, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five PNGs of 24 x 20 pixels."""
    place = tmp_path / "photos"
    place.mkdir()
    for number, pixels in enumerate(values(5, 20, 24)):
        write_image(place / f"p{number}.png", pixels)
    return place


def shard(path: Path, files: list[Path]) -> Path:
    with tarfile.open(path, "w") as tar:
        for file in files:
            tar.add(file, file.name)
    return path


def test_a_photo_is_its_middle_square_in_the_values_of_the_file(folder: Path):
    photo = open_collection([str(folder)]).image(2, 20)
    assert photo.dtype == torch.float32
    assert np.array_equal((photo * 255).round().byte().numpy(), values(5, 20, 24)[2][:, 2:22])


def test_a_photo_is_resized_in_float_by_pillows_bicubic(folder: Path):
    photo = open_collection([str(folder)]).image(1, 8)
    plane = values(5, 20, 24)[1][:, 2:22, 0].astype(np.float32) / 255
    expected = np.asarray(Image.fromarray(plane).resize((8, 8), Image.Resampling.BICUBIC)).clip(0, 1)
    assert np.allclose(photo[:, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize("side", [20, 8])
def test_later_epochs_see_what_the_first_saw_with_and_without_room_to_keep_it(folder: Path, side: int):
    without, one, all_of_them = (open_collection([str(folder)], budget=b) for b in (0, 20 * 20 * 3, 1 << 30))
    for index in range(5):
        first = all_of_them.image(index, side)
        for collection in (without, one, all_of_them, all_of_them):
            assert torch.equal(collection.image(index, side), first)


def test_what_is_kept_is_not_read_again(folder: Path):
    collection = open_collection([str(folder)])
    first = collection.image(3, 8)
    (folder / "p3.png").unlink()
    assert torch.equal(collection.image(3, 8), first)


def test_grey_photos_fill_three_channels_and_colour_becomes_luma(tmp_path: Path):
    pixels = values(1, 8, 8)[0]
    write_image(tmp_path / "colour.png", pixels)
    write_image(tmp_path / "grey.png", pixels[:, :, :1])
    grey_in_colour = open_collection([str(tmp_path / "grey.png")], 3).image(0, 8)
    assert grey_in_colour.shape == (8, 8, 3)
    assert torch.equal(grey_in_colour[..., 0], grey_in_colour[..., 2])
    luma = open_collection([str(tmp_path / "colour.png")], 1).image(0, 8)
    assert np.allclose(luma[..., 0], pixels / 255 @ np.array([0.299, 0.587, 0.114]), atol=1e-6)
    with pytest.raises(UsageError, match="1 or 3 channels"):
        open_collection([str(tmp_path)], 2)


@pytest.mark.parametrize("kind", ["npy", "npz", "tar", "glob"])
def test_every_source_gives_the_same_photos(folder: Path, tmp_path: Path, kind: str):
    if kind == "npy":
        np.save(tmp_path / "stack.npy", values(5, 20, 24))
    elif kind == "npz":
        np.savez(tmp_path / "stack.npz", labels=np.arange(5), images=values(5, 20, 24))
    elif kind == "tar":
        shard(tmp_path / "stack.tar", sorted(folder.iterdir(), reverse=True))
    source = str(folder / "*.png") if kind == "glob" else str(tmp_path / f"stack.{kind}")
    from_folder, other = open_collection([str(folder)]), open_collection([source])
    assert len(other) == 5
    for index in range(5):
        assert torch.equal(other.image(index, 12), from_folder.image(index, 12))


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2", "float32", "float64"])
def test_stacks_of_every_type_mean_the_same(tmp_path: Path, dtype: str):
    white = {"u": np.iinfo(dtype).max if "f" not in dtype else 1, "f": 1}[np.dtype(dtype).kind]
    np.save(tmp_path / "s.npy", np.full((3, 6, 6), white, dtype))
    assert torch.allclose(open_collection([str(tmp_path / "s.npy")]).image(1, 6), torch.ones(6, 6, 3))


def test_shards_by_glob_are_one_collection_and_their_labels_are_left_out(folder: Path, tmp_path: Path):
    (tmp_path / "label.txt").write_text("a face")
    files = sorted(folder.iterdir())
    shard(tmp_path / "a.tar", [*files[:3], tmp_path / "label.txt"])
    shard(tmp_path / "b.tar", files[3:])
    said: list[str] = []
    collection = open_collection([str(tmp_path / "*.tar")], warn=said.append)
    assert len(collection) == 5
    assert torch.equal(collection.image(4, 20), open_collection([str(folder)]).image(4, 20))
    assert "label.txt" in said[0]


def test_files_that_are_no_images_are_named_and_counted(folder: Path):
    (folder / "notes.txt").write_text("words")
    (folder / "a.npy").write_bytes(b"no array")
    said: list[str] = []
    collection = open_collection([str(folder)], warn=said.append)
    assert (len(collection), len(collection.skipped), len(said)) == (5, 2, 1)
    assert "2 files" in said[0] and "notes.txt" in said[0] and "a.npy" in said[0]


def test_a_photo_cut_short_is_replaced_by_the_one_before_it_and_named_once(folder: Path):
    buffer = io.BytesIO()
    Image.fromarray(values(1, 60, 60)[0]).save(buffer, "JPEG")
    (folder / "p2a.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    said: list[str] = []
    collection = open_collection([str(folder)], warn=said.append)
    assert (len(collection), said) == (6, [])
    for side in (8, 20, 8):
        assert torch.equal(collection.image(3, side), collection.image(2, side))
    assert len(said) == 1 and "p2a.jpg" in said[0]


def test_nothing_readable_is_an_error_in_one_sentence(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(InputError, match="holds no image"):
        open_collection([str(tmp_path)])
    with pytest.raises(InputError, match="does not exist"):
        open_collection([str(tmp_path / "nowhere")])
    write_image(tmp_path / "p.png", values(1, 60, 60)[0])
    (tmp_path / "p.png").write_bytes((tmp_path / "p.png").read_bytes()[:1000])
    broken = open_collection([str(tmp_path)])
    with pytest.raises(InputError, match="None of the photos"):
        broken.image(0, 8)


@pytest.mark.parametrize(
    "array, complaint",
    [
        (np.zeros((2, 3, 8, 8), np.uint8), "has the shape"),
        (np.zeros((2, 8, 8, 3), np.int64), "holds int64"),
        (np.full((2, 8, 8), 200.0), "floats outside"),
        (np.full((2, 8, 8), np.nan), "floats outside"),
    ],
)
def test_a_stack_that_is_none_is_refused_by_name(tmp_path: Path, array: np.ndarray, complaint: str):
    np.save(tmp_path / "wrong.npy", array)
    with pytest.raises(InputError, match=complaint) as error:
        open_collection([str(tmp_path / "wrong.npy")])
    assert "wrong.npy" in str(error.value)


def test_a_compressed_tar_is_refused_by_name(folder: Path, tmp_path: Path):
    with tarfile.open(tmp_path / "c.tar", "w:gz") as tar:
        tar.add(folder / "p0.png", "p0.png")
    with pytest.raises(InputError, match=r"c\.tar is not a plain tar"):
        open_collection([str(tmp_path / "c.tar")])


def test_the_digest_knows_content_and_order_but_no_names(folder: Path, tmp_path: Path):
    digest = open_collection([str(folder)]).digest
    assert open_collection([str(shard(tmp_path / "s.tar", sorted(folder.iterdir())))]).digest == digest
    for file in list(folder.iterdir()):
        file.rename(folder / f"q{file.name}")
    assert open_collection([str(folder)]).digest == digest
    (folder / "qp0.png").rename(folder / "z.png")
    assert open_collection([str(folder)]).digest != digest
    np.save(tmp_path / "a.npy", values(5, 20, 24))
    np.save(tmp_path / "b.npy", values(5, 20, 24)[::-1])
    assert open_collection([str(tmp_path / "a.npy")]).digest != open_collection([str(tmp_path / "b.npy")]).digest
