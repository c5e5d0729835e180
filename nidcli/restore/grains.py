"""Salt and pepper: single pixels at the end of their neighbourhood's range, here and there over the whole photo.

A pixel is a grain if a channel of it is the least or the largest of its neighbourhood and far from the median there;
the neighbourhood grows until its median is neither of its ends (the adaptive median filter of Hwang & Haddad 1995).
Such pixels exist in every photo. Grains they are where there are many, and where they do not keep company: of strokes
and edges most have neighbours of their kind, of grains strewn at random only as many as chance gives.

Letters: H, W pixels, C channels, R rows of a band.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WINDOWS = (3, 5, 7)  # pixels a side
FAR, NEAR = 0.25, 0.08  # from the median: to tell whether there are grains, and which pixels are
MANY, COMPANY = 0.015, 1.5  # least share of grains; how many more of their neighbours are of their kind than of others
BAND = 1 << 18  # pixels that are sorted together


def grains(photo_HWC: Tensor) -> Tensor:
    """(H, W) bool: the grains of a photo with salt and pepper; none elsewhere."""
    off_HW = _off(photo_HWC)
    some = off_HW > FAR
    share = float(some.float().mean())
    if share < MANY or _company(some) > COMPANY * share + MANY:
        return torch.zeros_like(some)
    return off_HW > NEAR


def _company(some_HW: Tensor) -> float:
    """Mean share of the eight neighbours that are of the same kind."""
    kernel = torch.full((1, 1, 3, 3), 1 / 8, device=some_HW.device)
    kernel[..., 1, 1] = 0
    around = nn.functional.conv2d(some_HW.float()[None, None], kernel, padding=1)[0, 0]
    return float(around[some_HW].mean())


def _off(photo_HWC: Tensor) -> Tensor:
    """(H, W) how far a pixel is from the median of its neighbourhood, where it is an end of it: the worst channel."""
    edge = WINDOWS[-1] // 2
    image = nn.functional.pad(photo_HWC.permute(2, 0, 1)[None], (edge,) * 4, mode="reflect")[0]
    height, width, _ = photo_HWC.shape
    step = max(1, BAND // width)
    bands = [_band(image[:, y : y + step + 2 * edge], edge) for y in range(0, height, step)]
    return torch.cat(bands)[:height]


def _band(image_CRX: Tensor, edge: int) -> Tensor:
    """The same of a band of rows with an edge all around."""
    centre = image_CRX[:, edge:-edge, edge:-edge]
    off, open_CRX = torch.zeros_like(centre), torch.ones_like(centre, dtype=torch.bool)
    for window in WINDOWS:
        cut = edge - window // 2
        part = image_CRX[:, cut : image_CRX.shape[1] - cut, cut : image_CRX.shape[2] - cut]
        around = part.unfold(1, window, 1).unfold(2, window, 1)[open_CRX].flatten(1)
        least, median, most = around.amin(1), around.median(1).values, around.amax(1)
        here = centre[open_CRX]
        end = (here <= least) | (here >= most)
        off[open_CRX] = torch.where(end, (here - median).abs(), 0)
        open_CRX = open_CRX.masked_scatter(open_CRX, (median <= least) | (median >= most))
        if not bool(open_CRX.any()):
            break
    return off.amax(0)
