"""A shape as one code of experts that span the whole domain: dictionaries learned by `--method moe` (section 4.5).

    a = argmin sum_p f(p)^2 / s^2 + |grad f(p) - n|^2 / t^2  +  sum_x (f(x) - d(x))^2 / u^2  +  (a - m)' V^-1 (a - m)

over points p of the cloud and places x around them, d their distances to it: equation 17 in squares, with normals. m is
what the set encoder says of the points at once, or the mean of the training codes where these came from a table; V are
the variances of the training codes.

Letters: N points and places, K experts and a constant.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nidcli.clouds import cloud_distance
from nidcli.engine import materialise
from nidcli.model import Model
from nidcli.operators import Hermite
from nidcli.partition import Partition
from nidcli.problem import DenseDesign
from nidcli.sdf.field import Share
from nidcli.solvers.posterior import Ragged, posterior_means

LOOKED = 2048  # points of the cloud, and places around
STEPS, MOST_STEPS = 128, 512  # of the lattice, by itself and at most: one code of the domain shows no more
ON, SLOPE, OFF = 0.005, 0.3, 0.02  # deviations of what such a code cannot draw: on points, of normals, in space
CONSTANT = 1.0  # and prior deviation of the constant


def spans(model: Model) -> bool:
    """Whether its experts are of the whole domain."""
    return len(model.levels) == 1 and model.level(0).spec.cells == 1


@torch.no_grad()
def whole_share(model: Model, points_N3: np.ndarray, normals_N3: np.ndarray) -> Share:
    """The code of a cloud, as a share of one cell."""
    level, chance = model.level(0), np.random.default_rng(0)
    device, prior = level.prior_mean_BK.device, level.prior()
    some = chance.choice(len(points_N3), min(LOOKED, len(points_N3)), replace=False)
    on_N3, off_N3 = points_N3[some], chance.uniform(-1, 1, (LOOKED, 3))
    values = np.concatenate([np.zeros(len(on_N3)), cloud_distance(points_N3, normals_N3, off_N3)])
    slopes = np.concatenate([normals_N3[some], np.zeros_like(off_N3)])
    near_N = torch.arange(len(values), device=device) < len(on_N3)
    coords_N3, value_N, slope_N3 = (
        torch.from_numpy(part).float().to(device) for part in (np.concatenate([on_N3, off_N3]), values, slopes)
    )
    operator = Hermite(coords_N3, torch.where(near_N, 1 / ON, 1 / OFF), near_N / SLOPE)
    design = materialise(level.bank(), operator, 1 << 62)
    assert isinstance(design, DenseDesign)
    target_M = operator.forward(torch.cat([value_N[:, None], slope_N3], 1)[:, :, None])[:, 0]
    matrix_MK = torch.cat([design.matrix_MK, design.free_MC], 1)
    guess_K, constant = _guessed(model, coords_N3[: len(on_N3)])
    mean_K = torch.cat([guess_K, guess_K.new_tensor([constant])])
    variance_K = torch.cat([prior.variance_K, prior.variance_K.new_tensor([CONSTANT**2])])
    # in double precision: experts of the whole domain are nearly dependent on so many rows
    problem = Ragged(matrix_MK.double(), target_M.double(), torch.tensor([len(target_M)]))
    code_1K = posterior_means(problem, mean_K.double(), variance_K.double()).float()
    only = torch.zeros(1, dtype=torch.long, device=device)
    partition = Partition((1,) * 3, level.spec.overlap)
    return Share(level.bank(), partition, only, code_1K[:, :-1], only, float(code_1K[0, -1]))


def _guessed(model: Model, on_N3: Tensor) -> tuple[Tensor, float]:
    """(K,) the code that the gate gives the points, or without one the mean of the training codes; and its constant."""
    level = model.level(0)
    if model.moe is None:
        return level.prior().mean_K, 0.0
    code = model.moe.answer(torch.zeros_like(on_N3[None, :, :1]), on_N3[None], level.spec.top_k)
    return code.dense(level.spec.dictionary.experts)[:, 0], float(code.constant_SC[0, 0])
