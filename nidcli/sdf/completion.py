"""What is unseen of a cloud, as points: mirror images, what goes straight on, what shapes of its kind have there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from nidcli.model import Model
from nidcli.sdf.continuation import continued
from nidcli.sdf.imagined import imagined
from nidcli.sdf.support import spacing
from nidcli.sdf.symmetry import completed

Completion = Literal["none", "mirror", "straight", "shape"]  # each with all that those before it have


def whole_cloud(
    model: Model, points_N3: np.ndarray, normals_N3: np.ndarray, gap: float, how: Completion, say: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray]:
    """The cloud and, after it, points where it saw nothing. gap : between neighbours; say : is told what was added.

    how : anything but "none". Raises UsageError where shapes are asked of a dictionary that knows none.
    """
    before = len(points_N3)
    points_N3, normals_N3, mirrors = completed(points_N3, normals_N3, gap)
    planes = " and ".join("xyz"[mirror.axis] for mirror in mirrors) or "no axis: none is a mirror"
    say(f"{len(points_N3) - before} points are added, mirrored along {planes}.")
    if how == "mirror":
        return points_N3, normals_N3
    gap, seen = spacing(points_N3), len(points_N3)
    whole = imagined(model, points_N3, normals_N3) if how == "shape" else None
    points_N3, normals_N3 = continued(points_N3, normals_N3, gap)
    if whole is not None:
        denied = whole.denies(points_N3[seen:])
        points_N3, normals_N3 = (
            np.concatenate([each[:seen], each[seen:][~denied]]) for each in (points_N3, normals_N3)
        )
    say(f"{len(points_N3) - seen} points are added where surfaces go straight on.")
    if whole is not None:
        new_S3, facing_S3 = whole.beyond(points_N3[:seen], points_N3[seen:], gap)
        points_N3, normals_N3 = np.concatenate([points_N3, new_S3]), np.concatenate([normals_N3, facing_S3])
        say(f"{len(new_S3)} points are added where shapes like it have a surface.")
    return points_N3, normals_N3
