"""What the corrector of solids learns from: clouds of solids, their fields, and what these should have been.

Clouds are as people have them: sparse and dense, turned or upright, with noise or without, with normals or not. Every
cloud is reconstructed by the dictionary itself; pieces of its lattice around the surface are what the net sees, and the
exact distances what it should say. Sheets and slits thinner than a lattice step have no distance that a lattice could
hold: there the net should leave the field as it is.

Letters: N points, B pieces of a cloud, P lattice points of a folded one, X, Y, Z folded lattice points.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from nidcli.corrector import POINT_CHANNELS, CorrectorSpec, folded
from nidcli.errors import InputError
from nidcli.model import Model
from nidcli.sdf.correcting import CLIP, folded_places, shown, usual_steps
from nidcli.sdf.frame import SIDE, Frame
from nidcli.sdf.lattice import bands, joined
from nidcli.sdf.normals import estimate_normals
from nidcli.sdf.solids import Solid
from nidcli.sdf.solving import Field, Oriented, understood
from nidcli.sdf.splatting import splatted
from nidcli.sdf.support import spacing

POINTS = (250.0, 12_000.0)  # of a cloud, as likely in every octave
PLAIN = 0.25  # share of the clouds that are as clean as can be; of the others:
TURNED, ZOOM = 0.3, (0.85, 1.0)  # share that stands askew; sizes, of the usual frame's
LONELY = 0.25  # share that is not doubled by mirror images
NOISY, NOISE, BARE, TOLD = 0.25, (0.001, 0.009), 0.6, 0.5  # share with noise; its size; without normals; size told
ASKEW = 0.15  # deviation of noisy normals
PIECE = 24  # folded lattice points a side
WITHIN, KNOWN = 6.0, 3.0  # lattice steps from the field's surface, and spacings from points, where truth is asked
THIN, AROUND = 1.2, 1.6  # lattice steps across a sheet, and around it, where the field is left as it is
PROBES = 60_000  # points of the surface that are looked at for sheets
LEAST, TRIES = 200, 8  # lattice points of a piece where truth is asked


def piece_bytes(spec: CorrectorSpec) -> int:
    """Of a piece and its truth, in half precision."""
    return 2 * (3 * spec.fold**3 + POINT_CHANNELS) * PIECE**3


def observed(model: Model, solid: Solid, chance: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """(count, I, X, Y, Z) pieces of a cloud's field as the net sees them, and (count, P, X, Y, Z) what it should be, in
    lattice steps: NaN where nothing is asked, infinite where it should stay. Half precision.

    Raises InputError for a solid of which no cloud can be made.
    """
    for _ in range(TRIES):
        view = _View(solid, chance)
        pieces = view.pieces(model, chance, count)
        if pieces:
            chosen = list(itertools.islice(itertools.cycle(pieces), count))
            seen, truth = zip(*chosen, strict=True)
            return torch.stack(seen), torch.stack(truth)
    raise InputError("No cloud of a mesh gives a field to learn from; leave the mesh out.")


class _View:
    """A cloud of a solid in the domain: x = turn (p - centre) scale + shift."""

    def __init__(self, solid: Solid, chance: np.random.Generator) -> None:
        self.solid = solid
        points, normals = solid.sample(round(float(np.exp(chance.uniform(*np.log(POINTS))))), chance)
        plain = chance.random() < PLAIN
        askew = not plain and chance.random() < TURNED
        self.turn = _rotation(chance) if askew else np.eye(3)
        self.symmetric = plain or (not askew and chance.random() > LONELY)
        frame, zoom = Frame.of(points @ self.turn.T), 1.0 if plain else float(chance.uniform(*ZOOM))
        self.centre, self.scale = frame.centre_3, frame.scale * zoom
        self.shift = chance.uniform(-1, 1, 3) * (1 - zoom) * SIDE / 2
        self.points_N3 = self.inwards(points)
        self.normals_N3: np.ndarray | None = normals @ self.turn.T
        self.noise: float | None = 0.0
        if not plain and chance.random() < NOISY:
            size = float(chance.uniform(*NOISE))
            self.points_N3 = self.points_N3 + chance.normal(size=points.shape) * size
            self.noise = size
            if chance.random() < BARE:
                self.normals_N3, self.noise = None, size if chance.random() < TOLD else None
            else:
                askew_N3 = self.normals_N3 + chance.normal(size=points.shape) * ASKEW
                self.normals_N3 = askew_N3 / np.linalg.norm(askew_N3, axis=1, keepdims=True)

    def inwards(self, points_N3: np.ndarray) -> np.ndarray:
        """Of the solid's frame -> of the domain."""
        inside: np.ndarray = (points_N3 @ self.turn.T - self.centre) * self.scale + self.shift
        return inside

    def outwards(self, points_N3: np.ndarray) -> np.ndarray:
        """Of the domain -> of the solid's frame."""
        outside: np.ndarray = ((points_N3 - self.shift) / self.scale + self.centre) @ self.turn
        return outside

    def field(self, model: Model) -> Field:
        """As `reconstruct` makes it, on the lattice on which the net answers."""
        normals_N3, noise, given = self.normals_N3, self.noise or 0.0, self.normals_N3 is not None
        if normals_N3 is None:
            estimated = estimate_normals(self.points_N3, self.noise)
            normals_N3, noise = estimated.normals_N3, estimated.noise
        cloud = Oriented(self.points_N3, normals_N3, spacing(self.points_N3), noise, given)
        field = understood(model, cloud, 0, symmetric=self.symmetric)
        return replace(field, steps=usual_steps(field.shares[-1].cells))  # that of narrow sheets is finer

    def pieces(self, model: Model, chance: np.random.Generator, count: int) -> list[tuple[Tensor, Tensor]]:
        """Up to `count`, around points of the surface."""
        assert model.corrector is not None
        field, fold = self.field(model), model.corrector.spec.fold
        side, wide = field.side, PIECE * fold
        short = max(0, wide - side - 1)
        value, known = (np.pad(whole.numpy(), (0, short)) for whole in joined(bands(field.shares, field.steps)))
        value = np.clip(value / field.step, -CLIP, CLIP) * known
        surface_N3, normals_N3 = self.solid.sample(PROBES, chance)
        inside_N3 = (self.inwards(surface_N3) + 1) / field.step  # in lattice steps
        middle_B3 = np.round(inside_N3[chance.integers(PROBES, size=count)] + chance.integers(-8, 9, (count, 3)))
        low_B3 = (middle_B3 - wide // 2).clip(0, max(0, side + 1 - wide)).astype(np.int64)
        cloud_N3, cloud_normals_N3 = field.solid
        tree, boxes, asked = cKDTree(cloud_N3), [], []
        for low_3 in low_B3:
            box = tuple(slice(at, at + wide) for at in low_3)
            place = np.argwhere(known[box] & (np.abs(value[box]) < WITHIN))
            points = (place + low_3) * field.step - 1
            near = tree.query(points, distance_upper_bound=KNOWN * field.gap)[0] < np.inf
            boxes.append((low_3, box, place[near]))
            asked.append(self.outwards(points[near]))
        unit = field.step / self.scale
        probes = [surface_N3 + side * THIN * unit * normals_N3 for side in (-1, 1)]
        ends = np.cumsum([len(points) for points in (*asked, *probes)])[:-1]
        *distances, below, above = np.split(self.solid.distance(np.concatenate([*asked, *probes])) / unit, ends)
        thin_N3 = inside_N3[(below > -THIN / 2) | (above < THIN / 2)]
        thin = cKDTree(thin_N3) if len(thin_N3) else None
        found = []
        for (low_3, box, place), distance in zip(boxes, distances, strict=True):
            if len(place) < LEAST:
                continue
            truth = np.full((wide,) * 3, np.nan, np.float32)
            sheet = np.zeros(len(place), bool) if thin is None else _within(thin, place + low_3, AROUND)
            truth[tuple(place.T)] = np.where(sheet, np.inf, np.clip(distance, -CLIP, CLIP))
            points = folded_places(cloud_N3 - low_3 * field.step, field.step, fold)
            near = ((points > -1) & (points < PIECE)).all(1)
            splat = splatted(points[near], cloud_normals_N3[near], (PIECE,) * 3)
            inside, decided = (torch.from_numpy(np.ascontiguousarray(part[box])) for part in (value, known))
            seen = shown(inside, decided, splat, field.gap / field.step, fold)
            found.append((seen.half(), folded(torch.from_numpy(truth)[None], fold)[0].half()))
        return found


def _within(tree: cKDTree, places_N3: np.ndarray, reach: float) -> np.ndarray:
    near: np.ndarray = tree.query(places_N3, distance_upper_bound=reach)[0] < np.inf
    return near


def _rotation(chance: np.random.Generator) -> np.ndarray:
    """Any of all rotations, as likely as every other (Stewart 1980)."""
    turn, upper = np.linalg.qr(chance.normal(size=(3, 3)))
    turn *= np.sign(np.diag(upper))
    turn[:, 0] *= np.linalg.det(turn)
    return turn
