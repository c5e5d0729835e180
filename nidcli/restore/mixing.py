"""The mixture of Gaussians over the codes of cells, learned from photos by expectation and maximisation.

Cells are drawn anywhere, from a grid of no phase. They are first told apart by their directions alone (k-means on codes
of equal norm), then by expectation and maximisation (Dempster, Laird and Rubin 1977), each covariance drawn towards a
diagonal one by as much as PRIOR_CELLS cells would.

Letters: X cells, M numbers of a cell, R directions, G Gaussians.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nidcli.model import Model
from nidcli.restore.cells import directions
from nidcli.restore.whole import FINE, WholeImage, whole_of
from nidcli.solvers.mixture import Gaussians

EACH, PHOTOS, LEAST_CELLS = 40, 2800, 50  # cells of a photo, photos at most, cells for each Gaussian at least
SPLITS, ROUNDS = 10, 5
PRIOR_CELLS, LEAST = 200.0, 1e-5  # see above; least variance
FAINT = 0.15  # norm of a code without its constants, below which it has no direction
TOGETHER = 50  # photos


@torch.no_grad()
def learn_mixture(model: Model, photo: Callable[[int, int], Tensor], train: int, chance: torch.Generator) -> None:
    """Set the model's mixture from the first `train` photos of a collection; photo(index, side) is (side, side, C)."""
    mixture = model.mixture
    assert mixture is not None
    whole, finest = WholeImage.of(whole_of(model)), model.level(-1).spec
    phi_MR, pixels = directions(model, mixture.directions), finest.pixels
    chosen = range(0, train, -(-train // PHOTOS))
    each = max(EACH, -(-LEAST_CELLS * mixture.spec.gaussians // len(chosen)))
    codes, left, rest = [], [], []
    for start in range(0, len(chosen), TOGETHER):
        photos = torch.stack([photo(i, whole.frame) for i in chosen[start : start + TOGETHER]]).to(phi_MR)
        samples = nn.functional.avg_pool2d(photos.permute(0, 3, 1, 2), FINE).permute(0, 2, 3, 1).flatten(1)
        place = torch.randint(0, whole.frame - pixels + 1, (len(photos), each, 2), generator=chance)
        cells_XM = drawn_cells(photos, place, pixels)
        codes.append(cells_XM @ phi_MR)
        rest.append(cells_XM.square().mean() - codes[-1].square().mean() * phi_MR.shape[1] / phi_MR.shape[0])
        details = photos - whole.draw(whole.posterior(samples))
        left.append((drawn_cells(details, place, pixels) @ phi_MR).square().mean(0))
    mixture.learned(*maximised(torch.cat(codes), mixture.spec.gaussians, finest.dictionary.channels, chance))
    mixture.left_R.copy_(torch.stack(left).mean(0))
    mixture.left_rest.copy_(torch.stack(rest).mean().clamp_min(0))


def drawn_cells(photos_BHWC: Tensor, place_BX2: Tensor, pixels: int) -> Tensor:
    """(B X, M): cells whose first pixels are given."""
    B, X, _ = place_BX2.shape
    around = torch.arange(pixels)
    rows = place_BX2[:, :, 0, None, None] + around[:, None]
    columns = place_BX2[:, :, 1, None, None] + around
    which = torch.arange(B)[:, None, None, None]
    return photos_BHWC[which, rows, columns].reshape(B * X, -1)


def maximised(code_XR: Tensor, count: int, constants: int, chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (G,), means (G, R), covariances (G, R, R). constants : directions that tell nothing of a cell's kind."""
    kind_XR = code_XR[:, constants:]
    kind_XR = kind_XR / kind_XR.norm(dim=1, keepdim=True).clamp_min(FAINT)
    middle_GR = kind_XR[torch.randperm(len(code_XR), generator=chance)[:count].to(code_XR.device)]
    for _ in range(SPLITS):
        nearest = torch.cdist(kind_XR, middle_GR).argmin(1)
        member_XG = nn.functional.one_hot(nearest, count).to(code_XR)
        middle_GR = (member_XG.T @ kind_XR) / member_XG.sum(0)[:, None].clamp_min(1)
    found = _fitted(code_XR, member_XG)
    for _ in range(ROUNDS - 1):
        found = _fitted(code_XR, Gaussians.of(*found).evidence(code_XR).softmax(1))
    return found


def _fitted(code_XR: Tensor, member_XG: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest Gaussians of cells that belong to each of them by so much."""
    spread_R = code_XR.var(0)
    count_G = member_XG.sum(0) + 1e-3
    weight_G, mean_GR = count_G / len(code_XR), (member_XG.T @ code_XR) / count_G[:, None]
    covariances = []
    for g in range(len(count_G)):
        belongs = (member_XG[:, g] > 1e-3).nonzero()[:, 0]
        around = code_XR[belongs] - mean_GR[g]
        covariance = (around * member_XG[belongs, g, None]).T @ around / count_G[g]
        pull = PRIOR_CELLS / (PRIOR_CELLS + float(count_G[g]))
        plain_R = spread_R * (covariance.trace() / spread_R.sum())
        covariances.append((1 - pull) * covariance + torch.diag(pull * plain_R + LEAST))
    return weight_G, mean_GR, torch.stack(covariances)
