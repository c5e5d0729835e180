"""From a sinogram to a slice: the dictionary's expectation, the encoder's answer, the residual solved with the code.

    a0 = E[a | y]                                  posterior mean of the coarsest code             (prior.py)
    m  = encoder(what the rays and a0 say)         the prior's mean, a code for every cell         (views.py)
    f  = argmin |A f - y|^2 / 2 + lambda TV(f) + mu |f - m|^2 / 2                                 (residual.py)

The last two are done some times, each time from the f before. A slice that held-out views show to be unlike those of
the dictionary (trust.py) is left to total variation. Where a class has flat parts (`sharpen`) and rays no noise, the
slice's own edges guide total variation at last (Candes, Wakin and Boyd 2008). For research; not for diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from nidcli.ct.baselines import Baseline, classical
from nidcli.ct.centre import axis_of
from nidcli.ct.geometry import Convention, Geometry
from nidcli.ct.noise import noise_of, proven, residual_of
from nidcli.ct.prior import Expectation
from nidcli.ct.residual import TotalVariation
from nidcli.ct.scanner import Scanner
from nidcli.ct.trust import UNFIT, misfit
from nidcli.ct.uncertainty import spread
from nidcli.ct.views import FIRST, NEXT, Viewer, side_of
from nidcli.errors import UsageError
from nidcli.model import Model

LOOKS, NOISY_LOOKS = 4, 3
LAST, LAST_OF_MANY = TotalVariation(steps=200), TotalVariation(steps=60)
SHARP = 0.1  # of lambda at the last look, if flat parts come back from rays without noise
ALONE = TotalVariation(steps=1000, tolerance=5e-7)  # without a dictionary
MANY = 0.6  # views a pixel of a side from which rays say all
LOUD, LOOSE = 16.0, 0.3  # of lambda and mu at the last look, if there is noise: more smoothing, less of the encoder
FEW = 16  # views below which the encoder knows less
SEEN = 8e6  # views times pixels, at the most, where looking again pays: more rays know more, and take their time
LARGE = 256  # pixels a side from which on fewer steps have to do
USUAL, ALIKE = 0.2, (0.03, 0.8)  # mean of a slice in the dictionary's units, in which air is 0 and dense bone 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is known of a scan, and what is wanted.

    size : pixels a side, None for as many as bins; cor : the bin of the axis, "auto" to find it, None for the middle;
    pixel_mm : side of a pixel of the slice, for attenuation per mm; noise : standard deviation of a ray, None to find
    it; fan : distance from source to axis in pixels of the slice; scale : units of the sinogram in one of the
    dictionary, None to find it; field_of_view : slices are zero where some view does not look.
    """

    convention: Convention = "nid"
    circle: bool = True
    size: int | None = None
    cor: float | Literal["auto"] | None = None
    pixel_mm: float | None = None
    noise: float | None = None
    fan: float | None = None
    wide: int = 1
    field_of_view: bool = False
    scale: float | None = None
    non_negative: bool = True
    uncertainty: bool = False
    baseline: Baseline | None = None


@dataclass(frozen=True, eq=False)
class Slice:
    """A reconstructed slice (Y, X) and, where asked for, its standard deviations and the classical result.

    residual : |A f - y| / |y|; noise : standard deviation of a ray that was assumed; scale : of units, see Settings;
    misfit : see trust.py, NaN where the dictionary was not asked.
    """

    picture_YX: Tensor
    deviation_YX: Tensor | None
    classical_YX: Tensor | None
    residual: float
    residual_classical: float | None
    noise: float
    scale: float
    misfit: float

    @property
    def fits(self) -> bool:
        return not self.misfit > UNFIT


class Reconstructor:
    """A dictionary and settings; what depends on the geometry alone is kept from slice to slice."""

    def __init__(self, model: Model, settings: Settings) -> None:
        if model.spec.kind != "ct":
            raise UsageError("The dictionary is not one of slices; give --dict phantom or one of learn-dict --kind ct.")
        if model.encoder is None:
            raise UsageError(
                "The dictionary has no encoder of sinograms, as those of --method moe; learn one with --method solve."
            )
        self.model, self.settings = model, settings
        self._scanner: Scanner | None = None

    def scanner(self, geometry: Geometry) -> Scanner:
        """The matrix of a geometry, made when it changes."""
        if self._scanner is None or self._scanner.geometry != geometry:
            device = self.model.level(0).prior_mean_BK.device
            self._scanner = Scanner.of(geometry, device)
        return self._scanner

    def geometry(self, sinogram_VB: Tensor, angles_V: tuple[float, ...]) -> Geometry:
        """Of a sinogram; its axis is looked for where settings say so."""
        s, bins = self.settings, sinogram_VB.shape[1]
        cor = axis_of(sinogram_VB, angles_V)[0] if s.cor == "auto" else s.cor
        size = s.size or bins
        return Geometry(
            size=size,
            angles_V=angles_V,
            bins=bins,
            convention=s.convention,
            circle=s.circle,
            cor=cor,
            fan=s.fan,
            wide=s.wide,
        )

    @torch.no_grad()
    def slice(self, sinogram_VB: Tensor, geometry: Geometry) -> Slice:
        """One slice. sinogram_VB : (views, bins) line integrals."""
        scanner, s = self.scanner(geometry), self.settings
        device = self.model.level(0).prior_mean_BK.device
        measured_M1 = sinogram_VB.to(device, torch.float32).reshape(-1, 1)
        scale = s.scale or self._scale(scanner, measured_M1)
        noise = noise_of(sinogram_VB) if s.noise is None else s.noise
        viewer = Viewer(
            self.model, scanner, measured_M1 / scale, measured_M1.new_tensor([noise / scale]), s.non_negative
        )
        if s.noise is None:
            noise = scale * proven(viewer, noise / scale)
            viewer = replace(viewer, noise_S=measured_M1.new_tensor([noise / scale]))
        found_N1, misfit_1 = reconstruct(viewer)
        deviation = None
        if s.uncertainty:
            deviation = spread(Expectation(self.model, scanner), viewer.sinogram_MS, noise / scale) * self._unit(scale)
        residual = residual_of(scanner.forward(found_N1) * scale, measured_M1)[0]
        other, other_residual = None, None
        if s.baseline is not None:
            other_YX = classical(
                s.baseline, scanner, sinogram_VB.to(device) / scale, float(viewer.alone_S), s.non_negative
            )
            other_M1 = scanner.forward(other_YX.to(device).reshape(-1, 1)) * scale
            other, other_residual = other_YX * self._unit(scale), residual_of(other_M1, measured_M1)[0]
        picture_YX = found_N1.view(geometry.size, geometry.size) * self._unit(scale)
        if s.field_of_view:
            seen_YX = geometry.covered().to(picture_YX)
            picture_YX *= seen_YX
            deviation = None if deviation is None else deviation * seen_YX
            other = None if other is None else other * seen_YX.to(other)
        return Slice(picture_YX, deviation, other, residual, other_residual, noise, scale, float(misfit_1))

    def _unit(self, scale: float) -> float:
        """What one unit of the dictionary is in the slice: attenuation per pixel, or per mm."""
        return scale / (self.settings.pixel_mm or 1.0)

    def _scale(self, scanner: Scanner, measured_M1: Tensor) -> float:
        """1, unless the mean attenuation over the slice is far from that of any body in the dictionary's units."""
        area = scanner.geometry.size**2
        mean = float(measured_M1.sum()) / scanner.geometry.views * scanner.geometry.bin_pitch / area
        return 1.0 if mean <= 0 or ALIKE[0] < mean < ALIKE[1] else mean / USUAL


def reconstruct(viewer: Viewer) -> tuple[Tensor, Tensor]:
    """(N, S) slices of a viewer's sinograms, and (S,) their misfits, NaN where the dictionary was not asked."""
    geometry = viewer.scanner.geometry
    thorough = ALONE if geometry.size <= LARGE else LAST
    if viewer.exact and geometry.views > MANY * geometry.size:
        return viewer.plain(thorough), viewer.sinogram_MS.new_full(viewer.noise_S.shape, torch.nan)
    misfit_S = misfit(viewer)
    unfit_S = misfit_S > UNFIT
    found_NS = viewer.sinogram_MS.new_empty(geometry.size**2, len(unfit_S))
    if bool(unfit_S.any()):
        found_NS[:, unfit_S] = viewer.of(unfit_S).plain(thorough)
    if not bool(unfit_S.all()):
        found_NS[:, ~unfit_S] = looked(viewer.of(~unfit_S))
    return found_NS, misfit_S


def looked(viewer: Viewer) -> Tensor:
    """(N, S): what dictionary and rays say together."""
    encoder, side = viewer.model.encoder, side_of(viewer.model)
    assert encoder is not None
    noisy, geometry = bool(viewer.noise_S.any()), viewer.scanner.geometry
    last = LAST if geometry.size <= LARGE else LAST_OF_MANY
    look = viewer.first(FIRST)
    looks = 1 if geometry.views * geometry.size**2 > SEEN else NOISY_LOOKS if noisy else LOOKS
    for _ in range(looks - 1):
        look = viewer.guided(viewer.encoded(encoder, look, side), NEXT)
    estimate_NS = viewer.encoded(encoder, look, side)
    if viewer.exact:
        # flat parts come back exactly, and then better without an estimate's say on values
        rounds = replace(last, steps=last.steps * (1 + encoder.spec.sharpen), sharpen=last.steps)
        return viewer.guided(estimate_NS, rounds, SHARP, anchor=0.0).agreed_NS
    loose = LOOSE * min(1.0, geometry.views / FEW) ** 1.5
    return viewer.guided(estimate_NS, last, *((LOUD, loose) if noisy else (1.0, 1.0))).agreed_NS
