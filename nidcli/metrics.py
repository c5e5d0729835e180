"""How close a result is to its reference: PSNR and SSIM as the command-line contract defines them.

S signals of H x W pixels with C channels, (S, H, W, C) or (H, W, C): floats in 0...1 (clipped here), or uint8 or
uint16 as stored.
SSIM: Wang, Bovik, Sheikh and Simoncelli 2004, 11-pixel Gaussian window with sigma 1.5, averaged over the positions
where the window lies inside the image, and over channels: scikit-image's structural_similarity with
gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

WINDOW = 11  # pixels; an image with a shorter side has no SSIM: NaN, which reports write as null
_HALO = WINDOW - 1
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 of the paper, L = 1
_BLOCK = 16  # rows blurred by one matrix product
_BAND_PIXELS = 1 << 18  # pixels compared at a time
_BATCH_PIXELS = 1 << 15  # of several small images: their maps stay in the cache


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """(S,) PSNR in dB of (S, H, W, C) images; equal ones have infinity."""
    errors = (_unit(a) - _unit(b)).square_().flatten(1).mean(1, dtype=torch.float64)
    return -10 * errors.log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """(S,) SSIM of (S, H, W, C) images; NaN if a side is under 11 pixels."""
    return quality(a, b)[1]


def quality(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(S,) PSNR and (S,) SSIM of (S, H, W, C) images, for little more than the cost of one of them."""
    pixels = a.shape[1] * a.shape[2]
    if min(a.shape[1:3]) < WINDOW or pixels > _BAND_PIXELS:
        meters = [_meter(x, y) for x, y in zip(a, b, strict=True)]
        values = torch.tensor([(meter.psnr, meter.ssim) for meter in meters], dtype=torch.float64).reshape(-1, 2)
        return values[:, 0], values[:, 1]
    step = max(1, _BATCH_PIXELS // pixels)
    errors, similarities = [a.new_zeros(0, dtype=torch.float64)], [a.new_zeros(0, dtype=torch.float64)]
    for i in range(0, len(a), step):
        x, y = _unit(a[i : i + step]), _unit(b[i : i + step])
        errors.append((x - y).square_().flatten(1).mean(1, dtype=torch.float64))
        similarities.append(_similarity(x, y).double())
    return -10 * torch.cat(errors).log10().cpu(), torch.cat(similarities).cpu()


def _meter(a: Tensor, b: Tensor) -> Meter:
    meter = Meter()
    rows = max(_BLOCK, _BAND_PIXELS // max(1, a.shape[1]))
    for top in range(0, len(a), rows):
        meter.add(a[top : top + rows], b[top : top + rows])
    return meter


class Meter:
    """PSNR and SSIM of one image whose rows come band by band, top to bottom, so that neither image need be whole.

    Bands may have any height; the last ten rows are kept, since the windows of the next band reach into them.
    """

    def __init__(self) -> None:
        self._squares = self._similarity = 0.0
        self._count = self._windows = 0
        self._tail: tuple[Tensor, Tensor] | None = None

    def add(self, a: Tensor, b: Tensor) -> None:
        """The next rows of both images, (h, W, C) each, in any of the types above."""
        if a.shape != b.shape:
            raise ValueError(f"bands of shapes {tuple(a.shape)} and {tuple(b.shape)}")
        a, b = _unit(a), _unit(b)
        # Summed in float32 over a band and in float64 over the bands.
        self._squares += float((a - b).square_().sum())
        self._count += a.numel()
        if self._tail is not None:
            a, b = torch.cat([self._tail[0], a]), torch.cat([self._tail[1], b])
        self._tail = a[-_HALO:].clone(), b[-_HALO:].clone()
        if min(a.shape[:2]) >= WINDOW:
            windows = (a.shape[0] - _HALO) * (a.shape[1] - _HALO) * a.shape[2]
            self._similarity += float(_similarity(a[None], b[None])) * windows
            self._windows += windows

    @property
    def psnr(self) -> float:
        """In dB; infinity for equal images."""
        if self._squares == 0:
            return math.inf
        return -10 * math.log10(self._squares / self._count)

    @property
    def ssim(self) -> float:
        """NaN if a side of the image is under 11 pixels."""
        return self._similarity / self._windows if self._windows else math.nan


class MaskMeter:
    """Precision, recall and F-measure of masks against labels, over all the pixels that are added.

    Labels of changedetection.net (Goyette et al. 2012): 0 background and 50 shadow are negative, 255 is positive, and
    all others (85 outside the region, 170 unknown) do not count.
    """

    def __init__(self) -> None:
        self._hits = self._false = self._missed = self.pixels = 0

    def add(self, mask: Tensor, labels: Tensor) -> None:
        """Masks (bool) and labels (uint8) of one shape."""
        if mask.shape != labels.shape:
            raise ValueError(f"masks of shapes {tuple(mask.shape)} and {tuple(labels.shape)}")
        moving, still = labels == 255, (labels == 0) | (labels == 50)
        self._hits += int((mask & moving).sum())
        self._false += int((mask & still).sum())
        self._missed += int((~mask & moving).sum())
        self.pixels += int((moving | still).sum())

    @property
    def precision(self) -> float:
        """Of what was found; NaN if that is nothing."""
        return self._hits / (self._hits + self._false) if self._hits + self._false else math.nan

    @property
    def recall(self) -> float:
        """Of what moves; NaN if nothing does."""
        return self._hits / (self._hits + self._missed) if self._hits + self._missed else math.nan

    @property
    def f_measure(self) -> float:
        """Harmonic mean of both: 2 hits / (2 hits + false + missed)."""
        total = 2 * self._hits + self._false + self._missed
        return 2 * self._hits / total if total else math.nan


def _unit(pixels: Tensor) -> Tensor:
    """float32 in 0...1."""
    if pixels.dtype in (torch.uint8, torch.uint16):
        return pixels.to(torch.float32) / (255 if pixels.dtype == torch.uint8 else 65535)
    return pixels.to(torch.float32).clamp(0, 1)


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    """(S,) mean of the SSIM maps of (S, H, W, C) images over the whole windows in them.

    Four maps are blurred: a, b, a^2 + b^2 and a b, for the variances enter by their sum only. All images share the
    products, since a small one by itself does not fill them.
    """
    count, height, width, channels = a.shape
    a, b = a.transpose(0, 1), b.transpose(0, 1)
    maps = a.new_empty(height, count, 4, width, channels)
    maps[:, :, 0], maps[:, :, 1] = a, b
    maps[:, :, 2] = (a * a).addcmul_(b, b)
    torch.mul(a, b, out=maps[:, :, 3])
    down = _blur(maps.view(height, -1)).view(height - _HALO, count, 4, width, channels)
    # Rows and columns change places, so that both passes are products with contiguous rows; the mean does not care.
    turned = down.permute(3, 1, 2, 0, 4).contiguous().view(width, -1)
    blurred = _blur(turned).view(width - _HALO, count, 4, height - _HALO, channels)
    mean_a, mean_b, squares, product = blurred.unbind(2)
    mean_ab = mean_a * mean_b
    mean_squares = (mean_a * mean_a).addcmul_(mean_b, mean_b)
    covariance = product.sub(mean_ab).mul_(2).add_(_C2)
    variances = squares.sub(mean_squares).add_(_C2)
    numerator = mean_ab.mul_(2).add_(_C1).mul_(covariance)
    return numerator.div_(mean_squares.add_(_C1).mul_(variances)).mean((0, 2, 3))


def _blur(rows: Tensor) -> Tensor:
    """(H, X) to (H - 10, X): the Gaussian window along the first axis, as products with a banded block."""
    block = _band(rows.device)
    out = rows.new_empty(len(rows) - _HALO, rows.shape[1])
    for top in range(0, len(out), _BLOCK):
        size = min(_BLOCK, len(out) - top)
        torch.mm(block[:size, : size + _HALO], rows[top : top + size + _HALO], out=out[top : top + size])
    return out


@lru_cache(maxsize=4)
def _band(device: torch.device) -> Tensor:
    """(16, 26): row i holds the window at columns i to i + 10."""
    window = torch.exp(-0.5 * ((torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2) / _SIGMA) ** 2)
    window /= window.sum()
    block = torch.zeros(_BLOCK, _BLOCK + _HALO, dtype=torch.float64)
    for offset, weight in enumerate(window.tolist()):
        block.diagonal(offset).fill_(weight)
    return block.to(device, torch.float32)
