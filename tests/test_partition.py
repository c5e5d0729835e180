"""Cells: weights that sum to one, and two ways to the same cells, point by point and tile by tile."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from nidcli.grid import grid_coords, pixel_centres
from nidcli.partition import Partition, Tile, tiles

OVERLAPS = [0.0, 1 / 16, 0.5, 1.0]
# cells, pixels, extent (cells that the image covers), rows
LAYOUTS = [
    ((3, 2), (12, 8), None, None),
    ((4, 4), (64, 64), None, None),
    ((3, 2), (13, 7), None, None),
    ((5, 3), (9, 31), None, (4, 19)),
    ((3, 2), (40, 28), (Fraction(10, 4), Fraction(7, 4)), None),
    ((3, 2), (17, 11), (Fraction(10, 4), Fraction(7, 4)), (3, 8)),
    ((1, 1), (5, 4), None, None),
    ((4, 3), (2, 2), None, None),  # fewer pixels than cells
]


def random_points(n: int, dims: int) -> Tensor:
    return torch.rand(n, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(dims)) * 2 - 1


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("cells", [(1,), (5,), (3, 2), (1, 4), (2, 3, 2)])
def test_weights_lie_in_zero_to_one_and_sum_to_one(cells, overlap):
    x = random_points(2000, len(cells))
    cell, local, weight = Partition(cells, overlap).locate(x)
    assert cell.shape == weight.shape == (2000, 2 ** len(cells)) and local.shape == (2000, 2 ** len(cells), len(cells))
    assert weight.min() >= 0 and weight.max() <= 1
    assert torch.allclose(weight.sum(1), torch.ones(2000).double(), atol=1e-14)


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("cells", [(5,), (3, 2), (2, 3, 2)])
def test_a_cell_and_its_local_coordinates_lead_back_to_the_point(cells, overlap):
    x = random_points(500, len(cells))
    cell, local, weight = Partition(cells, overlap).locate(x)
    left = cell
    for d, n in enumerate(cells):
        centre = (2 * (left % n).double() + 1) / n - 1
        back = centre + local[:, :, d] / n
        assert torch.allclose(torch.where(weight > 0, back, x[:, d, None]), x[:, d, None].expand_as(back))
        left = left // n
    assert (left == 0).all()
    assert (local.abs()[weight > 0] <= 1 + overlap + 1e-9).all()


def test_the_ramp_is_linear_between_the_two_cells():
    partition = Partition((2,), 0.5)
    x = torch.tensor([[-0.5], [-0.25], [0.0 - 1e-12], [0.125], [0.25]]).double()
    cell, _, weight = partition.locate(x)
    second = (weight * (cell == 1)).sum(1)
    assert second.tolist() == pytest.approx([0, 0, 0.5, 0.75, 1])


@pytest.mark.parametrize("cells, overlap", [((2, 0), 0.5), ((2, 2), -0.1), ((2, 2), 1.1)])
def test_impossible_partitions_are_refused(cells, overlap):
    with pytest.raises(ValueError, match="partition"):
        Partition(cells, overlap)


def weights_by_pixel(
    found: tuple[Tile, ...], pixels: tuple[int, int]
) -> dict[tuple[int, int], tuple[float, float, float]]:
    """{(pixel, cell): (weight, u, v)} of every tile, none twice."""
    table: dict[tuple[int, int], tuple[float, float, float]] = {}
    for tile in found:
        X = len(tile.column_XW)
        for s, c in enumerate(tile.cell_S.tolist()):
            row, column = tile.row_YH[s // X], tile.column_XW[s % X]
            pixel_N = (row[:, None] * pixels[0] + column).flatten()
            for i, p in enumerate(pixel_N.tolist()):
                assert (p, c) not in table
                table[p, c] = (float(tile.weight_N[i]), *tile.coords_ND[i].tolist())
    return table


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("cells, pixels, extent, rows", LAYOUTS)
def test_tiles_agree_with_locate_pixel_by_pixel(cells, pixels, extent, rows, overlap):
    partition, (low, high) = Partition(cells, overlap), rows or (0, pixels[1])
    ex, ey = extent or cells
    x = (pixel_centres(pixels[0], torch.float64) + 1) * float(ex) / cells[0] - 1
    y = ((pixel_centres(pixels[1], torch.float64) + 1) * float(ey) / cells[1] - 1)[low:high]
    cell_NJ, local_NJD, weight_NJ = partition.locate(grid_coords(x, y))
    found = weights_by_pixel(tiles(partition, pixels, extent, rows), pixels)
    for p in range(len(cell_NJ)):
        for j in range(cell_NJ.shape[1]):
            c, w = int(cell_NJ[p, j]), float(weight_NJ[p, j])
            if w > 1e-8:
                weight, u, v = found.pop((p, c))
                assert weight == pytest.approx(w, abs=1e-6)
                assert [u, v] == pytest.approx(local_NJD[p, j].tolist(), abs=1e-5)
    assert not found


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("cells, pixels, extent, rows", LAYOUTS)
def test_painting_ones_gives_one_everywhere(cells, pixels, extent, rows, overlap):
    low, high = rows or (0, pixels[1])
    canvas_HWC = torch.zeros(high - low, pixels[0], 2, dtype=torch.float64)
    for tile in tiles(Partition(cells, overlap), pixels, extent, rows):
        tile.paste(canvas_HWC, torch.ones(len(tile.cell_S), len(tile.weight_N), 2, dtype=torch.float64))
    assert torch.allclose(canvas_HWC, torch.ones_like(canvas_HWC), atol=1e-6)


def test_cells_decouple_where_the_overlap_is_one_pixel():
    (tile,) = tiles(Partition((5, 3), 1 / 8), (40, 24))
    assert (tile.weight_N == 1).all()
    assert tile.cell_S.tolist() == list(range(15))
    assert torch.allclose(tile.coords_ND, grid_coords(pixel_centres(8), pixel_centres(8)))


def test_cells_are_coupled_where_the_overlap_is_wider_than_a_pixel():
    assert any((tile.weight_N < 1).any() for tile in tiles(Partition((5, 3), 1 / 4), (40, 24)))


def test_cutting_reads_each_cell_in_reading_order():
    (tile,) = tiles(Partition((2, 2), 0.5), (4, 4))
    image = torch.arange(16.0).view(1, 4, 4, 1)
    assert tile.cut(image)[0, :, :, 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_cut_then_paste_is_the_identity_where_cells_decouple():
    (tile,) = tiles(Partition((5, 3), 1 / 8), (40, 24))
    image_HWC = torch.rand(24, 40, 3, generator=torch.Generator().manual_seed(0))
    canvas_HWC = torch.zeros_like(image_HWC)
    tile.paste(canvas_HWC, tile.cut(image_HWC[None])[0])
    assert torch.equal(canvas_HWC, image_HWC)


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("cells, pixels", [((3, 2), (13, 7)), ((7, 5), (70, 50)), ((4, 6), (9, 64))])
def test_cut_then_paste_is_the_identity_with_any_overlap(cells, pixels, overlap):
    image_HWC = torch.rand(pixels[1], pixels[0], 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    canvas_HWC = torch.zeros_like(image_HWC)
    for tile in tiles(Partition(cells, overlap), pixels):
        tile.paste(canvas_HWC, tile.cut(image_HWC[None])[0])
    assert torch.allclose(canvas_HWC, image_HWC, atol=1e-6)


@pytest.mark.parametrize("most", [1, 5, 9, 1000])
@pytest.mark.parametrize("overlap", [1 / 8, 0.5])
def test_bands_cover_each_cell_once_in_order_and_are_small(most, overlap):
    for tile in tiles(Partition((5, 7), overlap), (40, 56)):
        parts, across = list(tile.bands(most)), len(tile.column_XW)
        assert torch.equal(torch.cat([part.cell_S for part in parts]), tile.cell_S)
        assert torch.equal(torch.cat([part.row_YH for part in parts]), tile.row_YH)
        assert all(len(part.cell_S) <= max(most, across) for part in parts)
        assert all(len(part.cell_S) == len(part.row_YH) * across for part in parts)


def test_all_tiles_together_hold_each_cell_once():
    for cells, pixels in [((5, 7), (40, 56)), ((5, 7), (41, 99)), ((3, 3), (1000, 7))]:
        every = torch.cat([tile.cell_S for tile in tiles(Partition(cells, 0.25), pixels)])
        assert sorted(every.tolist()) == list(range(cells[0] * cells[1]))


def test_bands_of_rows_put_together_are_the_whole():
    partition, pixels, extent = Partition((4, 3), 0.5), (23, 19), (Fraction(7, 2), Fraction(11, 4))
    whole = weights_by_pixel(tiles(partition, pixels, extent), pixels)
    stacked: dict[tuple[int, int], tuple[float, float, float]] = {}
    for low, high in pairwise([0, 1, 9, 19]):
        part = weights_by_pixel(tiles(partition, pixels, extent, (low, high)), pixels)
        stacked |= {(p + low * pixels[0], c): values for (p, c), values in part.items()}
    assert stacked == whole


def test_an_aligned_image_has_at_most_nine_tiles_with_keys_of_their_own():
    found = tiles(Partition((9, 8), 0.5), (90, 80))
    assert len(found) == len({tile.key for tile in found}) == 9
