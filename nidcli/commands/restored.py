"""What inpaint and upscale load, report and write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nidcli.errors import OutputError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from nidcli.files.images import Image
    from nidcli.files.inputs import Input
    from nidcli.files.outputs import Job


@dataclass(frozen=True)
class Holed:
    """A photo, and the pixels to be filled, None where nobody says which."""

    item: Input
    photo: Image
    hole_HW: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return self.photo.nbytes


@dataclass(frozen=True)
class Inpainted:
    """Keys of an item of `inpaint`. misfit : 1 is usual for photos of the dictionary's class (README)."""

    damaged_fraction: float
    masked: bool
    misfit: float
    fits: bool
    converged: bool


@dataclass(frozen=True)
class Upscaled:
    """Keys of an item of `upscale`."""

    width: int
    height: int
    misfit: float
    fits: bool


def beside(job: Job, folder: Path | None, overwrite: bool) -> Path | None:
    """The PNG of a job in another folder. Raises UsageError for no folder, OutputError where the PNG exists."""
    if folder is None:
        return None
    from nidcli.files.image_writing import IMAGE_SUFFIXES

    if folder.suffix.lower() in IMAGE_SUFFIXES and not folder.is_dir():
        raise UsageError(f"{folder} looks like a picture, and a folder is meant, for one of each photo; give a folder.")
    path = folder / job.input.relative.with_suffix(".png")
    if path.exists() and not (overwrite or job.skip):
        raise OutputError(f"{path} exists already; give --overwrite.")
    return path


def one_mask(mask: Path | None, from_alpha: bool, invert: bool) -> None:
    """UsageError where the flags do not agree."""
    if mask is not None and from_alpha:
        raise UsageError("--mask and --mask-from-alpha contradict each other; give one of them.")
    if invert and mask is None and not from_alpha:
        raise UsageError("--invert-mask turns a mask round and there is none; give --mask or --mask-from-alpha.")


def warn(name: Path, misfit: float, usual: float, done: str) -> str:
    """The sentence for a photo of another kind. done : what was done with it."""
    return (
        f"{name}: the dictionary does not fit this photo (misfit {misfit:.2f}, its own photos reach {usual:.2f}); "
        f"{done}. If the photo shows what the dictionary knows elsewhere than in its middle, try --align."
    )
