"""A file's sinograms as (views, bins) with angles in degrees: layout, angles and values checked, one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nidcli.errors import InputError, UsageError
from nidcli.files.sinograms import SinogramFile, open_sinograms, read_angles

Layout = Literal["angles-bins", "bins-angles"]
TURN = 2 * np.pi + 0.05  # angles that span less may be radians


@dataclass(frozen=True, eq=False)
class Scan:
    """A file's sinograms and their angles in degrees. turned : bins are the rows of the file."""

    file: SinogramFile
    angles_V: tuple[float, ...]
    turned: bool

    @property
    def nbytes(self) -> int:
        return self.file.nbytes

    def sinogram(self, number: int) -> Tensor:
        """(views, bins) of a slice. Raises InputError for values that no rays have."""
        rows = self.file.read(number)
        name = f"{self.file.path}[{number}]" if self.file.count else str(self.file.path)
        bad = int((~np.isfinite(rows)).sum())
        if bad:
            raise InputError(f"{name} has {bad} values that are not finite; mend them, or leave those views out.")
        if float(rows.max()) - float(rows.min()) <= 1e-12 * max(1.0, float(np.abs(rows).max())):
            raise InputError(f"{name} is constant ({rows.flat[0]:g}): nothing was in the beam; check the file.")
        return torch.from_numpy(np.ascontiguousarray(rows.T if self.turned else rows))


@dataclass(frozen=True)
class Angles:
    """`--angles`: how many over half a turn (a whole one for fan beams), a range whose end is excluded, or a file."""

    text: str | None
    turn: float = 180.0

    def degrees(self) -> np.ndarray | None:
        """None where nothing is given. Raises UsageError and InputError."""
        if self.text is None:
            return None
        if self.text.isdigit():
            count = int(self.text)
            if not count:
                raise UsageError("--angles 0 leaves no view; give the number of views.")
            return np.arange(count) * (self.turn / count)
        parts = self.text.split(":")
        if len(parts) == 3 and not Path(self.text).exists():
            try:
                start, stop, step = map(float, parts)
            except ValueError:
                raise UsageError(f"--angles {self.text} is no START:STOP:STEP in degrees.") from None
            if not step or (stop - start) / step <= 0 or (stop - start) / step > 1e6:
                raise UsageError(f"--angles {self.text} holds no angle; the end is excluded, the step has its sign.")
            return start + step * np.arange(int(np.ceil((stop - start) / step - 1e-9)))
        return read_angles(Path(self.text))

    @property
    def from_file(self) -> bool:
        """Whether a file says them, which may have them in radians."""
        return (
            self.text is not None
            and not self.text.isdigit()
            and not (self.text.count(":") == 2 and not Path(self.text).exists())
        )


def open_scan(path: Path, given: Angles, layout: Layout, warn: Callable[[str], None]) -> Scan:
    """Open a file of sinograms. Raises InputError where layout and angles do not fit it."""
    file = open_sinograms(path)
    angles, told = given.degrees(), given.from_file
    if angles is None:
        angles, told = file.angles, True
    if angles is None:
        raise UsageError(f"{path} does not say its angles; give --angles N, START:STOP:STEP or FILE.")
    if told and len(angles) > 3 and np.ptp(angles) <= TURN and np.ptp(angles) > 1:
        warn(
            f"{path}: the angles span {np.ptp(angles):.3g} and are taken for radians; give --angles in degrees if not."
        )
        angles = np.rad2deg(angles)
    turned = layout == "bins-angles" and not file.fixed
    rows, columns = file.shape
    views, bins = (columns, rows) if turned else (rows, columns)
    if len(angles) != views:
        if len(angles) == bins:
            other = "angles-bins" if turned else "bins-angles"
            raise InputError(
                f"{path} is transposed: its shape {file.shape} has {len(angles)} angles along the other axis; "
                f"give --layout {other}."
            )
        raise InputError(
            f"{path} has {views} views (shape {file.shape}, layout {layout}), but {len(angles)} angles are given; "
            "give as many."
        )
    if bins < 8:
        raise InputError(f"{path} has {bins} bins a view; a slice needs 8 at least, so check --layout.")
    return Scan(file, tuple(float(angle) for angle in angles), turned)
