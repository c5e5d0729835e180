"""What is unseen, by what shapes of the kind are like: the level of the whole domain.

Its code is solved for from the points and their normals, in the pose that they tell (pose.py), under the Gaussian of
whole shapes; a level of cells then bends the field to the points themselves. It is the coarse field: where no point is,
its sign decides what is inside and what outside.

Letters: N points, A added ones, S samples of a surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, cKDTree

from nidcli.errors import UsageError
from nidcli.files.meshes import Mesh
from nidcli.model import Level, Model
from nidcli.sdf.compare import sample_surface
from nidcli.sdf.field import Data, Share, solve_share
from nidcli.sdf.lattice import bands, triangles
from nidcli.sdf.pose import Pose, find_pose
from nidcli.sdf.solving import nearest_level

LOOKED = 2048  # points
ON, SLOPE = 0.03, 0.3  # deviations of values, in units of the domain, and of slopes: what a shape's code cannot draw
CELLS, BENT_ON, MOST = 8, 0.02, 512  # a side of the level that bends; what it need not draw; points of a cell
STEPS = 12  # of the lattice, a cell of these
FAR, JOINED, FREE = 0.1, 0.12, 1.2  # from all points: unseen; from what is unseen: up to points; spacings from these
TOGETHER, SPECK = 2.5, 30  # spacings between points of one part; fewer points than these are none
MOST_ADDED = 200_000  # points: a cloud of a few dense spots would ask for millions
DENIED = 0.2  # off the whole shape's surface: not of this kind


@dataclass(frozen=True)
class Imagined:
    """A whole shape that a cloud is a part of. shares : of the whole, and of the cells that bend it."""

    pose: Pose
    shares: Sequence[Share]

    def denies(self, points_A3: np.ndarray) -> np.ndarray:
        """(A,) which points, in the cloud's frame, are far from where such a shape has a surface."""
        whole = self.shares[0]
        places_A3 = torch.from_numpy(self.pose.inwards(points_A3)).to(whole.code_SK)
        inside_A3 = places_A3.clamp(-1, 1)  # nothing is known beyond the domain
        away_A = whole.jets(inside_A3)[:, 0].abs() + (places_A3 - inside_A3).norm(dim=1)
        denied: np.ndarray = (away_A > DENIED).cpu().numpy()
        return denied

    def beyond(self, seen_N3: np.ndarray, guessed_A3: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
        """Points of its surface, and their normals (S, 3), that are far from all these and outside the hull of what is
        seen, and on from there up to that. gap : between neighbours; all in the cloud's frame."""
        vertices_V3, faces_F3 = triangles(bands(self.shares, STEPS), CELLS * STEPS)
        if not len(faces_F3):
            return np.zeros((0, 3)), np.zeros((0, 3))
        surface = Mesh(self.pose.outwards(vertices_V3), faces_F3)
        count = min(MOST_ADDED, round(surface.area / gap**2))
        sample_S3, normal_S3 = sample_surface(surface, count, np.random.default_rng(0))
        away_S = cKDTree(seen_N3).query(sample_S3, workers=-1)[0]
        guessed_S = np.full(count, np.inf)
        if len(guessed_A3):
            guessed_S = cKDTree(guessed_A3).query(sample_S3, workers=-1)[0]
        far = FAR / self.pose.scale
        faces_H4 = ConvexHull(seen_N3, qhull_options="QJ").equations  # joggled, or a flat sheet has none
        out_S = (sample_S3 @ faces_H4[:, :3].T + faces_H4[:, 3]).max(1) > 0
        unseen_S = out_S & (np.minimum(away_S, guessed_S) > far)  # amid points it was seen that nothing is there
        if not unseen_S.any():
            return sample_S3[:0], normal_S3[:0]
        joined_S = cKDTree(sample_S3[unseen_S]).query(sample_S3, workers=-1)[0] < JOINED / self.pose.scale
        new_S = joined_S & (away_S > FREE * gap) & (guessed_S > far)
        new_S[new_S] = ~_specks(sample_S3[new_S], gap)
        return sample_S3[new_S], normal_S3[new_S]


def _specks(points_A3: np.ndarray, gap: float) -> np.ndarray:
    """(A,) which points are of a part too small to be one."""
    pair_P2 = cKDTree(points_A3).query_pairs(TOGETHER * gap, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pair_P2), bool), pair_P2.T), (len(points_A3), len(points_A3)))
    count, part_A = connected_components(graph, directed=False)
    small: np.ndarray = np.bincount(part_A, minlength=count)[part_A] < SPECK
    return small


def whole_level(model: Model) -> Level:
    """The level of the whole domain. Raises UsageError for a dictionary that has none."""
    if model.shape is None:
        raise UsageError("The dictionary has no level of whole shapes; give --complete straight, or another --dict.")
    return model.shape


@torch.no_grad()
def imagined(model: Model, points_N3: np.ndarray, normals_N3: np.ndarray) -> Imagined:
    """The whole shape of points and their normals. Raises as `whole_level` does."""
    level = whole_level(model)
    pose, device = find_pose(level, points_N3, normals_N3), level.prior_mean_BK.device
    inside_N3 = pose.inwards(points_N3)
    within = np.flatnonzero((np.abs(inside_N3) < 1).all(1))
    points, normals = (
        torch.from_numpy(each[within]).float().to(device) for each in (inside_N3, normals_N3 @ pose.turn_33.T)
    )
    every = torch.ones_like(points[:, 0])
    some = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:LOOKED].to(device)
    rough = Data(points[some], 0 * every[some], normals[some], ON * every[some], SLOPE * every[some])
    whole = solve_share(level, 1, rough, 1, LOOKED)
    left = Data(points, 0 * every, normals, BENT_ON * every, SLOPE * every).minus(whole.jets(points))
    return Imagined(pose, [whole, solve_share(nearest_level(model, CELLS), CELLS, left, 1, MOST, first=False)])
