"""How noisy rays are, found out by holding every ray out once: what do its neighbours in the view say of it?

    d_i = p_i - (4 (p_{i-1} + p_{i+1}) - (p_{i-2} + p_{i+2})) / 6,   deviation sigma sqrt(35 / 18) for white noise

The cubic through four neighbours predicts smooth projections exactly. Bins at edges do not count, for the deviation
is taken from the smaller misses (as Donoho and Johnstone 1994 take the median of wavelets). What curved projections
miss looks like a little noise all the same. Rays beside the object that are exactly zero say that there is none; where
there are no such rays, a small finding must prove itself: whole views are held out, and of the
slices solved with that noise and with none the one that foretells them better decides.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nidcli.ct.residual import Penalties
from nidcli.ct.views import FIRST, Viewer

SPREAD = (35 / 18) ** 0.5  # of d for unit noise: 1 + (2 * 16 + 2) / 36
SHARE, NORMAL = 0.25, 0.3186  # a quantile of |x|, and what it is for a standard normal variable
SILENT = 1e-4  # of the largest ray: as good as none
NOTHING = 1e-7  # of the largest ray: rounding
BLANK, TOGETHER = 0.02, 0.6  # of the rays are zero; of these, the next one is as well
UNHELD, NO_ACCIDENT = (1e-3, 3e-3), 0.875  # of the largest ray, what pixels may not hold; of what is missed without
CURVED = 6e-3  # of the largest ray: below it may be the curvature of the projections


def noise_of(sinogram_VB: Tensor) -> float:
    """Standard deviation of the noise of a ray, in the sinogram's units; 0 where it cannot be told from none."""
    seen = (sinogram_VB != 0).any(0).nonzero()[:, 0]  # other bins may be padding
    p = sinogram_VB[:, int(seen[0]) : int(seen[-1]) + 1].double() if len(seen) else sinogram_VB[:, :0].double()
    if p.shape[1] < 5:
        return 0.0
    near, far = p[:, 1:-3] + p[:, 3:-1], p[:, :-4] + p[:, 4:]
    miss = p[:, 2:-2] - (4 * near - far) / 6
    if miss.numel() < 16:
        return 0.0
    largest = float(p.abs().max())
    if _beside(p.abs() <= NOTHING * largest):
        return 0.0
    found = float(miss.abs().quantile(SHARE)) / NORMAL / SPREAD
    return found if found > SILENT * largest else 0.0


def _beside(zero_VB: Tensor) -> bool:
    """Whether zeros lie side by side, as rays beside an object do; of clipped noise every other one is zero."""
    count, pairs = int(zero_VB.sum()), int((zero_VB[:, 1:] & zero_VB[:, :-1]).sum())
    return count > BLANK * zero_VB.numel() and pairs > TOGETHER * count


def residual_of(measured_MS: Tensor, sinogram_MS: Tensor) -> list[float]:
    """|A f - y| / |y| of each slice."""
    size_S = sinogram_MS.norm(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
    return ((measured_MS - sinogram_MS).norm(dim=0) / size_S).tolist()


def proven(viewer: Viewer, noise: float) -> float:
    """What held-out views say of `noise`, standard deviations of a ray of one slice.

    Small noise must foretell them better than none; and where none was found, some must if pixels cannot hold the rays
    (of finer pictures, of wide bins): then that much better than none that it is no accident.
    """
    geometry, largest = viewer.scanner.geometry, float(viewer.sinogram_MS.abs().max())
    held_V = geometry.held_out().to(viewer.sinogram_MS.device)
    if not bool(held_V.any()) or noise >= CURVED * largest:
        return noise
    missed = {trial: _missed(viewer, held_V, trial) for trial in (0.0, *([noise] if noise else []))}
    if noise and missed[noise] <= missed[0.0]:
        return noise
    missed |= {share * largest: _missed(viewer, held_V, share * largest) for share in UNHELD}
    best = min(missed, key=missed.__getitem__)
    return best if missed[best] < NO_ACCIDENT * missed[0.0] else 0.0


def _missed(viewer: Viewer, held_V: Tensor, noise: float) -> float:
    """How far total variation, made for such noise from the other views, is off those held out."""
    kept_M1 = (~held_V).repeat_interleave(viewer.scanner.geometry.bins).to(viewer.sinogram_MS)[:, None]
    lambda_S = replace(viewer, noise_S=viewer.noise_S.new_tensor([noise])).penalty_S
    penalties = Penalties(lambda_S, non_negative=viewer.non_negative, rays_M1=kept_M1)
    start_NS = viewer.sinogram_MS.new_zeros(viewer.scanner.geometry.size**2, 1)
    found_NS = FIRST.solve(viewer.scanner, viewer.sinogram_MS, penalties, start_NS)
    return float(((viewer.scanner.forward(found_NS) - viewer.sinogram_MS) * (1 - kept_M1)).norm())
