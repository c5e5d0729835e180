"""What moves: pixels whose difference from the background is more than noise, with a vote of their neighbours.

    d(x)^2 = sum_c (frame - background)_c^2 / s_c(x)^2          distance in standard deviations of the pixel
    s^2    = deviation^2 + FLOOR^2 + (SWAY gradient)^2          its own noise; compression; edges that shake or sway

A pixel's evidence is the log of a likelihood ratio, d^2 / 2 - threshold^2 / 2 for Gaussian noise against anything else,
clipped on both sides so that no pixel outvotes its neighbours, averaged over a small window: a soft median filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nidcli.video.components import without_holes, without_specks
from nidcli.video.shadows import over_channels, shadows

FLOOR = 4 / 255  # noise that every pixel is granted
SWAY = 0.25  # pixels by which an edge may move
ROUNDS = 2  # of the vote: the second lets what the first found support its neighbours
SUPPORT = 1.5  # weight of the neighbours' belief beside a pixel's own evidence
LARGEST_HOLE = 0.03  # of the frame, that is filled when an object surrounds it


@dataclass(frozen=True, eq=False)
class Detector:
    """Masks of frames. threshold : in standard deviations; roi_HW : True where masks may be set, or None.

    precision_HWC : 1 / s^2 of the module's head.
    """

    precision_HWC: Tensor
    threshold: float
    min_area: int
    roi_HW: Tensor | None = None

    def masks(self, frames_THWC: Tensor, background_THWC: Tensor) -> np.ndarray:
        """(T, H, W) bool, from floats in 0 ... 1."""
        found_THW = vote(distance2(frames_THWC, background_THWC, self.precision_HWC), self.threshold)
        if self.roi_HW is not None:
            found_THW &= self.roi_HW
        if not bool(found_THW.any()):
            return found_THW.cpu().numpy()
        found_THW &= ~shadows(frames_THWC, background_THWC, found_THW)
        return np.stack([self._whole(mask_HW) for mask_HW in found_THW.cpu().numpy()])

    def _whole(self, mask_HW: np.ndarray) -> np.ndarray:
        """Without specks, holes filled, and nothing outside the region of interest."""
        mask_HW = without_specks(mask_HW, self.min_area)
        mask_HW = without_holes(mask_HW, int(LARGEST_HOLE * mask_HW.size))
        return mask_HW if self.roi_HW is None else mask_HW & self.roi_HW.cpu().numpy()


def precision(deviation_HWC: Tensor, picture_HWC: Tensor) -> Tensor:
    """(H, W, C) 1 / s^2; a pixel is granted the noise of its neighbourhood where that is larger."""
    plane_CHW = picture_HWC.permute(2, 0, 1)
    slope_CHW = torch.zeros_like(plane_CHW)
    slope_CHW[:, 1:-1] = (plane_CHW[:, 2:] - plane_CHW[:, :-2]).square() / 4
    slope_CHW[:, :, 1:-1] += (plane_CHW[:, :, 2:] - plane_CHW[:, :, :-2]).square() / 4
    variance_CHW = deviation_HWC.permute(2, 0, 1).square() + SWAY**2 * slope_CHW
    variance_CHW = torch.maximum(variance_CHW, blur(variance_CHW)) + FLOOR**2
    return (1 / variance_CHW).permute(1, 2, 0).contiguous()


def distance2(frames_THWC: Tensor, background_THWC: Tensor, precision_HWC: Tensor) -> Tensor:
    """(T, H, W): d^2 of the module's head."""
    return over_channels((frames_THWC - background_THWC).square_().mul_(precision_HWC))


def vote(distance2_THW: Tensor, threshold: float) -> Tensor:
    """(T, H, W) bool: where the averaged evidence is positive."""
    bound = threshold**2 / 2
    evidence_THW = (distance2_THW / 2 - bound).clamp_(-bound, bound)
    belief_THW = blur(evidence_THW)
    for _ in range(ROUNDS - 1):
        belief_THW = blur(evidence_THW + SUPPORT * belief_THW)
    return belief_THW > 0


def blur(planes_THW: Tensor) -> Tensor:
    """Binomial window of 5 x 5, borders repeated."""
    x = torch.nn.functional.pad(planes_THW[:, None], (2, 2, 2, 2), mode="replicate")[:, 0]
    x = (x[..., :-4] + x[..., 4:]) + 4 * (x[..., 1:-3] + x[..., 3:-1]) + 6 * x[..., 2:-2]
    x = (x[..., :-4, :] + x[..., 4:, :]) + 4 * (x[..., 1:-3, :] + x[..., 3:-1, :]) + 6 * x[..., 2:-2, :]
    return x / 256
