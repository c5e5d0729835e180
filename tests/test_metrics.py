"""PSNR and SSIM are those of the contract: scikit-image's, on clipped values in 0...1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nidcli.metrics import Meter, psnr, quality, ssim

pytestmark = pytest.mark.usefixtures("one_thread")


def pair(*shape: int, noise: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images and noisy copies in 0...1."""
    random = torch.Generator().manual_seed(seed)
    a = torch.rand(shape, generator=random).cumsum(1).cumsum(2)
    a = a / a.amax((1, 2, 3), keepdim=True)
    return a, (a + noise * torch.randn(shape, generator=random)).clamp(0, 1)


def reference(a: torch.Tensor, b: torch.Tensor) -> float:
    """As the contract words it."""
    return structural_similarity(
        a.numpy(),
        b.numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=-1,
    )


@pytest.mark.parametrize("noise", [0.003, 0.1, 0.5])
@pytest.mark.parametrize("shape", [(3, 64, 48, 3), (1, 11, 11, 1), (2, 43, 42, 1), (1, 128, 300, 3), (1, 700, 500, 3)])
def test_ssim_and_psnr_are_those_of_scikit_image(shape: tuple[int, int, int, int], noise: float):
    a, b = pair(*shape, noise=noise)
    psnrs, ssims = quality(a, b)
    for x, y, decibels, similarity in zip(a, b, psnrs.tolist(), ssims.tolist(), strict=True):
        assert abs(similarity - reference(x, y)) < 1e-5
        assert abs(decibels - peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1)) < 1e-4
    torch.testing.assert_close(psnr(a, b), psnrs, rtol=0, atol=1e-5)
    torch.testing.assert_close(ssim(a, b), ssims)


def test_noise_of_a_known_size_has_a_known_psnr():
    grey = torch.full((1, 20, 20, 3), 0.5)
    assert abs(float(psnr(grey, grey + 0.01)) - 40) < 1e-4


def test_values_are_clipped_first():
    a, b = pair(1, 20, 20, 3)
    beyond = torch.where(b == 1, torch.full_like(b, 1.5), b)
    assert float(psnr(a, beyond)) == float(psnr(a, b))
    assert float(ssim(a, beyond)) == float(ssim(a, b))


def test_equal_images_have_infinite_psnr_and_an_ssim_of_one():
    a, _ = pair(1, 30, 30, 3)
    assert math.isinf(psnr(a, a))
    assert abs(float(ssim(a, a)) - 1) < 1e-6


def test_stored_integers_mean_the_same_as_their_floats():
    rng = np.random.default_rng(0)
    for kind in (np.uint8, np.uint16):
        a, b = (torch.from_numpy(rng.integers(0, np.iinfo(kind).max, (1, 20, 20, 3), dtype=kind)) for _ in "ab")
        top = np.iinfo(kind).max
        floats = (a.to(torch.float32) / top, b.to(torch.float32) / top)
        torch.testing.assert_close(quality(a, b)[1], quality(*floats)[1])


@pytest.mark.parametrize("shape", [(1, 10, 40, 3), (1, 40, 10, 3), (1, 5, 5, 1)])
def test_an_image_smaller_than_the_window_has_a_psnr_but_no_ssim(shape: tuple[int, int, int, int]):
    a, b = pair(*shape)
    psnrs, ssims = quality(a, b)
    assert math.isfinite(psnrs)
    assert math.isnan(ssims)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 2**31))
def test_bands_of_any_height_give_the_value_of_the_whole(heights: list[int], seed: int):
    a, b = pair(1, sum(heights), 24, 3, seed=seed)
    meter, top = Meter(), 0
    for height in heights:
        meter.add(a[0, top : top + height], b[0, top : top + height])
        top += height
    psnrs, ssims = quality(a, b)
    assert abs(meter.psnr - float(psnrs)) < 1e-4
    assert (math.isnan(meter.ssim) and sum(heights) < 11) or abs(meter.ssim - float(ssims)) < 1e-5


def test_bands_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        Meter().add(torch.zeros(20, 20, 3), torch.zeros(20, 21, 3))
