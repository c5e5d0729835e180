"""The level for the whole image, learned from photos: their mean, the principal components around it, as experts.

The first expert is the mean photo, with a code that never varies; the others are orthonormal directions with variances.
Directions are found by subspace iteration on the photos themselves (Halko, Martinsson and Tropp 2011), since a
covariance of all pixels with all would not fit. Letters: S photos, M numbers of a photo, K experts, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from nidcli.fitting import Targets, fit_experts
from nidcli.grid import image_coords
from nidcli.learn_spec import LearnSpec
from nidcli.linear import solve
from nidcli.model import Whole
from nidcli.restore.fill import roughness
from nidcli.restore.whole import FINE, WholeImage

MOST = 6000  # photos, at most, from which the level is learned
DETAILED = 200  # of them, from which the field of details is estimated
OVERSAMPLED, ROUNDS = 32, 4


def learn_from(
    whole: Whole,
    photo: Callable[[int, int], Tensor],
    train: int,
    held: list[int],
    spec: LearnSpec,
    chance: torch.Generator,
) -> float:
    """`learn_whole` on the first `train` photos of a collection, mirrored ones as well if the spec has them.

    photo(index, side) gives (side, side, C); held : photos kept out of learning, whose misfits are remembered.
    """
    device, side = whole.left_N.device, whole.spec.pixels

    def read(indices: Iterable[int], side: int = side) -> Tensor:
        return torch.stack([photo(i, side) for i in indices]).to(device)

    most = MOST // 2 if spec.flip else MOST
    images = read(range(0, train, -(-train // most)))
    photos = torch.cat([images, images.flip(2)]) if spec.flip else images
    judged = read(held) if held else images
    left = learn_whole(whole, photos.flatten(1), judged.flatten(1), spec.fit_steps, chance)
    level = WholeImage.of(whole)
    framed = read(range(0, train, -(-train // DETAILED)), level.frame)
    samples = nn.functional.avg_pool2d(framed.permute(0, 3, 1, 2), FINE).permute(0, 2, 3, 1)
    details = framed - level.draw(level.posterior(samples.flatten(1)))
    whole.rough_P.copy_(roughness(details.permute(0, 3, 1, 2).flatten(0, 1)))
    return left


@torch.no_grad()
def learn_whole(whole: Whole, photos_SM: Tensor, held_SM: Tensor, steps: int, chance: torch.Generator) -> float:
    """Set the level's weights and statistics; the root-mean-square of what it leaves of the held-out photos.

    photos_SM : photos at the level's samples, (y, x, channel) flattened; held_SM : others, or the same.
    """
    spec = whole.spec
    C, N, K = spec.dictionary.channels, spec.pixels**2, spec.dictionary.experts
    mean_M = photos_SM.mean(0)
    parts_MR = principal(photos_SM - mean_M, min(K, spec.basis) - 1, chance)
    atoms_MK = torch.zeros(len(mean_M), K).to(mean_M)
    atoms_MK[:, 0] = mean_M / mean_M.norm()
    atoms_MK[:, 1 : 1 + parts_MR.shape[1]] = parts_MR
    power_K = (photos_SM @ atoms_MK).square().mean(0)
    points_ND = image_coords(spec.pixels, spec.pixels).to(mean_M.device)
    values_KCN = atoms_MK.T.reshape(K, N, C).transpose(1, 2)
    targets = Targets(points_ND, N, values_KCN, mean_M.new_zeros(N, 0), power_K)
    with torch.enable_grad():
        fit_experts(whole.bank(), targets, steps, chance)
    # The experts are nearly, not exactly, what they were fitted to: their statistics are those of their own codes.
    whole.left_N.fill_(1)
    design_MK = WholeImage.of(whole).design_MK
    codes_SK = _codes(design_MK, photos_SM)
    whole.prior_mean_BK[0] = codes_SK.mean(0)
    whole.prior_variance_BK[0] = codes_SK.var(0, correction=0)
    whole.prior_variance_BK[0, 0] = 0
    whole.prior_mean_BK[0, 1 + parts_MR.shape[1] :] = 0
    left_SN = (photos_SM - codes_SK @ design_MK.T).view(len(photos_SM), N, C).square().mean(2)
    whole.left_N.copy_(left_SN.mean(0).sqrt().clamp_min(1e-3))
    left_SN = (held_SM - _codes(design_MK, held_SM) @ design_MK.T).view(len(held_SM), N, C).square().mean(2)
    misfit_S = (left_SN / whole.left_N.square()).mean(1).sqrt()
    whole.misfit_Q.copy_(torch.quantile(misfit_S, torch.linspace(0, 1, 101).to(misfit_S)))
    return float(left_SN.mean().sqrt())


def principal(centred_SM: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """(M, R) orthonormal directions of the largest variance, largest first."""
    S, M = centred_SM.shape
    wide = min(count + OVERSAMPLED, S, M)
    span_MR = torch.randn(M, wide, generator=chance).to(centred_SM)
    for _ in range(ROUNDS):
        span_MR = torch.linalg.qr(centred_SM.T @ (centred_SM @ span_MR)).Q
    turn_RR = torch.linalg.svd(centred_SM @ span_MR, full_matrices=False).Vh.T
    return (span_MR @ turn_RR)[:, :count]


def _codes(design_MK: Tensor, photos_SM: Tensor) -> Tensor:
    """(S, K) by least squares."""
    gram_KK = design_MK.double().T @ design_MK.double()
    gram_KK.diagonal().add_(1e-9 * gram_KK.diagonal().mean() + 1e-12)
    return solve(gram_KK, (photos_SM @ design_MK).double().T).T.float()
