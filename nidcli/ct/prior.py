"""What the dictionary expects of a slice before the encoder looks: the Gaussian posterior mean of its coarsest code.

    E[a | y] = m + Sigma Phi'(Phi Sigma Phi' + sigma^2)^-1 (y - Phi m),  Phi = A B the experts along the rays

Its picture is a first estimate that carries the class's global shape; the encoder and the residual add the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nidcli.codes import ImageCode, LevelCode
from nidcli.ct.geometry import Geometry
from nidcli.ct.scanner import Scanner
from nidcli.engine import cached
from nidcli.grid import image_coords
from nidcli.imaging import render_all
from nidcli.model import Model
from nidcli.operators import PixelRadon
from nidcli.problem import Design, Problem
from nidcli.solvers import Map

COARSE = 128  # pixels a side, at the most, on which the coarsest experts are measured
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
    def code(self, sinogram_MS: Tensor, noise: float) -> list[ImageCode]:
        """Posterior mean codes of S sinograms of the dictionary's scale. noise : standard deviation of a ray."""
        n, level = self.scanner.geometry.size, self.model.level(0)
        target_MS = sinogram_MS * self.reduction
        unseen = UNSEEN * float(target_MS.square().mean().sqrt())
        spread = ((noise * self.reduction) ** 2 + unseen**2) ** 0.5
        code = Map().solve(Problem(self.design, target_MS, prior=level.prior(), noise=spread)).code
        return [ImageCode(n, n, n, (LevelCode((1, 1), code[s : s + 1]),)) for s in range(len(code))]

    @torch.no_grad()
    def picture(self, sinogram_MS: Tensor, noise: float) -> Tensor:
        """(N, S): what those codes draw."""
        n = self.scanner.geometry.size
        drawn_SYXC = render_all(self.model, self.code(sinogram_MS, noise), n, n)
        return drawn_SYXC.flatten(1).T.contiguous()
