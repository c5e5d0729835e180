"""Photographs: cells of pixels in, codes out, and back to pixels at any size.

Each level of the dictionary codes what the coarser ones left over. Levels with a fixed number of cells look at the
photo resized to their own sampling; the finest looks at its pixels, in bands, so that memory does not follow the photo.
A photo whose sides are not multiples of the pitch repeats its last row and column up to the border of the cells.

Images are (B, H, W, C): floats in 0 ... 1, or uint8 / uint16 as stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from nidcli.codes import ImageCode, LevelCode, SparseCode
from nidcli.engine import cached, drawn, remembered
from nidcli.errors import UsageError
from nidcli.model import Level, Model
from nidcli.operators import Sample
from nidcli.partition import Tile, tiles
from nidcli.problem import DenseDesign, Design

BAND_CELLS = 4096  # cells that are coded or rendered at once
BAND_PIXELS = 1 << 21  # pixels that are rendered at once
CHUNK_POINTS = 1 << 16  # points at which a field is evaluated at once


class Coder(Protocol):
    """Codes cells that share a bank and a design: target (M, S), the cells of `images` images, one after another."""

    def __call__(
        self, level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None
    ) -> SparseCode: ...


def pitch_for(model: Model, width: int, height: int, cells: int | None = None) -> int:
    """Pixels a side of the finest cells: the dictionary's own, unless `cells` along the longer side are asked for."""
    finest = model.level(-1).spec
    if finest.cells:
        if cells not in (None, finest.cells):
            raise UsageError(f"This dictionary has {finest.cells} cells a side; leave out --cells.")
        return -(-max(width, height) // finest.cells)
    if cells is not None and not 1 <= cells <= max(width, height):
        raise UsageError(f"--cells {cells} does not fit a photo of {width} x {height} pixels; ask for fewer.")
    return finest.pixels if cells is None else -(-max(width, height) // cells)


@torch.no_grad()
def encode(
    model: Model,
    images_BHWC: Tensor,
    coder: Coder,
    *,
    cells: int | None = None,
    init: list[ImageCode] | None = None,
    levels: int | None = None,
) -> list[ImageCode]:
    """Code B images of one size with `coder` on every tile; `init` are codes to start from, `levels` how many."""
    B, height, width, _ = images_BHWC.shape
    pitch = init[0].pitch if init else pitch_for(model, width, height, cells)
    codes = [ImageCode(width, height, pitch, ()) for _ in range(B)]
    for number in range(len(model.levels) if levels is None else levels):
        level = model.level(number)
        partition, _ = level.grid(width, height, pitch)
        if level.spec.cells:
            size = (level.spec.cells * level.spec.pixels,) * 2
            images = resized(images_BHWC, *size)
        else:
            size = (partition.cells[0] * pitch, partition.cells[1] * pitch)
            images = images_BHWC
        start = (
            SparseCode.cat([code.levels[number].code for code in init]).to(level.prior_mean_BK.device) if init else None
        )
        coarse = codes if number else None
        code = _code_tiles(model, level, tiles(partition, size), images, size, coder, coarse, start)
        S = len(code) // B
        codes = [
            ImageCode(width, height, pitch, (*c.levels, LevelCode((partition.cells[0], partition.cells[1]), part)))
            for c, part in zip(codes, (code[b * S : (b + 1) * S] for b in range(B)), strict=True)
        ]
    return codes


def _code_tiles(
    model: Model,
    level: Level,
    found: tuple[Tile, ...],
    images_BHWC: Tensor,
    size: tuple[int, int],
    coder: Coder,
    coarse: list[ImageCode] | None,
    start: SparseCode | None,
) -> SparseCode:
    """Codes of every cell of a level, image after image, cells in reading order."""
    B, device = len(images_BHWC), level.prior_mean_BK.device
    S = sum(len(tile.cell_S) for tile in found)
    places, parts = [], []
    for whole in found:
        for tile in whole.bands(max(1, BAND_CELLS // B)):
            low, high = int(tile.row_YH.min()), int(tile.row_YH.max()) + 1
            band = _rows(model, images_BHWC, coarse, (low, high), size).to(device)
            samples_BSNC = replace(tile, row_YH=tile.row_YH - low).cut(band)
            groups = [(0, tile.cell_S)] if level.spec.shared else [(int(c), c[None]) for c in tile.cell_S]
            for bank, cell_S in groups:
                rows = torch.arange(len(tile.cell_S)) if level.spec.shared else (tile.cell_S == bank).nonzero()[:, 0]
                weighted = samples_BSNC if level.spec.shared else samples_BSNC[:, rows]
                if not tile.alone:
                    weighted = weighted * tile.weight_N.sqrt().to(device)[:, None]
                target_MS = weighted.flatten(2).flatten(0, 1).T
                place = (torch.arange(B)[:, None] * S + cell_S).flatten()
                design = tile_design(level, tile, bank, device)
                parts.append(coder(level, bank, design, target_MS, B, start[place] if start else None))
                places.append(place)
    return SparseCode.cat(parts)[torch.cat(places).argsort()]


def tile_design(level: Level, tile: Tile, cell: int, device: torch.device) -> Design:
    """The experts of a cell, measured on the pixels of a tile."""
    return cached(level.bank(cell), tile.key, lambda: Sample(tile.coords_ND.to(device), tile.weight_N.to(device)))


def _rows(
    model: Model, images_BHWC: Tensor, coarse: list[ImageCode] | None, rows: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Rows of what coarser levels left of an image, as floats, its border repeated up to `size` = (width, height)."""
    _, height, width, _ = images_BHWC.shape
    low, high = rows[0], min(rows[1], height)
    band = as_float(images_BHWC[:, low:high])
    if coarse:
        band = band - render_all(model, coarse, width, height, (low, high)).to(band.device)
    if rows[1] > height:
        band = band[:, torch.arange(rows[1] - low).clamp_max(height - low - 1)]
    if size[0] > width:
        band = band[:, :, torch.arange(size[0]).clamp_max(width - 1)]
    return band


def as_float(pixels: Tensor) -> Tensor:
    """Stored values to floats in 0 ... 1."""
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    return pixels.float() / 65535 if pixels.dtype == torch.uint16 else pixels.float()


def resized(images_BHWC: Tensor, width: int, height: int) -> Tensor:
    """Bicubic with antialiasing, floats."""
    if images_BHWC.shape[1:3] == (height, width):
        return as_float(images_BHWC)
    image = as_float(images_BHWC).permute(0, 3, 1, 2)
    image = nn.functional.interpolate(image, (height, width), mode="bicubic", antialias=True)
    return image.permute(0, 2, 3, 1)


def render(model: Model, code: ImageCode, width: int, height: int, rows: tuple[int, int] | None = None) -> Tensor:
    """The field of a code on a grid of `width` x `height` pixels, or on some rows of it: (H, W, C), not clipped."""
    return render_all(model, [code], width, height, rows)[0]


@torch.no_grad()
def render_all(
    model: Model,
    codes: list[ImageCode],
    width: int,
    height: int,
    rows: tuple[int, int] | None = None,
    *,
    measured: bool = False,
) -> Tensor:
    """`render` of B codes of photos of one size and pitch: (B, H, W, C).

    measured : from the atoms that encoding measured, where they are still known: sooner, other last digits.
    """
    low, high = rows or (0, height)
    first = model.level(0)
    shape = (len(codes), high - low, width, first.spec.dictionary.channels)
    canvas_BHWC = torch.zeros(shape, device=first.prior_mean_BK.device)
    for number in range(len(codes[0].levels)):
        _paint(model.level(number), codes, number, (width, height), (low, high), canvas_BHWC, measured)
    return canvas_BHWC


def render_bands(model: Model, code: ImageCode, width: int, height: int) -> Iterator[Tensor]:
    """`render` in bands of rows, from the top, for images that are larger than memory."""
    step = max(1, BAND_PIXELS // width)
    for low in range(0, height, step):
        yield render(model, code, width, height, (low, min(low + step, height)))


def _paint(
    level: Level,
    codes: list[ImageCode],
    number: int,
    size: tuple[int, int],
    rows: tuple[int, int],
    canvas_BHWC: Tensor,
    measured: bool,
) -> None:
    """Add one level to canvases that hold some rows of images of `size`."""
    first, B = codes[0], len(codes)
    partition, extent = level.grid(first.width, first.height, first.pitch)
    sparse = SparseCode.cat([code.levels[number].code for code in codes]).to(canvas_BHWC.device)
    S = len(sparse) // B
    for whole in tiles(partition, size, extent, rows):
        for tile in whole.bands(max(1, BAND_CELLS // B)):
            place_BS = torch.arange(B)[:, None] * S + tile.cell_S
            if level.spec.shared:
                samples = _field(level, 0, tile, sparse[place_BS.flatten()], measured)
            else:
                groups = [_field(level, int(c[0]) % S, tile, sparse[c], measured) for c in place_BS.T]
                samples = torch.stack(groups, 1).flatten(0, 1)
            for canvas_HWC, samples_SNC in zip(canvas_BHWC, samples.unflatten(0, (B, -1)), strict=True):
                tile.paste(canvas_HWC, samples_SNC)


def _field(level: Level, cell: int, tile: Tile, code: SparseCode, measured: bool) -> Tensor:
    """(S, N, C): the field of S cells at the pixels of a tile."""
    known = remembered(level.bank(cell), tile.key) if measured and tile.alone else None
    if isinstance(known, DenseDesign):
        return drawn(known, code).unflatten(1, (-1, code.constant_SC.shape[1]))
    coords_ND = tile.coords_ND.to(code.value_SJ.device)
    parts = [level.bank(cell).field(part, code) for part in coords_ND.split(CHUNK_POINTS)]
    return (torch.cat(parts) if len(parts) > 1 else parts[0]).permute(2, 0, 1)
