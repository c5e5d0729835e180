"""Photos to codes and back, as the commands ask for it: solvers by name, stored pixels in, quality measured.

The budget of an image is shared: --top-k is a number a cell, and `omp` spends what a flat cell saves where the photo
has detail, so that the image as a whole has k coefficients a cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nidcli.codes import ImageCode, SparseCode
from nidcli.engine import MatrixFreeDesign, MeasuredDesign
from nidcli.errors import InputError, UsageError
from nidcli.imaging import Coder, as_float, encode, pitch_for, render_all, render_bands, resized
from nidcli.metrics import Meter, quality
from nidcli.model import Level, Model
from nidcli.problem import Design, Problem
from nidcli.solvers import Adam, ConjugateGradient, Fista, Map, Omp, lambda_max
from nidcli.solvers.common import finish
from nidcli.threads import in_threads

SolverName = Literal["gate", "omp", "fista", "map", "adam"]
RefinerName = Literal["cg", "adam"]
FISTA_SHARE = 0.02  # of lambda_max: small, since the largest coefficients are kept and solved for again afterwards
FISTA_STEPS = 100
ADAM_STEPS, ADAM_RATE = 100, 0.01  # what the paper's baseline may take; the rate as a share of the coefficients' size
A_PIECE = 16  # photos that a thread takes at once: small ones stay in its cache
WHOLE_PIXELS = 1 << 22  # a photo up to this many is rendered in one piece to be measured


@dataclass(frozen=True)
class Quality:
    """PSNR in dB and SSIM of a rendered code against its photo."""

    psnr: float
    ssim: float


def coder(model: Model, solver: SolverName, top_k: int, pooled: bool = True) -> Coder:
    """What codes the cells: the gate for the finest level, or a solver. Raises UsageError where there is no gate."""
    if solver == "gate" and model.gate is None and model.moe is None:
        raise UsageError("This dictionary was learned without a gate; give --solver omp.")
    finest = model.level(-1)

    def code(
        level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None
    ) -> SparseCode:
        problem = Problem(design, target_MS, prior=level.prior(cell))
        cells = max(1, target_MS.shape[1] // images)
        k = budget(model, level, top_k, cells)
        if k < 1:  # coarser levels have spent it all: a code of constants
            index_SJ = torch.zeros(target_MS.shape[1], 1, dtype=torch.long, device=target_MS.device)
            return finish(problem, index_SJ, target_MS.new_zeros(index_SJ.shape))
        if solver == "gate" and level is finest:
            return gated(model, problem, k, cell)
        if solver in ("gate", "omp"):
            return Omp(k, pool=cells if pooled else 1).solve(problem).code
        if solver == "map":
            return Map(k).solve(problem).code
        if solver == "fista":
            penalty = FISTA_SHARE * float(lambda_max(problem).median())
            return Fista(penalty, FISTA_STEPS, k=k).solve(problem).code
        has_gate = model.gate is not None or model.moe is not None
        guess = gated(model, problem, k, cell) if has_gate and level is finest else None
        return Adam(ADAM_STEPS, adam_rate(guess), k).solve(problem, guess).code

    return code


def gated(model: Model, problem: Problem, k: int, cell: int) -> SparseCode:
    """What the gate of a dictionary answers: that of its own experts, or one that was trained together with them."""
    if model.gate is not None:
        return model.gate(problem, k)
    assert model.moe is not None
    seen_SNC = problem.target_MS.T.unflatten(1, (-1, model.moe.channels))
    design = problem.design
    coords_ND = design.coords_ND if isinstance(design, MeasuredDesign) else None
    if isinstance(design, MatrixFreeDesign):
        coords_ND = design.operator.coords_ND
    if coords_ND is None:
        raise UsageError("The gate does not know where this was measured; give --solver omp.")
    return model.moe.answer(seen_SNC, coords_ND, k, cell)


def budget(model: Model, level: Level, top_k: int, cells: int) -> int:
    """Coefficients that a cell of a level may have, so that all levels together keep to top_k a cell of the finest.

    `cells` of the finest level share what the coarser ones, constants included, take from it.
    """
    if level is not model.level(-1):
        return min(top_k, level.spec.top_k)
    coarse = model.spec.levels[:-1]
    spent = sum((min(top_k, each.top_k) + each.dictionary.channels) * each.cells**2 for each in coarse)
    return top_k - -(-spent // cells)


def adam_rate(guess: SparseCode | None) -> float:
    """A step size for Adam: a share of the root-mean-square coefficient, of 0.5 where nothing is known of it."""
    if guess is None or not bool((guess.value_SJ != 0).any()):
        return ADAM_RATE * 0.5
    return ADAM_RATE * float(guess.value_SJ[guess.value_SJ != 0].square().mean().sqrt())


def refiner(solver: RefinerName, steps: int) -> Coder:
    """Better values for the coefficients that a code has."""

    def code(
        level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None
    ) -> SparseCode:
        assert init is not None
        problem = Problem(design, target_MS)
        if solver == "cg":
            return ConjugateGradient(steps).solve(problem, init).code
        return Adam(steps, adam_rate(init), init.index_SJ.shape[1]).solve(problem, init).code

    return code


def as_tensor(pixels_HWC: np.ndarray, channels: int, device: str = "cpu") -> Tensor:
    """Stored pixels in the channels of a dictionary: grey is repeated, colour becomes luma (Rec. 601)."""
    pixels = torch.from_numpy(pixels_HWC)
    if pixels.shape[2] == channels:
        return pixels.to(device)
    if pixels.shape[2] == 1:
        return pixels.expand(-1, -1, channels).to(device)
    if channels == 1:
        return (as_float(pixels) @ torch.tensor([0.299, 0.587, 0.114]))[:, :, None].to(device)
    raise InputError(f"The photo has {pixels.shape[2]} channels and the dictionary {channels}; convert it.")


def fitted(width: int, height: int, size: int | None) -> tuple[int, int]:
    """The size of a photo whose longer side becomes `size`."""
    if size is None:
        return width, height
    scale = Fraction(size, max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def measured(model: Model, codes: list[ImageCode], images_BHWC: Tensor) -> list[Quality]:
    """Quality of B codes against their photos; of large photos in bands."""
    _, height, width, _ = images_BHWC.shape
    if height * width <= WHOLE_PIXELS:
        drawn = render_all(model, codes, width, height, measured=True)
        psnr, ssim = quality(drawn, images_BHWC)
        return [Quality(float(p), float(s)) for p, s in zip(psnr, ssim, strict=True)]
    return [_measured_in_bands(model, code, image) for code, image in zip(codes, images_BHWC, strict=True)]


def _measured_in_bands(model: Model, code: ImageCode, image_HWC: Tensor) -> Quality:
    meter, top = Meter(), 0
    for band in render_bands(model, code, image_HWC.shape[1], image_HWC.shape[0]):
        meter.add(band, image_HWC[top : top + len(band)])
        top += len(band)
    return Quality(meter.psnr, meter.ssim)


def encode_photos(
    model: Model,
    photos: list[np.ndarray],
    code: Coder,
    *,
    cells: int | None = None,
    own_sampling: bool = False,
    init: list[ImageCode] | None = None,
) -> tuple[list[ImageCode], list[Quality]]:
    """Codes of photos of one size, and how well they draw them.

    `own_sampling` looks at cells as the dictionary learned them, which the gate needs: where --cells asks for others,
    the photo is resized so that its cells fit. A gate's many short products gain little from several threads at each:
    of many photos every thread takes some.
    """
    device = str(next(model.parameters()).device)
    if own_sampling and init is None and device == "cpu" and len(photos) > A_PIECE:

        def some(first: int) -> tuple[list[ImageCode], list[Quality]]:
            return encode_photos(model, photos[first : first + A_PIECE], code, cells=cells, own_sampling=True)

        parts = in_threads(some, range(0, len(photos), A_PIECE), torch.device(device))
        return [each for part in parts for each in part[0]], [each for part in parts for each in part[1]]
    channels = model.level(0).spec.dictionary.channels
    tensors = [as_tensor(photo, channels, device) for photo in photos]
    images_BHWC = tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)
    _, height, width, _ = images_BHWC.shape
    finest = model.level(-1).spec
    pitch = init[0].pitch if init else pitch_for(model, width, height, cells)
    if own_sampling and not finest.cells and pitch != finest.pixels:
        nx, ny = -(-width // pitch), -(-height // pitch)
        padded = as_float(images_BHWC)[:, :, torch.arange(nx * pitch).clamp_max(width - 1)]
        padded = padded[:, torch.arange(ny * pitch).clamp_max(height - 1)]
        codes = encode(model, resized(padded, nx * finest.pixels, ny * finest.pixels), code)
        codes = [replace(c, width=width, height=height, pitch=pitch) for c in codes]
    else:
        codes = encode(model, images_BHWC, code, cells=cells, init=init)
    return codes, measured(model, codes, images_BHWC)


def measured_photos(model: Model, codes: list[ImageCode], photos: list[np.ndarray]) -> list[Quality]:
    """Quality of codes against photos of one size as stored."""
    channels = model.level(0).spec.dictionary.channels
    device = str(next(model.parameters()).device)
    return measured(model, codes, torch.stack([as_tensor(photo, channels, device) for photo in photos]))


def decode_photo(model: Model, code: ImageCode, width: int, height: int, channels: int, bit_depth: int) -> np.ndarray:
    """(H, W, channels) uint8 or uint16 (float32 for 32 bits) of a code, at any size; one channel is the mean of all."""
    kind = {8: np.uint8, 16: np.uint16}.get(bit_depth, np.float32)
    pixels = np.empty((height, width, channels), kind)
    peak = {8: 255, 16: 65535}.get(bit_depth, 0)
    top = 0
    for band in render_bands(model, code, width, height):
        if channels == 1:
            band = band.mean(2, keepdim=True)
        values = band.clamp(0, 1).cpu().numpy()
        pixels[top : top + len(band)] = (values * peak + 0.5).astype(kind) if peak else values
        top += len(band)
    return pixels
