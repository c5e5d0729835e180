"""What a dictionary's experts look like: how many directions they span, how alike they are, and their pictures.

Letters: K experts, M numbers of a cell, C channels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nidcli.engine import materialise
from nidcli.grid import image_coords
from nidcli.model import Level, Model
from nidcli.operators import Sample
from nidcli.problem import DenseDesign

SHOWN = 32  # atoms a side of a contact sheet, at most
CHUNK = 1024  # experts whose products with all others are computed at once
SPACE = 17  # points a side, at most, where a dictionary that is not of the plane is looked at
SIDES = (16, 32)  # pixels a side of an atom's picture, at least and at most


@torch.no_grad()
def rank(model: Model) -> tuple[int, ...]:
    """Numerical rank of the experts on the samples of a cell, a level each; of several banks the smallest.

    Singular values above max(K, M) times the rounding of float32 times the largest count.
    """
    return tuple(min(_rank(design) for design in _designs(level)) for level in _levels(model))


@torch.no_grad()
def coherence(model: Model) -> tuple[float, ...]:
    """The largest |<b_i, b_j>| of two experts of unit norm, constants taken off, a level each; of banks the largest."""
    return tuple(max(_coherence(design.unit_KM) for design in _designs(level)) for level in _levels(model))


@torch.no_grad()
def contact_sheet(model: Model) -> np.ndarray:
    """(H, W, C) float32 in 0...1: the experts as small pictures, levels from coarse to fine below one another.

    Up to 32 x 32 of each level's first bank, those of the largest variance in the training codes first; each is
    scaled to its own range around mid grey.
    """
    sheets = [_sheet(level) for level in _levels(model)]
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0))) for sheet in sheets]
    return np.concatenate(padded)


def _levels(model: Model) -> list[Level]:
    return [model.level(number) for number in range(len(model.levels))]


def _designs(level: Level) -> list[DenseDesign]:
    """The experts of every bank as a solver sees them on a cell of the level's own sampling."""
    device = level.prior_mean_BK.device
    dims, reach = level.spec.dictionary.dims, 1 + level.spec.overlap
    if dims != 2:
        u = torch.linspace(-reach, reach, min(level.spec.pixels, SPACE), device=device)
        sample = Sample(torch.cartesian_prod(*[u] * dims).view(-1, dims))
    else:
        window = level.spec.window(level.spec.pixels)
        sample = Sample(window.coords_ND.to(device), window.weight_N.to(device))
    return [_dense(level, cell, sample) for cell in range(len(level.banks))]


def _dense(level: Level, cell: int, sample: Sample) -> DenseDesign:
    design = materialise(level.bank(cell), sample, 1 << 62)
    assert isinstance(design, DenseDesign)
    return design


def _rank(design: DenseDesign) -> int:
    matrix_MK = design.matrix_MK.double()
    M, K = matrix_MK.shape
    gram = matrix_MK @ matrix_MK.T if M <= K else matrix_MK.T @ matrix_MK
    value = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    return int((value > value.max() * max(M, K) * torch.finfo(torch.float32).eps).sum())


def _coherence(unit_KM: Tensor) -> float:
    largest = 0.0
    for start in range(0, len(unit_KM), CHUNK):
        product = (unit_KM[start : start + CHUNK] @ unit_KM.T).abs_()
        product.diagonal(start).zero_()
        largest = max(largest, float(product.max()))
    return min(largest, 1.0)


def _sheet(level: Level) -> np.ndarray:
    """One level; a line of one pixel, black, goes between the atoms and around them."""
    spec, bank = level.spec, level.bank()
    side = min(max(spec.pixels, SIDES[0]), SIDES[1])
    order = torch.argsort(level.prior_variance_BK[0], descending=True, stable=True)[: SHOWN**2].cpu()
    plane_N2 = image_coords(side, side).to(level.prior_mean_BK.device)
    coords_ND = torch.nn.functional.pad(plane_N2, (0, spec.dictionary.dims - 2))  # in space: a cut through the middle
    atoms_KNC = bank.atoms(coords_ND).permute(2, 0, 1).cpu()[order]
    scale = atoms_KNC.abs().flatten(1).amax(1).clamp_min(1e-12)
    pictures = (0.5 + 0.5 * atoms_KNC / scale[:, None, None]).clamp(0, 1).view(-1, side, side, spec.dictionary.channels)
    columns = min(SHOWN, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * (side + 1) + 1, columns * (side + 1) + 1, pictures.shape[3]), np.float32)
    for number, picture in enumerate(pictures.numpy()):
        y, x = (1 + (side + 1) * place for place in divmod(number, columns))
        sheet[y : y + side, x : x + side] = picture
    return sheet
