"""What the dictionary expects of a slice before the encoder looks: the Gaussian posterior mean of its coarsest code.

    E[a | y] = m + Sigma Phi'(Phi Sigma Phi' + sigma^2)^-1 (y - Phi m),  Phi = A B the experts along the rays

Its picture is a first estimate that carries the class's global shape; the encoder and the residual add the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nidcli.codes import SparseCode
from nidcli.ct.geometry import Geometry
from nidcli.ct.scanner import Scanner
from nidcli.engine import cached, measured
from nidcli.grid import image_coords
from nidcli.model import Model
from nidcli.operators import PixelRadon, Sample
from nidcli.problem import DenseDesign, Design, Problem
from nidcli.solvers import Map

COARSE = 128  # pixels a side, at the most, on which the coarsest experts are measured
DRAWN = 256  # pixels a side, at the most, on which they are drawn
UNSEEN = 0.06  # of the root-mean-square ray: what the coarsest level cannot hold counts as noise


@dataclass(frozen=True, eq=False)
class Expectation:
    """The coarsest level of a dictionary under a geometry: it must be one cell."""

    model: Model
    scanner: Scanner

    @property
    def design(self) -> Design:
        """Phi, measured once for a geometry."""
        return cached(self.model.level(0).bank(), repr(self._geometry).encode(), self._measured)

    @property
    def reduction(self) -> float:
        """Rays over the pixels on which experts are measured, as a share of rays over the slice's."""
        return self._geometry.size / self.scanner.geometry.size

    @property
    def _geometry(self) -> Geometry:
        """The scanner's, over fewer pixels where it has many."""
        given = self.scanner.geometry
        return given if given.size <= COARSE else given.over(COARSE)

    def _measured(self) -> Design:
        operator = self.scanner.operator
        if self._geometry is not self.scanner.geometry:
            operator = PixelRadon.of(self._geometry, image_coords(COARSE, COARSE).to(operator.coords_ND))
        return measured(self._atoms(self._geometry.size), operator)

    @torch.no_grad()
    def code(self, sinogram_MS: Tensor, noise: float) -> SparseCode:
        """Posterior mean codes of S sinograms of the dictionary's scale. noise : standard deviation of a ray."""
        level = self.model.level(0)
        target_MS = sinogram_MS * self.reduction
        unseen = UNSEEN * float(target_MS.square().mean().sqrt())
        spread = ((noise * self.reduction) ** 2 + unseen**2) ** 0.5
        return Map().solve(Problem(self.design, target_MS, prior=level.prior(), noise=spread)).code

    @torch.no_grad()
    def picture(self, sinogram_MS: Tensor, noise: float) -> Tensor:
        """(N, S): what those codes draw."""
        n, code = self.scanner.geometry.size, self.code(sinogram_MS, noise)
        drawn = self._atoms(min(n, DRAWN))  # they are smooth, and nets are slow
        picture_NS = drawn.forward(code.dense(drawn.shape[1])) + drawn.free_MC @ code.constant_SC.T
        return resized(picture_NS, n)

    def _atoms(self, size: int) -> DenseDesign:
        """The experts at the pixels of a slice of `size` a side."""
        make = lambda: Sample(image_coords(size, size).to(self.scanner.operator.coords_ND))  # noqa: E731
        found = cached(self.model.level(0).bank(), f"atoms {size}".encode(), make)
        assert isinstance(found, DenseDesign)
        return found


def resized(picture_NS: Tensor, size: int) -> Tensor:
    """(N, S) square pictures -> (size^2, S), enlarged by cubic interpolation, made smaller by averages."""
    side = math.isqrt(len(picture_NS))
    if side == size:
        return picture_NS
    pictures = picture_NS.T.view(-1, 1, side, side)
    return (
        nn.functional.interpolate(pictures, (size, size), mode="bicubic", antialias=size < side)
        .view(-1, size * size)
        .T.contiguous()
    )
