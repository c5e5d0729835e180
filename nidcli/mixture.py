"""A mixture of Gaussians over the codes of cells: what pieces of photos look like, edges of every direction among them.

A cell's code in the leading directions of a level, its constants and first orthonormal experts, is drawn from one of G
Gaussians (Yu, Sapiro and Mallat 2012, piecewise linear estimators; Zoran and Weiss 2011). Given which one, everything
is linear.

Letters: G Gaussians, R directions, T = R (R + 1) / 2 numbers of a triangle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class MixtureSpec:
    """gaussians : G; directions : R, constants included, or as many as a cell has."""

    gaussians: int = 20
    directions: int = 160

    def __post_init__(self) -> None:
        if self.gaussians < 1 or self.directions < 4:
            raise ValueError(f"a mixture needs a Gaussian and 4 directions at least, not {self}")


class Mixture(nn.Module):
    """weight_G, mean_GR : of the Gaussians; factor_GT : their covariances' lower Cholesky factors, row after row.

    left_R : mean square of what the level for the whole image leaves over along each direction; left_rest : mean square
    of what the directions leave over of a sample.
    """

    weight_G: Tensor
    mean_GR: Tensor
    factor_GT: Tensor
    left_R: Tensor
    left_rest: Tensor

    def __init__(self, spec: MixtureSpec, most: int) -> None:
        super().__init__()
        self.spec, self.directions = spec, min(spec.directions, most)
        G, R = spec.gaussians, self.directions
        rows, columns = torch.tril_indices(R, R)
        self.register_buffer("weight_G", torch.full((G,), 1 / G))
        self.register_buffer("mean_GR", torch.zeros(G, R))
        self.register_buffer("factor_GT", (rows == columns).float().expand(G, -1).clone())
        self.register_buffer("left_R", torch.ones(R))
        self.register_buffer("left_rest", torch.tensor(1e-4))

    @property
    def covariance_GRR(self) -> Tensor:
        """The covariances."""
        R = self.directions
        factor_GRR = self.factor_GT.new_zeros(len(self.factor_GT), R, R)
        rows, columns = torch.tril_indices(R, R)
        factor_GRR[:, rows, columns] = self.factor_GT
        return factor_GRR @ factor_GRR.mT

    @torch.no_grad()
    def learned(self, weight_G: Tensor, mean_GR: Tensor, covariance_GRR: Tensor) -> None:
        """Take what was learned."""
        rows, columns = torch.tril_indices(*covariance_GRR.shape[1:])
        self.weight_G.copy_(weight_G)
        self.mean_GR.copy_(mean_GR)
        self.factor_GT.copy_(torch.linalg.cholesky(covariance_GRR.double())[:, rows, columns])
