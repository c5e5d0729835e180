"""Two photos to be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nidcli.errors import InputError
from nidcli.files.images import Image, read_image
from nidcli.files.pixels import bands


@dataclass(frozen=True)
class ImagePair:
    """A result and its reference, of equal size."""

    reference: Path
    result_image: Image
    reference_image: Image

    @property
    def nbytes(self) -> int:
        return self.result_image.nbytes + self.reference_image.nbytes

    def bands(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows of both, top to bottom, (h, W, C) as stored; grey is repeated beside colour."""
        a, b = torch.from_numpy(self.result_image.pixels), torch.from_numpy(self.reference_image.pixels)
        channels = max(a.shape[2], b.shape[2])
        for rows in bands(self.result_image.height, self.result_image.width):
            yield a[rows].expand(-1, -1, channels), b[rows].expand(-1, -1, channels)


def read_pair(result: Path, reference: Path) -> ImagePair:
    """Raises InputError for a file that cannot be read, and for sizes that differ."""
    a, b = read_image(result), read_image(reference)
    if (a.width, a.height) != (b.width, b.height):
        sizes = f"{a.width} x {a.height} pixels, its reference {reference} {b.width} x {b.height}"
        raise InputError(f"{result} has {sizes}; bring them to one size.")
    return ImagePair(reference, a, b)
