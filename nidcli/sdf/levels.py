"""A level of solids from the moments of its pieces: experts, and the Gaussian of their codes.

Letters: X samples of a piece and a one, N samples, K experts, B of them components, P pieces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nidcli.fitting import Targets, fit_experts
from nidcli.model import Level
from nidcli.sdf.spec import cell_samples


@torch.no_grad()
def make_level(level: Level, moments_XX: Tensor, fit_steps: int, seed: int) -> float:
    """From the sums of [piece, 1] [piece, 1]' to experts and the Gaussian of their codes; see `fit_experts`."""
    count = moments_XX[-1, -1]
    mean_N = moments_XX[:-1, -1] / count
    covariance_NN = moments_XX[:-1, :-1] / count - mean_N[:, None] * mean_N
    K = level.spec.dictionary.experts
    power, vectors_NN = torch.linalg.eigh(covariance_NN)
    components_NB = vectors_NN.flip(1)[:, : K - 1]
    variance_B = power.flip(0)[: K - 1].clamp_min(0)
    atoms_NK = torch.cat([mean_N[:, None], components_NB], 1)
    level.prior_mean_BK.zero_()
    level.prior_variance_BK.zero_()
    level.prior_mean_BK[0, 0] = 1
    level.prior_variance_BK[0, 1 : 1 + len(variance_B)] = variance_B.float()
    samples = cell_samples(level.spec).to(level.prior_mean_BK)
    importance_K = torch.cat([mean_N.square().sum()[None], variance_B])
    targets = Targets(
        samples,
        len(samples),
        atoms_NK.T[:, None].float(),
        samples.new_zeros(len(samples), 0),
        importance_K.float(),
    )
    return fit_experts(level.bank(), targets, fit_steps, torch.Generator().manual_seed(seed))


@torch.no_grad()
def held_out_psnr(level: Level, pieces_PN: Tensor) -> float:
    """dB of a half cell above the error of pieces projected on the experts."""
    atoms_NK = level.bank().atoms(cell_samples(level.spec).to(level.prior_mean_BK))[:, 0]
    pieces_NP = pieces_PN.T.to(atoms_NK)
    left = pieces_NP - atoms_NK @ torch.linalg.lstsq(atoms_NK, pieces_NP).solution
    return -10 * math.log10(max(float(left.square().mean()), 1e-12))
