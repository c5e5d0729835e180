"""Where the whole of a shape lies, of which a cloud shows a part: the turn, the shift and the scale that take points
into the frame that whole shapes were learned in.

Clouds come in the frame of what is seen of them, and may lie on their side. Under a pose the data have an evidence: the
density of a Gaussian, that of the level's codes seen through the points and their normals, of which there is a closed
form (Bishop 2006, section 3.5). All turns of a cube are tried, and from the best of them it is climbed (Powell 1964).

Letters: N points, K experts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize

from nidcli.engine import materialise
from nidcli.model import Level
from nidcli.operators import Hermite
from nidcli.problem import DenseDesign
from nidcli.sdf.frame import SIDE

LOOKED = 300  # points
ON, SLOPE = 0.04, 0.5  # deviations of values, in units of the domain, and of slopes: what a shape's code cannot draw
SHIFT, SCALE = 0.08, 0.06  # and of a pose's shift, and of the logarithm of its scale
FURTHEST = (0.5, 0.6)  # of these, at most
OUTSIDE = 0.02  # deviation of how far what is seen reaches out of the box of the whole, whose longest side is known
CLIMBED, STEPS = 4, 150  # turns from which it is climbed, and how often each is asked


@dataclass(frozen=True)
class Pose:
    """x = scale turn p + shift. turn_33 : a rotation; shift_3 : in units of the domain."""

    turn_33: np.ndarray
    shift_3: np.ndarray
    scale: float

    def inwards(self, points_N3: np.ndarray) -> np.ndarray:
        """(N, 3) of the cloud -> of the whole shape's frame."""
        return self.scale * points_N3 @ self.turn_33.T + self.shift_3

    def outwards(self, points_N3: np.ndarray) -> np.ndarray:
        """(N, 3) of the whole shape's frame -> of the cloud."""
        return (points_N3 - self.shift_3) @ self.turn_33 / self.scale

    @staticmethod
    def at(turn_33: np.ndarray, place_4: np.ndarray) -> Pose:
        """A shift and the logarithm of a scale as a pose."""
        return Pose(turn_33, np.asarray(place_4[:3], float), float(np.exp(place_4[3])))


def find_pose(level: Level, points_N3: np.ndarray, normals_N3: np.ndarray) -> Pose:
    """The pose of the largest evidence. level : of whole shapes; points in the frame of what is seen."""
    corners_23 = np.stack([points_N3.min(0), points_N3.max(0)])
    chosen = np.random.default_rng(0).permutation(len(points_N3))[:LOOKED]
    points_N3, normals_N3 = points_N3[chosen], normals_N3[chosen]

    def against(place_4: np.ndarray, turn_33: np.ndarray) -> float:
        prior = ((place_4[:3] / SHIFT) ** 2).sum() / 2 + (place_4[3] / SCALE) ** 2 / 2
        pose = Pose.at(turn_33, place_4)
        outside = (np.abs(pose.inwards(corners_23)) - SIDE / 2).clip(0)
        prior += ((outside / OUTSIDE) ** 2).sum() / 2
        return float(prior) - evidence(level, pose.inwards(points_N3), normals_N3 @ turn_33.T)

    turns = sorted(cube_turns(), key=partial(against, np.zeros(4)))[:CLIMBED]
    shift, scale = FURTHEST
    bounds = [(-shift, shift)] * 3 + [(-scale, scale)]
    options = {"maxfev": STEPS, "xtol": 0.01, "ftol": 1e-4}
    climbed = [minimize(against, np.zeros(4), (t,), "Powell", bounds=bounds, options=options) for t in turns]
    best = min(range(len(turns)), key=lambda i: float(climbed[i].fun))
    return Pose.at(turns[best], climbed[best].x)


@torch.no_grad()
def evidence(level: Level, points_N3: np.ndarray, normals_N3: np.ndarray) -> float:
    """Logarithm of the density of f(p) = 0 and grad f(p) = n under the level's Gaussian, but for a constant."""
    prior = level.prior()
    on_N3, facing_N3 = (torch.from_numpy(each).to(prior.mean_K) for each in (points_N3, normals_N3))
    every_N = on_N3.new_ones(len(on_N3))
    operator = Hermite(on_N3, every_N / ON, every_N / SLOPE)
    design = materialise(level.bank(), operator, 1 << 62)
    assert isinstance(design, DenseDesign)
    target_M = operator.forward(torch.nn.functional.pad(facing_N3, (1, 0))[:, :, None])[:, 0]
    left_M = (target_M - design.matrix_MK @ prior.mean_K).double()
    spread_MK = design.matrix_MK.double() * prior.variance_K.double().sqrt()
    inner_KK = spread_MK.T @ spread_MK + torch.eye(spread_MK.shape[1], dtype=torch.float64, device=left_M.device)
    factor_KK = torch.linalg.cholesky(inner_KK)
    half_K = torch.linalg.solve_triangular(factor_KK, (spread_MK.T @ left_M)[:, None], upper=False)
    explained = half_K.square().sum() - left_M.square().sum()
    return float(explained / 2 - factor_KK.diagonal().log().sum())


def cube_turns() -> Sequence[np.ndarray]:
    """The 24 rotations of a cube, the identity first."""
    found = []
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1.0, -1.0), repeat=3)):
        turn_33 = np.zeros((3, 3))
        turn_33[range(3), order] = signs
        if np.linalg.det(turn_33) > 0:
            found.append(turn_33)
    return found
