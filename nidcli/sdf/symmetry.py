"""What the mirror image of a cloud says about it: many things that people make are symmetric.

A plane across an axis of the frame is taken for a mirror where most points have a partner on the other side, near and
with a mirrored normal; its place is then refined until images lie in the planes of their partners (the distance of
Chen and Medioni 1992).

`doubled` adds the images that lie on what the cloud shows already: twice the points of the same surface, and no part
that was not seen, so that an object with one arm keeps its one. `completed` adds what was not seen, and only where that
is asked for.

Letters: N points, k neighbours, A added points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

TRIED, OFFSETS = 500, 81  # points and places that the search tries
CLOSE, ALIKE = 1.5, 0.6  # spacings between partners; cosine between their normals
ENOUGH = 0.6  # of the points that have a partner; a quarter of a shape unseen leaves two thirds of them
SURE = 0.76  # where images are added to what is seen; of shapes that are no mirror 0.4 to 0.72 have a partner
UNSEEN = 4.0  # spacings to the nearest point where something is missing
NEIGHBOURS, ROUNDS = 6, 6  # in which a partner is looked for; rounds of refinement
FLUSH, SAME = 0.25, 0.05  # spacings off its partner's plane up to which an image is used, and that tell it from a point
FLUSH_WEIGHED, OFF_WEIGHED, AROUND = 0.5, 0.3, 8  # the same of weighed images, their median, and images it is that of
DOUBT = 3.0  # medians around an image: the standard deviation of its value that is told


@dataclass(frozen=True)
class Doubled:
    """A cloud and, after it, mirror images. doubt_N : standard deviation of how far images lie off, of points 0."""

    points_N3: np.ndarray
    normals_N3: np.ndarray
    doubt_N: np.ndarray
    mirrors: list[Mirror]


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


def find_mirrors(
    points_N3: np.ndarray, normals_N3: np.ndarray, gap: float, enough: float = ENOUGH, near: int = 1
) -> list[Mirror]:
    """The plane of each axis across which most points have a partner, where `enough` have. gap : between neighbours;
    near : points among which a partner is looked for."""
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
                share = _share(trial, tree, points_N3[chosen], normals_N3[chosen], normals_N3, gap, near)
                if share > best.share:
                    best = Mirror(axis, float(offset), share)
        if best.share >= enough:
            found.append(best)
    return found


def doubled(
    points_N3: np.ndarray,
    normals_N3: np.ndarray,
    gap: float,
    noise: float = 0.0,
    most: int = 1 << 30,
    *,
    weighed: bool = False,
) -> Doubled:
    """The cloud and, after it, the mirror images of its points that lie on what it shows; and the mirrors that there
    are. noise : standard deviation of the points; most : points up to which a mirror is used; weighed : images say how
    far they may be off, as dense points do not forgive, and so may be further off."""
    near = min(NEIGHBOURS, len(points_N3))
    doubt_N, used = np.zeros(len(points_N3)), list[Mirror]()
    for mirror in find_mirrors(points_N3, normals_N3, gap, SURE, near):
        if len(points_N3) > most:
            break
        tree = cKDTree(points_N3)
        for _ in range(ROUNDS):
            _, off_N, partner_N = _partners(mirror, tree, points_N3, normals_N3, gap)
            lean_N = 2 * normals_N3[partner_N, mirror.axis]  # by how much `off` rises with the offset
            tells = (np.abs(lean_N) > 1) & np.isfinite(off_N)  # faces that look along the axis say where the mirror is
            if not tells.any():
                break
            lean, off = lean_N[tells], off_N[tells]
            close = np.abs(off) <= 3 * np.median(np.abs(off))
            step = -float((lean[close] * off[close]).sum() / (lean[close] ** 2).sum())
            mirror = replace(mirror, offset=mirror.offset + min(max(step, -gap), gap))
        images_N3, off_N, _ = _partners(mirror, tree, points_N3, normals_N3, gap)
        off_N = np.where(np.isnan(off_N), np.inf, np.abs(off_N))
        fits_N, new_N = off_N < FLUSH * gap + 2 * noise, doubt_N
        if weighed:
            around_N = _around(off_N, tree)
            fits_N = (off_N < FLUSH_WEIGHED * gap) & (around_N < OFF_WEIGHED * gap)
            new_N = np.hypot(doubt_N, DOUBT * np.where(fits_N, around_N, 0))
        added = fits_N & (tree.query(images_N3, workers=-1)[0] > SAME * gap)
        if not added.any():
            continue
        used.append(mirror)
        turned_A3 = normals_N3[added].copy()
        turned_A3[:, mirror.axis] *= -1
        points_N3 = np.concatenate([points_N3, images_N3[added]])
        normals_N3 = np.concatenate([normals_N3, turned_A3])
        doubt_N = np.concatenate([doubt_N, new_N[added]])
    return Doubled(points_N3, normals_N3, doubt_N, used)


def _around(off_N: np.ndarray, tree: cKDTree) -> np.ndarray:
    """(N,) how far images lie off the planes of their partners, the median of those around each."""
    around_Nk = tree.query(tree.data, k=min(1 + AROUND, tree.n), workers=-1)[1]
    found: np.ndarray = np.median(off_N[around_Nk], axis=1)
    return found


def _partners(
    mirror: Mirror, tree: cKDTree, points_N3: np.ndarray, normals_N3: np.ndarray, gap: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 3), how far each lies off the plane of its partner (N,), NaN without one, and the partner (N,):
    the nearest point whose normal is alike."""
    images_N3, turned_N3 = mirror.image(points_N3), normals_N3.copy()
    turned_N3[:, mirror.axis] *= -1
    near = min(NEIGHBOURS, len(points_N3))
    distance_Nk, index_Nk = tree.query(images_N3, k=near, workers=-1)
    alike_Nk = np.einsum("nd,nkd->nk", turned_N3, normals_N3[index_Nk]) > ALIKE
    fits_Nk = alike_Nk & (distance_Nk < CLOSE * gap)
    partner_N = index_Nk[np.arange(len(index_Nk)), fits_Nk.argmax(1)]
    off_N = np.einsum("nd,nd->n", images_N3 - points_N3[partner_N], normals_N3[partner_N])
    return images_N3, np.where(fits_Nk.any(1), off_N, np.nan), partner_N


def _share(
    mirror: Mirror,
    tree: cKDTree,
    some_X3: np.ndarray,
    theirs_X3: np.ndarray,
    normals_N3: np.ndarray,
    gap: float,
    near: int,
) -> float:
    ranks, reach = list(range(1, near + 1)), CLOSE * gap
    distance_Xk, nearest_Xk = tree.query(mirror.image(some_X3), k=ranks, distance_upper_bound=reach, workers=-1)
    flipped_X3 = theirs_X3.copy()
    flipped_X3[:, mirror.axis] *= -1
    theirs_Xk3 = normals_N3[np.minimum(nearest_Xk, len(normals_N3) - 1)]
    alike_X = ((np.einsum("xd,xkd->xk", flipped_X3, theirs_Xk3) > ALIKE) & np.isfinite(distance_Xk)).any(1)
    far_X = np.abs(some_X3[:, mirror.axis] - mirror.offset) > 2 * gap  # near the plane everything has a partner
    return float((alike_X & far_X).sum() / max(far_X.sum(), len(some_X3) // 3))


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
