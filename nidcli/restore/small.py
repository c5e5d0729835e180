"""Small photos enlarged: the same solve with another A, whose pixels are averages over areas.

    answer = said + e,   e the likeliest detail with  A (said + e) = y         A averages scale x scale pixels to one

`said` is the Gaussian's and the encoder's answer in the frame of the class, given the small photo (estimate.py). What
it misses is a Gaussian field (fill.py) of which averages are known: conjugate gradients among the fields whose averages
are zero (Gill, Murray & Wright 1981, projected to the constraint). Averaged down, the answer is the small photo again.

A small photo that was blurred before it was sampled is A = blur after averages, which loses what no answer can be held
to: e is then the mean of the field's posterior, given y with the noise of 8-bit values (Rasmussen & Williams 2006).

Letters: h, w pixels of the small photo, H, W of the large one, C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nidcli.model import Model
from nidcli.operators import Area, Blur
from nidcli.restore.estimate import FEW, said, view_small
from nidcli.restore.fill import descend, field, field_strength
from nidcli.restore.frame import Frame, back, within
from nidcli.restore.whole import WholeImage, whole_of
from nidcli.solvers.conjugate import conjugate_gradients

STEPS = 60
SHARPENING, TOLERANCE = 200, 1e-3
NOISE = 0.004  # of a blurred small photo: a grey level of 8 bits


@torch.no_grad()
def enlarge(
    model: Model,
    small_hwC: Tensor,
    scale: int,
    frame: Frame | None = None,
    *,
    trusted: bool = True,
    blur: float = 0.0,
) -> Tensor:
    """(H, W, C) floats. frame : of the small photo; trusted : whether the class has a say; blur : standard deviation,
    in its own pixels, of the Gaussian that it was blurred with."""
    height, width, _ = small_hwC.shape
    whole = WholeImage.of(whole_of(model))
    frame = frame or Frame.middle(width, height)
    start = cubic(small_hwC, scale)
    if trusted:
        seen = view_small(whole, framed(small_hwC, frame), blur)
        drawn = seen.drawn_BHWC
        if not blur and float(seen.share_BHW.max()) < FEW:
            drawn = said(model.encoder, seen)
        large = Frame(frame.x * scale, frame.y * scale, frame.half * scale, frame.angle)
        say = within(large, width * scale, height * scale, drawn.device)[..., None]
        start = say * back(large, drawn, width * scale, height * scale)[0] + (1 - say) * start
    zoom = 2 * frame.half * scale / whole.frame
    if blur:
        return sharpened(start, small_hwC, scale, whole.rough_P, zoom, blur).clamp(0, 1)
    return in_line(start, small_hwC, scale, whole.rough_P, zoom).clamp(0, 1)


def framed(small_hwC: Tensor, frame: Frame) -> Tensor:
    """(1, n, n, C): the part of a small photo in the frame, at its own sampling."""
    side = max(1, round(2 * frame.half))
    step = (torch.arange(side, device=small_hwC.device) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(step, step, indexing="ij")
    pixels = frame.to_photo(torch.stack([x, y], 2).view(-1, 2))
    unit = pixels / pixels.new_tensor([small_hwC.shape[1], small_hwC.shape[0]]) * 2 - 1
    image = small_hwC.permute(2, 0, 1)[None]
    cut = nn.functional.grid_sample(image, unit.view(1, side, side, 2), padding_mode="border", align_corners=False)
    return cut.permute(0, 2, 3, 1)


def cubic(small_hwC: Tensor, scale: int) -> Tensor:
    """(H, W, C): cubic interpolation."""
    image = small_hwC.permute(2, 0, 1)[None]
    size = (scale * small_hwC.shape[0], scale * small_hwC.shape[1])
    return nn.functional.interpolate(image, size, mode="bicubic")[0].permute(1, 2, 0)


def in_line(start_HWC: Tensor, small_hwC: Tensor, scale: int, rough_P: Tensor, zoom: float) -> Tensor:
    """The start, with the likeliest detail that makes its averages those of the small photo.

    zoom : pixels of the answer to one of the frame, where the field of details was learned.
    """
    height, width, C = small_hwC.shape
    averages = Area(width, height, scale)
    ordered, placed = _orders(height, width, scale, C)

    def free(image: Tensor) -> Tensor:  # without averages: A' is the inverse of A, but for a factor
        samples = ordered(image)
        return image - placed(scale**2 * averages.adjoint(averages.forward(samples)))

    start = start_HWC.permute(2, 0, 1)[None]
    told = small_hwC.reshape(-1, C) - averages.forward(ordered(start))
    smooth = area_grown(told.view(height, width, C), scale)
    missing = smooth + placed(scale**2 * averages.adjoint(told - averages.forward(ordered(smooth))))
    found = descend(field(rough_P, zoom), free, missing, STEPS)
    return (start + found)[0].permute(1, 2, 0)


def sharpened(start_HWC: Tensor, small_hwC: Tensor, scale: int, rough_P: Tensor, zoom: float, blur: float) -> Tensor:
    """The start, with the mean of the details, given a small photo whose averages are blurred. zoom : see `in_line`."""
    height, width, C = small_hwC.shape
    averages, blurred = Area(width, height, scale), Blur(width, height, blur)
    ordered, placed = _orders(height, width, scale, C)
    precision, strength = field(rough_P, zoom), field_strength(rough_P, zoom)

    def forward(image: Tensor) -> Tensor:
        return blurred.forward(averages.forward(ordered(image)))

    def back_again(samples: Tensor) -> Tensor:
        return placed(averages.adjoint(blurred.adjoint(samples))) / NOISE**2

    def apply(flat: Tensor) -> Tensor:
        image = flat.view(start.shape)
        return (strength * precision(image) + back_again(forward(image))).view(1, -1)

    start = start_HWC.permute(2, 0, 1)[None]
    pull = back_again(small_hwC.reshape(-1, C) - forward(start)).view(1, -1)
    found, _, _ = conjugate_gradients(apply, pull, torch.zeros_like(pull), SHARPENING, TOLERANCE)
    return (start + found.view(start.shape))[0].permute(1, 2, 0)


def _orders(
    height: int, width: int, scale: int, channels: int
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """(1, C, H, W) -> samples in the order of `Area`, pixel after pixel of the small photo; and back."""

    def ordered(image: Tensor) -> Tensor:
        cells = image[0].view(channels, height, scale, width, scale).permute(1, 3, 2, 4, 0)
        return cells.reshape(-1, channels)

    def placed(samples: Tensor) -> Tensor:
        image = samples.view(height, width, scale, scale, channels).permute(4, 0, 2, 1, 3)
        return image.reshape(1, channels, height * scale, width * scale)

    return ordered, placed


def area_grown(small_hwC: Tensor, scale: int) -> Tensor:
    """(1, C, H, W): linear interpolation, a start without blocks."""
    image = small_hwC.permute(2, 0, 1)[None]
    size = (small_hwC.shape[0] * scale, small_hwC.shape[1] * scale)
    return nn.functional.interpolate(image, size, mode="bilinear")
