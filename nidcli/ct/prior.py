"""What the dictionary expects of a slice before the encoder looks: the Gaussian posterior mean of its coarsest code.

    E[a | y] = m + Sigma Phi'(Phi Sigma Phi' + sigma^2)^-1 (y - Phi m),  Phi = A B the experts along the rays

Its picture is a first estimate that carries the class's global shape; the encoder and the residual add the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.ct.geometry import Geometry
from nidcli.ct.scanner import Scanner
from nidcli.engine import cached, materialise
from nidcli.grid import image_coords
from nidcli.model import Model
from nidcli.operators import PixelRadon, Sample
from nidcli.problem import Design, Problem
from nidcli.solvers import Map

COARSE = 128  # pixels a side, at the most, on which the coarsest experts are measured
KEPT = 256  # pixels a side, at the most, on which the drawn ones are kept
UNSEEN = 0.06  # of the root-mean-square ray: what the coarsest level cannot hold counts as noise


@dataclass(frozen=True, eq=False)
class Expectation:
    """The coarsest level of a dictionary under a geometry: it must be one cell."""

    model: Model
    scanner: Scanner

    @property
    def design(self) -> Design:
        """Phi, measured once for a geometry."""
        bank = self.model.level(0).bank()
        return cached(bank, repr(self._geometry).encode(), self._operator)

    @property
    def reduction(self) -> float:
        """Rays over the pixels on which experts are measured, as a share of rays over the slice's."""
        return self._geometry.size / self.scanner.geometry.size

    @property
    def _geometry(self) -> Geometry:
        """The scanner's, over fewer pixels where it has many."""
        given = self.scanner.geometry
        if given.size <= COARSE:
            return given
        share = COARSE / given.size
        fan = None if given.fan is None else given.fan * share
        return replace(given, size=COARSE, convention="nid", cor=given.axis, pitch=given.bin_pitch * share, fan=fan)

    def _operator(self) -> PixelRadon:
        if self._geometry is self.scanner.geometry:
            return self.scanner.operator
        coords_ND = image_coords(COARSE, COARSE).to(self.scanner.operator.coords_ND)
        return PixelRadon.of(self._geometry, coords_ND)

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
        code, drawn = self.code(sinogram_MS, noise), self.drawn
        return drawn.forward(code.dense(drawn.shape[1])) + drawn.free_MC @ code.constant_SC.T

    @property
    def drawn(self) -> Design:
        """The experts at the slice's pixels; kept where slices are small, since nets are slow and products are not."""
        n, bank = self.scanner.geometry.size, self.model.level(0).bank()
        operator = Sample(image_coords(n, n).to(self.scanner.operator.coords_ND))
        return cached(bank, f"drawn {n}".encode(), lambda: operator) if n <= KEPT else materialise(bank, operator, 0)
