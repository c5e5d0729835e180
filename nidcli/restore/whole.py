"""The prior for the whole image: what a photo of the class looks like where it was not seen, as a Gaussian.

    y = Phi a + left,   a ~ N(mean, diag(variance)),   left ~ N(0, noise^2 / weight)      sample by sample
    E[a | y] = mean + (Phi' W Phi + diag(1 / variance))^-1 Phi' W (y - Phi mean),         W = weight / noise^2

(Rasmussen & Williams 2006, section 2.1). What the level leaves over is no white noise: neighbours leave alike, so that
about SPEAK_AS_ONE samples tell no more than a single one would. Held-out holes are filled best with that number; as
white noise the same errors would have the prior overruled by every small misfit at the border of a hole.

Letters: B photos, N samples of the level, C channels, M = N C, K experts, L observations of a lower resolution.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nidcli.engine import materialise
from nidcli.errors import UsageError
from nidcli.grid import image_coords
from nidcli.model import Model, Whole
from nidcli.operators import Blur, Sample
from nidcli.problem import DenseDesign
from nidcli.solvers.conjugate import conjugate_gradients

FINE = 2  # pixels a side of the frame for a sample of the level: where the encoder looks, and what is restored
SPEAK_AS_ONE = 40.0
SPEAK_SMALL = 2.0  # an average over an area tells as much as so many of its samples
STEPS, TOLERANCE = 30, 1e-2  # of conjugate gradients, where many photos are solved at once
ALONE = 2  # photos that are solved by factorisation instead


_known: WeakKeyDictionary[Whole, tuple[Hashable, WholeImage]] = WeakKeyDictionary()


def whole_of(model: Model) -> Whole:
    """The level for the whole image. Raises UsageError for a dictionary without one."""
    if model.whole is None:
        raise UsageError("This dictionary has no level for the whole image; learn one with a preset such as face.")
    return model.whole


@dataclass(frozen=True, eq=False)
class WholeImage:
    """The level as it is measured on its own samples. design_MK : experts; left_N : what is usually left, see Whole;
    rough_P : as what field; mean_K, spread_K : the Gaussian."""

    side: int
    channels: int
    design_MK: Tensor
    left_N: Tensor
    rough_P: Tensor
    mean_K: Tensor
    spread_K: Tensor

    @staticmethod
    def of(whole: Whole) -> WholeImage:
        """Measured once for a dictionary as it is, then remembered."""
        tensors = (*whole.parameters(), *whole.buffers())
        now = tuple((t.device, t._version) for t in tensors)
        if whole not in _known or _known[whole][0] != now:
            _known[whole] = (now, WholeImage._measured(whole))
        return _known[whole][1]

    @staticmethod
    def _measured(whole: Whole) -> WholeImage:
        side = whole.spec.pixels
        coords_ND = image_coords(side, side).to(whole.left_N.device)
        design = materialise(whole.bank(), Sample(coords_ND))
        assert isinstance(design, DenseDesign)
        channels, prior = whole.spec.dictionary.channels, whole.prior()
        return WholeImage(
            side, channels, design.matrix_MK, whole.left_N, whole.rough_P, prior.mean_K, prior.variance_K.sqrt()
        )

    @cached_property
    def noise_M(self) -> Tensor:
        """Standard deviation of what is left, as the solver takes it."""
        return (self.left_N * SPEAK_AS_ONE**0.5).repeat_interleave(self.channels)

    @cached_property
    def mean_M(self) -> Tensor:
        """The mean photo, where the level samples it."""
        return self.design_MK @ self.mean_K

    @cached_property
    def gram_KK(self) -> Tensor:
        """Products of the experts, each sample with its precision."""
        rows_MK = self.design_MK / self.noise_M[:, None]
        return rows_MK.T @ rows_MK

    @cached_property
    def gain_KM(self) -> Tensor:
        """What the posterior mean of a code takes of each observation, where every sample is seen."""
        precision_M = self.noise_M.square().reciprocal()
        pull_KM = (self.design_MK * precision_M[:, None]).T * (self.spread_K > 0)[:, None]
        return torch.cholesky_solve(pull_KM, self.factor(self.design_MK, precision_M))

    def regular(self, told_BM: Tensor) -> Tensor:
        """(B, M) seen in full, the mean photo taken off -> what of it the prior draws."""
        return (told_BM @ self.gain_KM.T) @ self.design_MK.T

    @property
    def frame(self) -> int:
        """Pixels a side of the frame."""
        return FINE * self.side

    def posterior(self, values_BM: Tensor, weight_BM: Tensor | None = None) -> Tensor:
        """(K, B) means of the codes of B photos seen at the level's samples with weights of 0 (not at all) to 1."""
        if weight_BM is None:
            return self.mean_K[:, None] + self.gain_KM @ (values_BM - self.mean_M).T
        return self._solve(self.design_MK, self.noise_M, values_BM - self.mean_M, weight_BM)

    def posterior_small(self, small_BHWC: Tensor, blur: float = 0.0) -> Tensor:
        """(K, B) means of the codes of small photos whose pixels are averages over areas, blurred by `blur` pixels."""
        B, height, width, C = small_BHWC.shape
        design_MK = self.averaged(self.design_MK.T, width, height).T
        if blur:
            samples_NX = design_MK.reshape(height * width, -1)  # channels and experts side by side
            design_MK = Blur(width, height, blur).forward(samples_NX).reshape(height * width * C, -1)
        noise_M = self.averaged(self.noise_M[None], width, height)[0]
        told_BM = small_BHWC.reshape(B, -1) - design_MK @ self.mean_K
        # Averages over areas leave less than samples do, and more of them than samples are not independent.
        speak = min(SPEAK_SMALL, self.side**2 / (width * height))
        return self._solve(design_MK.contiguous(), noise_M, told_BM, torch.full_like(told_BM, speak))

    def averaged(self, rows_XM: Tensor, width: int, height: int) -> Tensor:
        """(X, M) images at the level's samples -> (X, height width C), averaged over areas or interpolated."""
        images = rows_XM.reshape(len(rows_XM), self.side, self.side, self.channels).permute(0, 3, 1, 2)
        return area(images, width, height).permute(0, 2, 3, 1).flatten(1)

    def draw(self, code_KB: Tensor, side: int | None = None) -> Tensor:
        """(B, side, side, C): photos of codes, in the frame unless another size is asked for."""
        images = (self.design_MK @ code_KB).T.reshape(-1, self.side, self.side, self.channels)
        side = side or self.frame
        drawn = nn.functional.interpolate(images.permute(0, 3, 1, 2), (side, side), mode="bicubic")
        return drawn.permute(0, 2, 3, 1)

    def _solve(self, design_MK: Tensor, noise_M: Tensor, told_BM: Tensor, weight_BM: Tensor) -> Tensor:
        precision_BM = weight_BM / noise_M.square()
        pull_BK = (told_BM * precision_BM) @ design_MK
        free_K = self.spread_K > 0
        inverse_K = torch.where(free_K, self.spread_K.clamp_min(1e-12).square().reciprocal(), 0)
        if len(told_BM) <= ALONE:
            codes = [
                torch.cholesky_solve((pull * free_K)[:, None], self.factor(design_MK, precision))[:, 0]
                for pull, precision in zip(pull_BK, precision_BM, strict=True)
            ]
            return self.mean_K[:, None] + torch.stack(codes, 1)
        # Scaled so that the diagonal is one, on average over the photos.
        scale_K = (inverse_K + precision_BM.mean() * design_MK.square().sum(0)).rsqrt() * free_K

        def apply(w_BK: Tensor) -> Tensor:
            code_BK = w_BK * scale_K
            back_BK = ((code_BK @ design_MK.T) * precision_BM) @ design_MK
            return (back_BK + inverse_K * code_BK) * scale_K

        start = torch.zeros_like(pull_BK)
        w_BK, _, _ = conjugate_gradients(apply, pull_BK * scale_K, start, STEPS, TOLERANCE)
        return self.mean_K[:, None] + (w_BK * scale_K).T

    def factor(self, design_MK: Tensor, precision_M: Tensor) -> Tensor:
        """(K, K) Cholesky factor of the inverse covariance of a code, given precisions of observations.

        An expert without variance keeps its mean: its row is that of the identity.
        """
        free_K = self.spread_K > 0
        lacking_M = self.noise_M.square().reciprocal() - precision_M if design_MK is self.design_MK else precision_M
        some = (lacking_M > 0).nonzero()[:, 0]
        if design_MK is self.design_MK and 2 * len(some) < len(precision_M):  # of the whole, less what is not seen
            rows_MK = design_MK[some] * lacking_M[some, None].sqrt()
            gram_KK = (self.gram_KK - rows_MK.T @ rows_MK) * free_K * free_K[:, None]
        else:
            seen = (precision_M > 0).nonzero()[:, 0]
            rows_MK = design_MK[seen] * precision_M[seen, None].sqrt() * free_K
            gram_KK = rows_MK.T @ rows_MK
        inverse_K = torch.where(free_K, self.spread_K.clamp_min(1e-12).square().reciprocal(), 1)
        gram_KK.diagonal().add_(inverse_K)
        return torch.linalg.cholesky(gram_KK)


def area(images_BCHW: Tensor, width: int, height: int) -> Tensor:
    """(B, C, height, width): averages over areas where an axis shrinks, cubic interpolation where both grow."""
    if width >= images_BCHW.shape[3] and height >= images_BCHW.shape[2]:
        return nn.functional.interpolate(images_BCHW, (height, width), mode="bicubic")
    return nn.functional.interpolate(images_BCHW, (height, width), mode="area")
