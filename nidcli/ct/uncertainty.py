"""How far the rays leave a slice open: the posterior standard deviation of every pixel under the dictionary's Gaussian.

    Cov[a | y] = Sigma - Sigma Phi' (Phi Sigma Phi' + sigma^2)^-1 Phi Sigma       of the coarsest level's code
    Var f(x)   = b(x)' Cov[a | y] b(x)

b(x) are the experts at a pixel (Rasmussen and Williams 2006, section 2.1). It tells where the large shapes may lie
otherwise; what is finer than the coarsest level is not in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nidcli.ct.prior import UNSEEN, Expectation
from nidcli.grid import image_coords
from nidcli.problem import DenseDesign

CHUNK = 1 << 14  # pixels whose experts are looked at at once


@torch.no_grad()
def spread(expectation: Expectation, sinogram_M1: Tensor, noise: float) -> Tensor:
    """(size, size) standard deviations, in the dictionary's units. noise : standard deviation of a ray."""
    n = expectation.scanner.geometry.size
    return coarse_variance(expectation, sinogram_M1, noise).clamp_min(0).sqrt().view(n, n)


def coarse_variance(expectation: Expectation, sinogram_M1: Tensor, noise: float) -> Tensor:
    """(N,): b' Cov[a | y] b of the coarsest level."""
    geometry, level = expectation.scanner.geometry, expectation.model.level(0)
    design = expectation.design
    assert isinstance(design, DenseDesign)
    scale = expectation.reduction
    unseen = UNSEEN * float((sinogram_M1 * scale).square().mean().sqrt())
    unit = design.unit
    spread_K = level.prior().variance_K.double().sqrt()
    measured_KM = (unit.norm_K * spread_K)[:, None] * unit.unit_KM.double()
    inside_KK = measured_KM @ measured_KM.T / max((noise * scale) ** 2 + unseen**2, 1e-30)
    inside_KK.diagonal().add_(1)
    # Cov = T (I + T' Phi' Phi T / sigma^2)^-1 T' with T = sqrt(Sigma); its Cholesky factor gives b' Cov b as a square
    factor_KK = torch.linalg.cholesky(inside_KK)
    coords_ND = image_coords(geometry.size, geometry.size).to(design.matrix_MK)
    parts = []
    for some_ND in coords_ND.split(CHUNK):
        atoms_KN = level.bank().atoms(some_ND)[:, 0].T.double() * spread_K[:, None]
        parts.append(torch.linalg.solve_triangular(factor_KK, atoms_KN, upper=False).square().sum(0))
    return torch.cat(parts).float()
