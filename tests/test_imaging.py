"""Photos to codes and back, against the definition of the field and with coders that can be looked into."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nidcli import imaging
from nidcli.codes import ImageCode, SparseCode
from nidcli.dictionary import DictionarySpec
from nidcli.errors import UsageError
from nidcli.grid import grid_coords, pixel_centres
from nidcli.imaging import as_float, encode, pitch_for, render, render_bands
from nidcli.model import Level, LevelSpec, Model, ModelSpec
from nidcli.problem import Design


def level_of(cells: int = 0, pixels: int = 4, overlap: float | None = None, shared: bool = True, channels: int = 1):
    """Experts enough for every pixel of a cell."""
    bank = DictionarySpec(channels=channels, experts=40 * channels, hidden=48, frequencies=120)
    overlap = 1 / pixels if overlap is None else overlap
    return LevelSpec(dictionary=bank, cells=cells, pixels=pixels, overlap=overlap, shared=shared, basis=0)


def model_of(*levels: LevelSpec) -> Model:
    torch.manual_seed(0)
    return Model(ModelSpec(levels=levels))


def photos(B: int, height: int, width: int, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(B, height, width, channels, generator=torch.Generator().manual_seed(seed))


def exact(level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None):
    """Least squares on all experts and constants."""
    experts = design.forward(torch.eye(design.shape[1]))
    matrix = torch.cat([experts, design.free_MC], 1).double()
    code_KS = torch.linalg.lstsq(matrix, target_MS.double(), driver="gelsd").solution.float()
    K, S = experts.shape[1], target_MS.shape[1]
    return SparseCode(torch.arange(K).repeat(S, 1), code_KS[:K].T.contiguous(), code_KS[K:].T.contiguous())


def means(level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None):
    """Constants alone: their columns do not overlap. Sums of floats in double are exact, and ties are rounded alike."""
    C, S = design.free_MC.shape[1], target_MS.shape[1]
    free_MC = design.free_MC.double()
    constant_SC = (target_MS.double().T @ free_MC / free_MC.square().sum(0)).float()
    assert constant_SC.shape == (S, C)
    return SparseCode(torch.zeros(S, 1, dtype=torch.long), torch.zeros(S, 1), constant_SC)


def random_codes(model: Model, width: int, height: int, images: int = 1) -> list[ImageCode]:
    g = torch.Generator().manual_seed(9)

    def coder(level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None):
        S, K, C = target_MS.shape[1], design.shape[1], design.free_MC.shape[1]
        index_SJ = torch.randint(K, (S, 3), generator=g)
        return SparseCode(index_SJ, torch.randn(S, 3, generator=g), torch.randn(S, C, generator=g))

    channels = model.level(0).spec.dictionary.channels
    return encode(model, photos(images, height, width, channels), coder)


def field_by_definition(model: Model, code: ImageCode, width: int, height: int) -> Tensor:
    """sum_levels sum_cells w_cell(x) f_cell(local(x)), point after point."""
    total = torch.zeros(height * width, model.level(0).spec.dictionary.channels)
    for number, level_code in enumerate(code.levels):
        level = model.level(number)
        partition, (ex, ey) = level.grid(code.width, code.height, code.pitch)
        x = (pixel_centres(width, torch.float64) + 1) * float(ex) / partition.cells[0] - 1
        y = (pixel_centres(height, torch.float64) + 1) * float(ey) / partition.cells[1] - 1
        cell_NJ, local_NJD, weight_NJ = partition.locate(grid_coords(x, y))
        for j in range(cell_NJ.shape[1]):
            for c in cell_NJ[:, j].unique().tolist():
                at = (cell_NJ[:, j] == c).nonzero()[:, 0]
                f_NC = level.bank(c).field(local_NJD[at, j].float(), level_code.code[c : c + 1])[:, :, 0]
                total[at] += (weight_NJ[at, j, None] * f_NC).float().detach()
    return total.view(height, width, -1)


# ---- rendering


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("size", [(13, 9), (26, 18), (31, 40), (5, 3), (39, 27)])
def test_rendering_is_the_definition_of_the_field_at_any_size(size, overlap):
    model = model_of(level_of(overlap=overlap))
    (code,) = random_codes(model, 13, 9)
    assert torch.allclose(render(model, code, *size), field_by_definition(model, code, *size), atol=2e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_levels_of_a_fixed_number_of_cells_add_up(shared):
    model = model_of(level_of(cells=2, overlap=0.5, shared=shared, channels=3), level_of(channels=3))
    (code,) = random_codes(model, 10, 14)
    assert torch.allclose(render(model, code, 20, 29), field_by_definition(model, code, 20, 29), atol=5e-4)


@pytest.mark.parametrize("pixels, cells", [(1, 1), (100, 1), (1 << 21, 3)])
def test_bands_one_after_another_are_the_whole(pixels, cells, monkeypatch):
    model = model_of(level_of(cells=2, overlap=0.5), level_of(overlap=0.5))
    (code,) = random_codes(model, 22, 17)
    whole = render(model, code, 30, 50)
    monkeypatch.setattr(imaging, "BAND_PIXELS", pixels)
    monkeypatch.setattr(imaging, "BAND_CELLS", cells)
    monkeypatch.setattr(imaging, "CHUNK_POINTS", 7)
    assert torch.allclose(torch.cat(list(render_bands(model, code, 30, 50))), whole, atol=1e-5)


def test_the_field_is_continuous_across_the_borders_of_cells_at_any_magnification():
    model = model_of(level_of())
    (code,) = random_codes(model, 8, 8)
    steps = []
    for size in (256, 1024):
        image = render(model, code, size, size)[:, :, 0]
        steps.append(max(image.diff(dim=0).abs().max().item(), image.diff(dim=1).abs().max().item()))
    assert steps[1] < 0.3 * steps[0]  # a jump would stay what it is


def test_without_overlap_there_are_jumps_so_that_the_test_above_says_something():
    model = model_of(level_of(overlap=0))
    (code,) = random_codes(model, 8, 8)
    fine, finer = (render(model, code, size, size)[:, :, 0].diff(dim=1).abs().max() for size in (256, 1024))
    assert finer > 0.7 * fine


def test_neighbours_across_a_border_differ_no_more_than_neighbours_inside_at_twice_the_size():
    ramp = torch.linspace(0, 1, 16).expand(16, 16)
    image = (ramp + torch.sin(3 * ramp.T))[None, :, :, None]
    model = model_of(level_of())
    drawn = render(model, encode(model, image, exact)[0], 32, 32)[:, :, 0]
    across = drawn.diff(dim=1).abs()[:, 7::8].max()  # pixels 7 | 8, 15 | 16, 23 | 24
    inside = drawn.diff(dim=1).abs()[:, [i for i in range(31) if i % 8 != 7]].max()
    assert across < 2 * inside


# ---- encoding


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width, height", [(12, 8), (13, 9), (9, 14), (3, 3), (1, 6)])
def test_a_dictionary_that_spans_its_cells_reproduces_a_photo(width, height, channels):
    model, images = model_of(level_of(channels=channels)), photos(2, height, width, channels)
    for image, code in zip(images, encode(model, images, exact), strict=True):
        assert (code.width, code.height, code.pitch) == (width, height, 4)
        assert code.levels[0].cells == (-(-width // 4), -(-height // 4))
        assert (render(model, code, width, height) - image).abs().max() < 2e-3


@pytest.mark.parametrize("dtype, peak", [(torch.uint8, 255), (torch.uint16, 65535)])
@pytest.mark.parametrize("levels", [1, 2])
def test_stored_values_and_floats_are_coded_alike(dtype, peak, levels):
    stored = (photos(2, 9, 13, 3) * peak).to(dtype)
    floats = stored.float() / peak
    assert torch.equal(as_float(stored), floats)
    model = model_of(level_of(cells=1, pixels=4, channels=3), level_of(channels=3))
    ours, theirs = encode(model, stored, means, levels=levels), encode(model, floats, means, levels=levels)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.levels[-1].code.constant_SC, b.levels[-1].code.constant_SC)


@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize("band", [1, 4, 4096])
def test_a_batch_is_coded_as_its_images_one_by_one(overlap, band, monkeypatch):
    model = model_of(level_of(cells=2, overlap=overlap), level_of(overlap=overlap))
    images = photos(3, 14, 10)
    alone = [encode(model, image[None], means)[0] for image in images]
    monkeypatch.setattr(imaging, "BAND_CELLS", band)
    for together, single in zip(encode(model, images, means), alone, strict=True):
        for a, b in zip(together.levels, single.levels, strict=True):
            assert a.cells == b.cells
            assert torch.allclose(a.code.constant_SC, b.code.constant_SC, atol=1e-6)


def test_the_constants_are_the_means_of_cells_in_reading_order_border_repeated():
    image = photos(1, 6, 10)
    (code,) = encode(model_of(level_of()), image, means)
    full = image[0, :, :, 0][torch.arange(8).clamp_max(5)][:, torch.arange(12).clamp_max(9)]
    wanted = full.view(2, 4, 3, 4).mean((1, 3)).flatten()
    assert torch.allclose(code.levels[0].code.constant_SC[:, 0], wanted, atol=1e-6)


@pytest.mark.parametrize("band", [1, 3, 5, 4096])
@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize("shared", [True, False])
def test_first_guesses_reach_the_cell_they_belong_to(band, overlap, shared, monkeypatch):
    coarse = level_of(cells=2, overlap=overlap, shared=shared)
    model, images = model_of(coarse, level_of(overlap=overlap)), photos(3, 15, 22)
    init, marked = encode(model, images, means), []
    for image, code in enumerate(init):
        levels = []
        for number, part in enumerate(code.levels):
            S = len(part.code)
            mark = torch.arange(S).float() + 1000 * number + 10_000 * image
            sparse = SparseCode(torch.arange(S)[:, None] % 40, mark[:, None], mark[:, None])
            levels.append(type(part)(part.cells, sparse))
        marked.append(ImageCode(code.width, code.height, code.pitch, tuple(levels)))
    monkeypatch.setattr(imaging, "BAND_CELLS", band)

    def keep(level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None):
        assert init is not None and len(init) == target_MS.shape[1] and images == 3
        assert shared or level.spec.cells == 0 or (init.constant_SC % 1000 == cell).all()
        return init

    for code, given in zip(encode(model, images, keep, init=marked), marked, strict=True):
        for a, b in zip(code.levels, given.levels, strict=True):
            assert torch.equal(a.code.value_SJ, b.code.value_SJ) and torch.equal(a.code.index_SJ, b.code.index_SJ)
            assert torch.equal(a.code.constant_SC, b.code.constant_SC)


def test_the_pitch_of_a_first_guess_is_kept():
    model, images = model_of(level_of()), photos(1, 12, 12)
    init = encode(model, images, exact, cells=2)
    assert init[0].pitch == 6
    assert encode(model, images, exact, init=init)[0].levels[0].cells == (2, 2)


# ---- pitch


def test_cells_change_the_pitch():
    model, images = model_of(level_of()), photos(1, 20, 33)
    (code,) = encode(model, images, means, cells=5)
    assert code.pitch == 7 and code.levels[0].cells == (5, 3)
    assert pitch_for(model, 33, 20) == 4


@pytest.mark.parametrize("cells", [0, -1, 34])
def test_impossible_numbers_of_cells_are_refused(cells):
    with pytest.raises(UsageError, match=f"--cells {cells} "):
        pitch_for(model_of(level_of()), 33, 20, cells)


def test_a_dictionary_of_fixed_cells_refuses_another_number():
    model = model_of(level_of(cells=3))
    assert pitch_for(model, 33, 20) == pitch_for(model, 33, 20, 3) == 11
    with pytest.raises(UsageError, match="has 3 cells"):
        pitch_for(model, 33, 20, 4)
