"""Stored photos in, restored photos out: what the commands `inpaint` and `upscale` ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nidcli.coding import as_tensor
from nidcli.errors import InputError
from nidcli.imaging import as_float
from nidcli.model import Model
from nidcli.restore.align import align
from nidcli.restore.damage import find
from nidcli.restore.doubt import deviation
from nidcli.restore.frame import Frame
from nidcli.restore.grains import grains
from nidcli.restore.masked import fill
from nidcli.restore.small import enlarge
from nidcli.restore.trust import Fit, judge
from nidcli.restore.whole import whole_of


@dataclass(frozen=True)
class Restored:
    """pixels : (H, W, C) as stored; damaged_HW : what was replaced; fit : how the class fits; converged : of the search
    for damage, True where a mask was given; deviation_HW : standard deviation of the fill, or None."""

    pixels: np.ndarray
    damaged_HW: np.ndarray
    fit: Fit
    converged: bool = True
    deviation_HW: np.ndarray | None = None

    @property
    def damaged_fraction(self) -> float:
        return float(self.damaged_HW.mean())


def restore(
    model: Model,
    pixels: np.ndarray,
    hole_HW: np.ndarray | None,
    *,
    aligned: bool = False,
    unsure: bool = False,
    seed: int = 0,
) -> Restored:
    """Fill a photo's hole, or find its damage and fill that. unsure : tell how sure the fill is.

    Raises InputError where nothing or everything is to be filled, or the hole is of another size.
    """
    channels = whole_of(model).spec.dictionary.channels
    device = str(next(model.parameters()).device)
    photo_HWC = as_float(as_tensor(pixels, channels, device))
    height, width, _ = photo_HWC.shape
    known_HW, converged = torch.ones(height, width, dtype=torch.bool, device=device), True
    if hole_HW is not None:
        check(hole_HW, width, height)
        known_HW = torch.from_numpy(~hole_HW).to(device)
    frame = align(model, photo_HWC, known_HW) if aligned else Frame.middle(width, height)
    if hole_HW is None:
        damaged_HW, search = find(model, photo_HWC, frame)
        known_HW, converged = ~damaged_HW, search.converged
    fit = judge(model, photo_HWC, known_HW, frame)
    if hole_HW is None and not fit.fits:  # the class, which does not know this photo, cannot tell what is damage in it
        known_HW = ~grains(photo_HWC)
    out = pixels
    if not bool(known_HW.all()):
        filled = fill(model, photo_HWC, known_HW, frame, trusted=fit.fits)
        out = merged(pixels, filled, known_HW)
    spread = deviation(model, known_HW, frame, seed).cpu().numpy() if unsure else None
    return Restored(out, (~known_HW).cpu().numpy(), fit, converged, spread)


def check(hole_HW: np.ndarray, width: int, height: int) -> None:
    """Raises InputError for a hole of another size, of nothing, and of everything."""
    if hole_HW.shape != (height, width):
        have = f"{hole_HW.shape[1]} x {hole_HW.shape[0]}"
        raise InputError(f"The mask has {have} pixels and its photo {width} x {height}; bring them to one size.")
    if not hole_HW.any():
        raise InputError("The mask marks no pixel (0 %); white is to be filled, or give --invert-mask.")
    if hole_HW.all():
        raise InputError("The mask marks every pixel (100 %), so nothing is known; give --invert-mask or another.")


def merged(pixels: np.ndarray, filled_HWC: Tensor, known_HW: Tensor) -> np.ndarray:
    """The photo as stored with the fill in its hole, in its own type and channels."""
    values = filled_HWC if pixels.shape[2] == filled_HWC.shape[2] else filled_HWC.mean(2, keepdim=True)
    peak = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 0
    new = values.clamp(0, 1).cpu().numpy()
    new = np.rint(new * np.float32(peak)).astype(pixels.dtype) if peak else new.astype(pixels.dtype)
    return np.where(known_HW.cpu().numpy()[:, :, None], pixels, new)


def upscaled(
    model: Model, pixels: np.ndarray, scale: int, *, aligned: bool = False, blur: float = 0.0
) -> tuple[np.ndarray, Fit]:
    """(H, W, C) floats, `scale` times as large, and how the class fits. blur : see `enlarge`."""
    channels = whole_of(model).spec.dictionary.channels
    device = str(next(model.parameters()).device)
    small = as_float(as_tensor(pixels, channels, device))
    height, width, _ = small.shape
    known = torch.ones(height, width, dtype=torch.bool, device=device)
    frame = align(model, small, known) if aligned else Frame.middle(width, height)
    fit = judge(model, small, known, frame)
    large = enlarge(model, small, scale, frame, trusted=fit.fits, blur=blur)
    large = large if pixels.shape[2] == channels else large.mean(2, keepdim=True)
    return large.cpu().numpy(), fit
