"""What the items of encode, refine and decode hold: the keys that they add to a report, and what is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nidcli.artifacts import CodeFile
    from nidcli.files.images import Image


@dataclass(frozen=True)
class Encoded:
    """Keys of an item of `encode`."""

    psnr: float
    ssim: float
    top_k: int
    coefficients: int


@dataclass(frozen=True)
class Refined:
    """Keys of an item of `refine`."""

    psnr_before: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Coded:
    """A code and its photo, as `refine` loads them; only those alike are computed together."""

    file: CodeFile
    photo: Image

    @property
    def nbytes(self) -> int:
        return self.photo.nbytes

    @property
    def key(self) -> tuple[object, ...]:
        """Photos of one size whose codes have cells of one size."""
        return (*self.photo.pixels.shape, self.photo.pixels.dtype, self.file.code.pitch)


@dataclass(frozen=True)
class Decoded:
    """Keys of an item of `decode`."""

    width: int
    height: int
