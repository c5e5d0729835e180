"""The examination of every operator: a new one is one more line in OPERATORS."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nidcli.ct.geometry import Geometry
from nidcli.grid import image_coords
from nidcli.operators import Area, Blur, Operator, PixelRadon, Radon, Sample


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rays(n: int = 7, fan: float | None = None) -> Geometry:
    return Geometry(size=n, angles_V=(10.0, 80.0, 150.0), bins=5, fan=fan)


OPERATORS: dict[str, Callable[[], Operator]] = {
    "sample": lambda: Sample(rand(13, 2)),
    "sample, weighted": lambda: Sample(rand(13, 2), rand(13, seed=1)),
    "sample, some weights zero": lambda: Sample(rand(13, 2), (rand(13, seed=1) - 0.5).clamp_min(0)),
    "areas": lambda: Area(5, 3, 2),
    "areas, some": lambda: Area(5, 3, 3, (2, 13)),
    "blur": lambda: Blur(6, 4, 0.8),
    "blur, wider than the image, some pixels": lambda: Blur(3, 5, 2.0, (1, 9)),
    "sample in three dimensions": lambda: Sample(rand(13, 3), rand(13, seed=1)),
    "rays": lambda: Radon.of(rays(), torch.float64),
    "rays of a fan": lambda: Radon.of(rays(fan=9.0), torch.float64),
    "rays over pixels": lambda: PixelRadon.of(rays(), image_coords(7, 7, torch.float64)),
    "rays of a fan over pixels": lambda: PixelRadon.of(rays(fan=9.0), image_coords(7, 7, torch.float64)),
}


@pytest.fixture(params=OPERATORS)
def operator(request: pytest.FixtureRequest) -> Operator:
    return OPERATORS[request.param]()


@pytest.mark.parametrize("trailing", [(), (3,), (3, 5)])
def test_the_dot_test_holds(operator, trailing):
    x = rand(len(operator.coords_ND), *trailing, seed=2) - 0.5
    measured = operator.forward(x)
    y = rand(*measured.shape, seed=3) - 0.5
    left, right = (measured * y).sum(), (x * operator.adjoint(y)).sum()
    assert abs(left - right) <= 1e-12 * (measured.norm() * y.norm())


@pytest.mark.parametrize("trailing", [(), (3,), (3, 5)])
def test_a_closed_adjoint_is_that_of_reverse_differentiation(operator, trailing):
    y = rand(operator.shape[0], *trailing, seed=3)
    assert torch.allclose(operator.adjoint(y), Operator.adjoint(operator, y), rtol=1e-12, atol=1e-14)


def test_the_adjoint_works_without_gradients_being_recorded(operator):
    with torch.no_grad():
        y = rand(operator.shape[0])
        assert torch.allclose(Operator.adjoint(operator, y), operator.adjoint(y), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("step", [1, 4, 13, 20])
def test_chunks_one_after_another_are_the_whole(operator, step):
    x, total = rand(len(operator.coords_ND), 3), operator.shape[0]
    parts, done = [], 0
    for i in range(0, total, step):
        part = operator[i : i + step]
        assert part.shape[0] == min(step, total - i)
        every = len(part.coords_ND) == len(x)  # a picture is looked at whole, points are looked at in their turn
        parts.append(part.forward(x if every else x[done : done + len(part.coords_ND)]))
        done += len(part.coords_ND)
    assert done == len(x) or every
    assert torch.allclose(torch.cat(parts), operator.forward(x), rtol=1e-14, atol=1e-15)


def test_forward_is_linear(operator):
    N = len(operator.coords_ND)
    x, z = rand(N, 2, seed=4), rand(N, 2, seed=5)
    assert torch.allclose(operator.forward(2 * x - z), 2 * operator.forward(x) - operator.forward(z), atol=1e-14)


def test_samples_are_weighted_so_that_squares_carry_the_weight():
    weight_N = torch.tensor([4.0, 0.25, 0.0])
    measured = Sample(torch.zeros(3, 2), weight_N).forward(torch.tensor([1.0, 2.0, 3.0]))
    assert measured.tolist() == [2, 1, 0]
    assert (measured**2).sum() == (weight_N * torch.tensor([1.0, 4.0, 9.0])).sum()


def test_areas_are_means_over_the_squares_of_their_pixels():
    area = Area(4, 2, 8)
    assert torch.allclose(area.forward(area.coords_ND), image_coords(4, 2), atol=1e-6)  # a linear field: its centre
    second = area.forward(area.coords_ND.double().square())  # mean of x^2 over a pixel is its centre's + side^2 / 12
    truth = image_coords(4, 2).double().square() + torch.tensor([0.5, 1.0]) ** 2 / 12
    assert torch.allclose(second, truth, atol=0.01)


def test_a_blur_keeps_constants_and_widens_a_point_by_its_variance():
    assert torch.allclose(Blur(9, 7, 1.5).forward(torch.ones(63, 1)), torch.ones(63, 1))
    blur, point = Blur(41, 41, 2.0), torch.zeros(41, 41, dtype=torch.float64)
    point[20, 20] = 1
    spread = blur.forward(point.view(-1)).view(41, 41)
    place = torch.arange(41.0, dtype=torch.float64) - 20
    assert float((spread.sum(0) * place**2).sum()) == pytest.approx(4.0, rel=0.01)
    assert torch.equal(Blur(41, 41, 0.0).forward(point.view(-1)), point.view(-1))
