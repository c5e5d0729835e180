"""Data sets laid out as they are published: CelebA's partition file, ShapeNet with R2N2's split, BMC's clips.

CelebA     ROOT/list_eval_partition.txt: a file name and 0 (train), 1 (val) or 2 (test) a line;
           ROOT/img_align_celeba/NAME.jpg                                              Liu et al. 2015
ShapeNet   ROOT/SYNSET/MODEL/models/model_normalized.obj (or MODEL/model.obj);
           a JSON file {SYNSET: {"train": [MODEL, ...], "val": [...], "test": [...]}}   Chang et al. 2015; the split
           is that of R2N2 (Choy et al. 2016)
BMC        ROOT/Video_NNN.avi, or ROOT/Video_NNN/ with the clip or its frames in it      Vacavant et al. 2012
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nidcli.errors import InputError
from nidcli.files.image_writing import IMAGE_SUFFIXES
from nidcli.files.inputs import expand

Split = Literal["train", "val", "test"]
PARTITION, ALIGNED = "list_eval_partition.txt", "img_align_celeba"
_NUMBERS: dict[str, Split] = {"0": "train", "1": "val", "2": "test"}
_MESHES = ("models/model_normalized.obj", "models/model_watertight.obj", "model.obj", "model.ply", "model.off")
MESHES = frozenset({".obj", ".ply", ".off", ".stl", ".glb"})
SPLIT_FILES = ("R2N2_split.json", "pix2mesh_splits_val05.json", "split.json")
CLIPS = frozenset({".avi", ".mp4", ".mov", ".mkv", ".mpg"})


@dataclass(frozen=True)
class Shape:
    """A mesh of a class of shapes."""

    name: str
    path: Path


def named_split(name: str, split: Split, warn: Callable[[str], None]) -> list[str]:
    """What a `--data` argument stands for: the files of a CelebA folder's split, the frames of a BMC clip, or itself.

    Raises InputError for a folder of several clips, each of which is a job of its own.
    """
    if not (Path(name) / PARTITION).is_file():
        return _named_clip(Path(name), warn) if Path(name).is_dir() else [name]
    paths = celeba(Path(name), split)
    warn(f"{name} is laid out as CelebA: {len(paths)} photos of its {split} partition are taken.")
    return [str(path) for path in paths]


def _named_clip(root: Path, warn: Callable[[str], None]) -> list[str]:
    inside = list(root.iterdir())
    if root.name.startswith("Video_") and inside:
        frames = _clip(root)
        warn(f"{root} is laid out as a clip of BMC: {len(frames)} files of it are taken, and not its ground truth.")
        return [str(path) for path in frames]
    if any(path.name.startswith("Video_") for path in inside):
        names = [clip for clip, _ in bmc(root)]
        raise InputError(f"{root} holds the clips {', '.join(names[:4])}, each a job of its own; name one of them.")
    return [str(root)]


def celeba(root: Path, split: Split) -> list[Path]:
    """The photos of a partition, in the order of the file. Raises InputError for a file or photo that is not there."""
    partition, found = root / PARTITION, []
    for number, line in enumerate(_text(partition).splitlines(), 1):
        words = line.replace(",", " ").split()
        if not words or (number == 1 and words[-1] not in _NUMBERS):  # the file of another release has a head
            continue
        if len(words) != 2 or words[1] not in _NUMBERS:
            raise InputError(f"{partition} is damaged at line {number} ({line!r}); write a file name and 0, 1 or 2.")
        if _NUMBERS[words[1]] == split:
            found.append(root / ALIGNED / words[0])
    if not found:
        raise InputError(f"{partition} names no photo of the {split} partition; name another folder.")
    missing = next((path for path in found if not path.is_file()), None)
    if missing is not None:
        raise InputError(f"{missing}, which {partition.name} names, does not exist; unpack the photos beside it.")
    return found


def shapenet(root: Path, split_file: Path, synset: str, split: Split) -> list[Shape]:
    """Meshes of a class in a split; models that the split names and the folder lacks are left out.

    Raises InputError where the split is not one, or nothing of it is there.
    """
    try:
        plain = json.loads(_text(split_file))
        names = [str(name) for name in plain[split][synset]]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f'{split_file} does not list {split} / {synset}; write {{"{split}": {{"{synset}": [...]}}}}.'
        ) from None
    found = []
    for name in names:
        paths = (root / synset / name / mesh for mesh in _MESHES)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None:
            found.append(Shape(name, path))
    if not found:
        raise InputError(f"{root / synset} holds none of the {len(names)} models of {split}; check the folder.")
    return found


def named_shapes(name: str, synset: str, split: Split, warn: Callable[[str], None], recursive: bool) -> list[Path]:
    """What a `--data` argument stands for: a ShapeNet folder's split, or the meshes of a folder, a glob or a file."""
    root = Path(name)
    file = next((root / known for known in SPLIT_FILES if (root / known).is_file()), None)
    if file is not None:
        shapes = shapenet(root, file, synset, split)
        warn(f"{name} is laid out as ShapeNet: {len(shapes)} shapes of {synset} in its {split} split are taken.")
        return [shape.path for shape in shapes]
    found = expand([name], recursive=recursive, only=MESHES)
    for item in found:
        if item.problem:
            raise InputError(item.problem)
    return [item.path for item in found]


def bmc(root: Path) -> list[tuple[str, list[Path]]]:
    """Clips by name: one video file, or the frames of a folder in order. Raises InputError where there is none."""
    if not root.is_dir():
        raise InputError(f"{root} is no folder; name the one that holds BMC's clips.")
    clips = []
    for path in sorted(root.iterdir()):
        if path.suffix.lower() in CLIPS:
            clips.append((path.stem, [path]))
        elif path.is_dir() and (parts := _clip(path)):
            clips.append((path.name, parts))
    if not clips:
        raise InputError(f"{root} holds no clip: no video file, and no folder with one or with frames.")
    return clips


def _clip(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    truth = {"truth", "private_truth", "gt"}
    files = [path for path in files if not truth & {part.lower() for part in path.relative_to(folder).parts[:-1]}]
    videos = [path for path in files if path.suffix.lower() in CLIPS]
    return videos[:1] or [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text in UTF-8"
        raise InputError(f"{path} cannot be read ({reason}); check the path.") from error
