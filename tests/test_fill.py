"""Values carried into holes: harmonic functions and Gaussian fields against closed forms and dense solves."""

from __future__ import annotations

import pytest
import torch

from nidcli.restore.fill import descend, field, harmonic, likeliest, roughness


def hole(height: int, width: int, seed: int = 0, share: float = 0.5) -> torch.Tensor:
    return torch.rand(1, height, width, generator=torch.Generator().manual_seed(seed)) > share


@pytest.mark.parametrize("size", [(20, 20), (13, 29), (1, 12)])
def test_a_linear_function_is_its_own_harmonic_continuation(size):
    y, x = torch.meshgrid(torch.arange(size[0]) / 10.0, torch.arange(size[1]) / 10.0, indexing="ij")
    plane = torch.stack([x, 2 * y - x], 2)[None]
    known = torch.ones(1, *size, dtype=torch.bool)
    known[:, 2:-2, 3:-3] = False
    if size[0] == 1:
        known[:, :, 3:-3] = False
    filled = harmonic(torch.where(known[..., None], plane, torch.nan).nan_to_num(), known, 200)
    assert torch.allclose(filled, plane, atol=2e-3)


def test_known_values_come_back_to_the_last_bit_and_the_rest_lies_between_them():
    values, known = torch.rand(2, 17, 23, 3), hole(17, 23, share=0.8).expand(2, -1, -1)
    filled = harmonic(values, known)
    assert torch.equal(filled[known], values[known])
    low, high = values[known].amin(), values[known].amax()
    assert bool(((filled >= low - 1e-3) & (filled <= high + 1e-3)).all())


def test_nothing_known_becomes_zero():
    assert torch.equal(
        harmonic(torch.rand(1, 6, 6, 1), torch.zeros(1, 6, 6, dtype=torch.bool)), torch.zeros(1, 6, 6, 1)
    )


def test_the_likeliest_field_is_the_conditional_mean_of_its_gaussian():
    rough = torch.tensor([0.3, 0.5, 0.0, 1.0])
    values, known = torch.randn(1, 7, 6, 1, generator=torch.Generator().manual_seed(1)), hole(7, 6)
    unit = torch.eye(42).view(42, 1, 7, 6)
    precision = field(rough)(unit).view(42, 42).double()
    assert torch.allclose(precision, precision.T)
    k, y = known.flatten(), values.flatten().double()
    mean = -torch.linalg.solve(precision[~k][:, ~k], precision[~k][:, k] @ y[k])
    assert torch.allclose(likeliest(values, known, rough, 300).flatten()[~k].double(), mean, atol=0.03)


def test_roughness_finds_the_field_that_images_were_drawn_from():
    truth, side = torch.tensor([0.5, 0.0, 0.0, 2.0]), 24
    precision = field(truth)(torch.eye(side**2).view(-1, 1, side, side)).view(side**2, -1).double() * 2.0
    noise = torch.randn(side**2, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = torch.linalg.solve_triangular(torch.linalg.cholesky(precision).T, noise, upper=True).T
    found = roughness(drawn.view(60, side, side).float())
    wave = torch.linspace(0.05, 6, 20)[:, None] ** torch.arange(4)
    assert torch.allclose((wave @ found).log(), (wave @ truth).log(), atol=0.25)


def test_descent_stays_in_the_space_that_it_is_given():
    free = lambda x: x - x.mean((2, 3), keepdim=True)  # noqa: E731
    start = torch.rand(1, 2, 9, 9)
    found = descend(field(torch.tensor([0.1, 1.0])), free, start, 100)
    assert torch.allclose(found.mean((2, 3)), start.mean((2, 3)), atol=1e-5)
    assert float((found - found.mean((2, 3), keepdim=True)).abs().max()) < 0.02  # the flattest image of that mean
