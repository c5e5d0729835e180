"""Each proximal operator against brute-force minimisation of its definition, as scico's tests do."""

import pytest
import torch

from nidcli.prox import (
    clip,
    hard_top_k,
    huber,
    huber_distance,
    huber_slope,
    l1_distance,
    nonnegative,
    soft_threshold,
)

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
POINTS = torch.tensor([-3.3, -1.0, -0.71, -0.2, 0.0, 0.05, 0.7, 0.9, 2.5], dtype=torch.float64)


def brute(penalty, v):
    """argmin over a fine grid of penalty(z) + (z - v)^2 / 2, for each v."""
    return torch.stack([GRID[(penalty(GRID) + (GRID - x) ** 2 / 2).argmin()] for x in v])


@pytest.mark.parametrize("step", [0.0, 0.3, 0.7, 2.0])
@pytest.mark.parametrize(
    "closed, penalty",
    [
        (lambda v, t: soft_threshold(v, t), lambda z, t: t * z.abs()),
        (lambda v, t: l1_distance(v, torch.full_like(v, 0.4), t), lambda z, t: t * (z - 0.4).abs()),
        (lambda v, t: huber_distance(v, torch.full_like(v, 0.4), t, 0.5), lambda z, t: t * huber(z - 0.4, 0.5)),
        (lambda v, t: nonnegative(v), lambda z, t: torch.where(z < 0, torch.inf, 0.0)),
    ],
    ids=["soft_threshold", "l1_distance", "huber_distance", "nonnegative"],
)
def test_prox_minimises_its_definition(closed, penalty, step):
    assert torch.allclose(closed(POINTS, step), brute(lambda z: penalty(z, step), POINTS), atol=1e-4)


def test_hard_top_k_is_the_nearest_k_sparse_vector():
    torch.manual_seed(0)
    v_KS = torch.randn(6, 5)
    for k in range(1, 8):
        near = torch.full((5,), torch.inf)
        for support in torch.combinations(torch.arange(6), min(k, 6)):
            kept = torch.zeros_like(v_KS)
            kept[support] = v_KS[support]
            near = torch.minimum(near, (v_KS - kept).square().sum(0))
        got = hard_top_k(v_KS, k)
        assert ((got != 0).sum(0) == min(k, 6)).all()
        assert torch.allclose((v_KS - got).square().sum(0), near)


def test_soft_threshold_is_exactly_zero_at_the_threshold_and_takes_one_threshold_a_column():
    v = torch.tensor([[0.3, 0.3], [-0.3, -2.0]])
    assert soft_threshold(v, torch.tensor([0.3, 0.1]))[:, 0].tolist() == [0.0, 0.0]
    assert torch.allclose(soft_threshold(v, torch.tensor([0.3, 0.1]))[:, 1], torch.tensor([0.2, -1.9]))
    assert soft_threshold(v, torch.full_like(v, torch.inf)).abs().max() == 0


def test_huber_is_the_distance_without_its_corner():
    r = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    value = huber(r, 0.5)
    assert torch.allclose(value[r.abs() >= 0.5], r[r.abs() >= 0.5].abs() - 0.25)
    assert torch.allclose(value[r.abs() <= 0.5], r[r.abs() <= 0.5] ** 2)
    (slope,) = torch.autograd.grad(value.sum(), r)
    assert torch.allclose(slope, huber_slope(r, 0.5))


def test_clip_takes_a_bound_a_column():
    assert clip(torch.tensor([[3.0, -3.0]]), torch.tensor([1.0, 2.0])).tolist() == [[1.0, -2.0]]
