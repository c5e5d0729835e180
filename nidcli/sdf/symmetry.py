"""What a cloud does not show, from its mirror image: many things that people make are symmetric.

A plane across an axis of the frame is taken for a mirror where most points have a partner on the other side, near and
with a mirrored normal. Points whose partner was not seen are then added as it. Nothing is added where the cloud has
points already, and nothing at all without being asked to: an object with one arm would be given another.

Letters: N points, A added points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

TRIED, OFFSETS = 1500, 81  # points and places that the search tries
CLOSE, ALIKE = 1.5, 0.6  # spacings between partners; cosine between their normals
ENOUGH = 0.6  # of the points that have a partner; a quarter of a shape unseen leaves two thirds of them
UNSEEN = 4.0  # spacings to the nearest point where something is missing


@dataclass(frozen=True)
class Mirror:
    """x -> 2 offset - x along an axis. share : of the points that have a partner."""

    axis: int
    offset: float
    share: float

    def image(self, points_N3: np.ndarray) -> np.ndarray:
        """(N, 3) mirrored."""
        mirrored_N3 = points_N3.copy()
        mirrored_N3[:, self.axis] = 2 * self.offset - mirrored_N3[:, self.axis]
        return mirrored_N3


def find_mirrors(points_N3: np.ndarray, normals_N3: np.ndarray, gap: float) -> list[Mirror]:
    """The plane of each axis across which most points have a partner, where ENOUGH have. gap : between neighbours."""
    tree = cKDTree(points_N3)
    chosen = np.random.default_rng(0).permutation(len(points_N3))[:TRIED]
    found = []
    for axis in range(3):
        low, high = points_N3[:, axis].min(), points_N3[:, axis].max()
        best = Mirror(axis, float(low + high) / 2, 0.0)
        span = (high - low) / 4
        for reach, tries in ((span, OFFSETS), (2 * span / OFFSETS, 9)):
            for offset in np.linspace(best.offset - reach, best.offset + reach, tries):
                trial = Mirror(axis, float(offset), 0.0)
                share = _share(trial, tree, points_N3[chosen], normals_N3[chosen], normals_N3, gap)
                if share > best.share:
                    best = Mirror(axis, float(offset), share)
        if best.share >= ENOUGH:
            found.append(best)
    return found


def _share(
    mirror: Mirror, tree: cKDTree, some_X3: np.ndarray, theirs_X3: np.ndarray, normals_N3: np.ndarray, gap: float
) -> float:
    distance_X, nearest_X = tree.query(mirror.image(some_X3), distance_upper_bound=CLOSE * gap, workers=-1)
    met = np.isfinite(distance_X)
    flipped_X3 = theirs_X3[met].copy()
    flipped_X3[:, mirror.axis] *= -1
    alike = np.einsum("xd,xd->x", flipped_X3, normals_N3[nearest_X[met]]) > ALIKE
    away = np.abs(some_X3[met][:, mirror.axis] - mirror.offset) > 2 * gap  # near the plane everything has a partner
    far = np.abs(some_X3[:, mirror.axis] - mirror.offset) > 2 * gap
    return float((alike & away).sum() / max(far.sum(), len(some_X3) // 3))


def completed(points_N3: np.ndarray, normals_N3: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray, list[Mirror]]:
    """The cloud and, after it, the mirror images of points whose partner is unseen; and the mirrors that there are."""
    mirrors = find_mirrors(points_N3, normals_N3, gap)
    for mirror in mirrors:
        images_N3, seen = mirror.image(points_N3), cKDTree(points_N3)
        away_N = seen.query(images_N3, workers=-1)[0]
        if not (away_N > UNSEEN * gap).any():
            continue
        missing = cKDTree(images_N3[away_N > UNSEEN * gap])  # and up to the border of what is seen
        added = (away_N > gap) & (missing.query(images_N3, workers=-1)[0] < UNSEEN * gap)
        turned_A3 = normals_N3[added].copy()
        turned_A3[:, mirror.axis] *= -1
        points_N3 = np.concatenate([points_N3, images_N3[added]])
        normals_N3 = np.concatenate([normals_N3, turned_A3])
    return points_N3, normals_N3, mirrors
