"""Details between scattered pixels: overlapping cells, each the posterior mean under a mixture of Gaussians.

    answer(x) = sum_cells w_cell(x) (Phi a_cell)(x),     a_cell = E[a | known pixels of the cell, the whole image's say]

Phi are the constants and leading experts of the finest level, materialised once; a cell may lie anywhere, so cells lie
half a cell apart, and each is believed most in its middle. What the whole-image level draws counts as an observation
of the code with the errors that it usually has, the larger the less is known. Cells of which a quarter shows hardly
anything keep the guess: there the whole-image level, and what it leaves over, know better.

Letters: B photos, H = W pixels of the frame, X cells, N samples of a cell, C channels, M = N C, R directions.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nidcli.engine import materialise
from nidcli.mixture import Mixture
from nidcli.model import Model
from nidcli.operators import Sample
from nidcli.problem import DenseDesign
from nidcli.restore.estimate import View
from nidcli.solvers.mixture import Gaussians, mixture_means

SHOWN = 0.08  # of each quarter of a cell, that must be known
MUCH = 0.3  # of a cell, that is missing where pixels are missing here and there
LIKELY = 2  # Gaussians that are asked
NOISE = 1e-5  # variance of a pixel, beside what the directions leave over
FIRST = 0.1  # variance of a guess's errors against those of the whole image, where nothing is known


_known: WeakKeyDictionary[Mixture, tuple[Hashable, Cells]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Cells:
    """phi_MR : orthonormal directions at the samples of a cell; pixels : a side of it."""

    pixels: int
    phi_MR: Tensor
    prior: Gaussians
    left_R: Tensor
    noise: float

    @staticmethod
    def of(model: Model, mixture: Mixture) -> Cells:
        """Measured once for a dictionary as it is, then remembered."""
        now = tuple((t.device, t._version) for t in (*mixture.buffers(), *model.level(-1).parameters()))
        if mixture not in _known or _known[mixture][0] != now:
            phi_MR = directions(model, mixture.directions)
            prior = Gaussians.of(mixture.weight_G, mixture.mean_GR, mixture.covariance_GRR)
            cells = Cells(model.level(-1).spec.pixels, phi_MR, prior, mixture.left_R, NOISE + float(mixture.left_rest))
            _known[mixture] = (now, cells)
        return _known[mixture][1]

    def answer(self, seen: View, guess_BHWC: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W, C): the guess, with the mixture's answer where enough is known around; (B, H, W, 1) the share in a
        pixel's answer of cells of which much was asked."""
        side, share = guess_BHWC.shape[1], torch.zeros_like(guess_BHWC[..., :1])
        if side % (self.pixels // 2) or side < self.pixels:
            return guess_BHWC, share
        known_BXN = self.cut(seen.share_BHW[..., None]) >= 1
        asked = self._asked(seen.share_BHW) & ~known_BXN.all(2)
        if not bool(asked.any()):
            return guess_BHWC, share
        guess_BXM = self.cut(guess_BHWC)
        said_BXM = guess_BXM.clone()
        known = known_BXN[asked].repeat_interleave(guess_BHWC.shape[3], 1)
        values, drawn = self.cut(seen.carried_BHWC)[asked], self.cut(seen.drawn_BHWC)[asked]
        share_X1 = known.float().mean(1, keepdim=True)
        certain_XR = share_X1 / self.left_R  # what the whole image says of a code: an observation with a precision
        gram_XRR = torch.stack([self._gram(rows) for rows in known]) / self.noise + torch.diag_embed(certain_XR)
        pull_XR = (values * known) @ self.phi_MR / self.noise + certain_XR * (drawn @ self.phi_MR)
        wrong_R = FIRST * float(1 - share_X1.mean()) * self.left_R
        code_XR = mixture_means(self.prior, gram_XRR, pull_XR, guess_BXM[asked] @ self.phi_MR, wrong_R, LIKELY)
        said_BXM[asked] = code_XR @ self.phi_MR.T
        much = asked & (known_BXN.float().mean(2) < 1 - MUCH)
        share = self.paste(much[..., None].expand(-1, -1, self.pixels**2).to(guess_BHWC), share.shape)
        return self.paste(said_BXM, guess_BHWC.shape), share

    def cut(self, images_BHWC: Tensor) -> Tensor:
        """(B, X, M): the samples of all cells, in reading order, channels last."""
        p, step = self.pixels, self.pixels // 2
        cells = images_BHWC.unfold(1, p, step).unfold(2, p, step)  # (B, Y, X, C, p, p)
        return cells.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(1, 2)

    def paste(self, cells_BXM: Tensor, shape: torch.Size) -> Tensor:
        """The way back, each cell with the more weight the nearer its middle."""
        p, step = self.pixels, self.pixels // 2
        B, H, W, C = shape
        place = 1 - (torch.arange(p).to(cells_BXM) - (p - 1) / 2).abs() / (p / 2 + 1)
        weight_N = (place[:, None] * place).flatten()
        columns = cells_BXM.view(B, -1, p * p, C).permute(0, 3, 2, 1) * weight_N[:, None]  # (B, C, N, X)
        fold = lambda x: nn.functional.fold(x, (H, W), p, stride=step)  # noqa: E731
        total = fold(weight_N[None, :, None].expand(1, -1, columns.shape[3]))
        return (fold(columns.flatten(1, 2)) / total).permute(0, 2, 3, 1)

    def _asked(self, share_BHW: Tensor) -> Tensor:
        """(B, X) whether enough is known in every quarter of a cell; cells begin where quarters do."""
        shown = nn.functional.avg_pool2d((share_BHW >= 1).float()[:, None], self.pixels // 2)
        return (-nn.functional.max_pool2d(-shown, 2, 1) >= SHOWN).flatten(1)

    def _gram(self, known_M: Tensor) -> Tensor:
        """(R, R) Phi' Phi of the known rows; Phi of all rows is orthonormal."""
        few = bool(2 * known_M.sum() < len(known_M))
        rows_XR = self.phi_MR[known_M if few else ~known_M]
        gram_RR = rows_XR.T @ rows_XR
        return gram_RR if few else torch.eye(len(gram_RR)).to(gram_RR) - gram_RR


def directions(model: Model, count: int) -> Tensor:
    """(M, count) orthonormal: the constants, then the leading experts of the finest level, at its samples."""
    level = model.level(-1)
    window = level.spec.window(level.spec.pixels)
    design = materialise(level.bank(), Sample(window.coords_ND.to(level.prior_mean_BK.device)))
    assert isinstance(design, DenseDesign)
    columns_MR = torch.cat([design.free_MC, design.matrix_MK], 1)[:, :count]
    q_MR, r_RR = torch.linalg.qr(columns_MR.double())
    return (q_MR * r_RR.diagonal().sign()).to(columns_MR)  # they are nearly orthonormal, and keep their signs
