"""Photos coded in levels, with a bank for each cell, and drawn from atoms that encoding measured."""

from __future__ import annotations

import pytest
import torch
from test_imaging import exact, level_of, means, model_of, photos, random_codes
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.engine import drawn
from nidcli.imaging import encode, render, render_all, resized
from nidcli.model import Level
from nidcli.problem import DenseDesign, Design


@pytest.mark.parametrize("width, height", [(16, 16), (13, 18)])
def test_the_second_level_codes_what_the_first_left(width, height):
    model, images = model_of(level_of(cells=1, pixels=8), level_of()), photos(2, height, width)
    seen: list[Tensor] = []

    def watch(level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None):
        if level is model.level(1):
            seen.append(target_MS)
        return means(level, cell, design, target_MS, images, init)

    codes = encode(model, images, watch)
    first = encode(model, images, means, levels=1)
    left = images - torch.stack([render(model, code, width, height) for code in first])
    nx, ny = codes[0].levels[1].cells
    left = left[:, torch.arange(4 * ny).clamp_max(height - 1)][:, :, torch.arange(4 * nx).clamp_max(width - 1)]
    wanted = left.view(2, ny, 4, nx, 4).permute(0, 1, 3, 2, 4).reshape(-1, 16).T
    assert torch.allclose(torch.cat(seen, 1), wanted, atol=1e-5)


def test_what_is_left_falls_with_every_level():
    y, x = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 24), indexing="ij")
    images = (0.5 + 0.3 * torch.sin(5 * x + 2 * y) + 0.1 * torch.sin(19 * y))[None, :, :, None]
    model = model_of(level_of(cells=2), level_of())
    energy = [images.square().sum()]

    def coder(level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None):
        return (exact if level is model.level(1) else means)(level, cell, design, target_MS, images, init)

    for levels in (1, 2):
        (code,) = encode(model, images, coder, levels=levels)
        energy.append((render(model, code, 24, 24) - images[0]).square().sum())
    assert energy[1] < 0.2 * energy[0] and energy[2] < 1e-4 * energy[1]


def test_each_cell_uses_its_own_bank():
    model, images = model_of(level_of(cells=2, pixels=8, shared=False)), photos(2, 16, 16)
    asked: list[int] = []

    def watch(level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None):
        asked.append(cell)
        wanted = level.bank(cell).atoms(torch.zeros(1, 2)).shape[2]
        assert design.shape == (64, wanted) and target_MS.shape == (64, 2)
        return exact(level, cell, design, target_MS, images, init)

    (code, _) = encode(model, images, watch)
    assert sorted(asked) == [0, 1, 2, 3]
    before = render(model, code, 16, 16)
    with torch.no_grad():
        model.level(0).bank(3).head_KCF.mul_(2)
    changed = (render(model, code, 16, 16) != before).any(2)
    assert changed[8:, 8:].all() and not changed[:8].any() and not changed[:, :8].any()


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_banks_of_their_own_reproduce_a_photo_of_their_size(overlap):
    model, images = model_of(level_of(cells=2, shared=False, overlap=overlap)), photos(3, 8, 8)
    for image, code in zip(images, encode(model, images, exact), strict=True):
        assert (render(model, code, 8, 8) - image).abs().max() < 2e-3


def test_a_photo_of_the_size_asked_for_is_not_resampled():
    images = photos(1, 8, 12)
    assert resized(images, 12, 8) is images


def test_resizing_keeps_a_constant_and_turns_no_axis():
    image = torch.zeros(1, 8, 12, 1)
    image[:, :, 6:] = 1
    small = resized(image, 6, 4)
    assert small.shape == (1, 4, 6, 1)
    assert torch.allclose(small[0, :, :, 0], small[0, :1, :, 0].expand(4, 6), atol=1e-5)
    assert (small[0, :, 0, 0] < 0.1).all() and (small[0, :, -1, 0] > 0.9).all()
    assert torch.allclose(resized(torch.full((1, 7, 9, 3), 0.25), 16, 16), torch.tensor(0.25), atol=1e-6)


def test_measured_atoms_draw_what_the_networks_draw(monkeypatch: pytest.MonkeyPatch):
    model = model_of(level_of(overlap=0.0, channels=3))
    codes = random_codes(model, 16, 12, images=2)
    asked: list[SparseCode] = []

    def spy(design: DenseDesign, code: SparseCode) -> Tensor:
        asked.append(code)
        return drawn(design, code)

    monkeypatch.setattr("nidcli.imaging.drawn", spy)
    expected = render_all(model, codes, 16, 12)
    assert not asked
    assert torch.allclose(render_all(model, codes, 16, 12, measured=True), expected, atol=2e-4)
    assert asked
