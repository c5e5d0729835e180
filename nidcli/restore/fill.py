"""Values carried into holes: what is known stays, and the rest is the likeliest given it.

`harmonic`: min sum |u_i - u_j|^2 over neighbours. The minimiser is continuous at the border of a hole, and between the
values there (Dirichlet's problem on a grid). The same problem at half the size gives the start, conjugate gradients
(Hestenes & Stiefel 1952) the rest: cascadic multigrid (Bornemann & Deuflhard 1996), whose cost follows the pixels.

`likeliest`: the mean of a Gaussian Markov field, given the known values, with precision sum_p c_p L^p, L the
Laplacian of the grid. `roughness` estimates c from samples of the field by its likelihood in the basis of cosines,
which diagonalises L (Whittle 1954). What a prior leaves over of photos is such a field: details, alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

STEPS = 60  # of conjugate gradients at the finest scale, GROWTH times as many at each coarser one
GROWTH, MOST = 1.5, 200
POWERS = 4  # c_0 ... c_3
DETAIL = 80  # steps of `likeliest`
TOLERANCE = 1e-3  # a share of the slope at the start
COARSEST = 4  # pixels a side


def harmonic(values_BHWC: Tensor, known_BHW: Tensor, steps: int = STEPS) -> Tensor:
    """(B, H, W, C): the values where known, a harmonic function elsewhere; zero where nothing at all is known."""
    known = known_BHW[:, None].to(values_BHWC)
    return _solve(values_BHWC.permute(0, 3, 1, 2) * known, known, steps).permute(0, 2, 3, 1)


def _solve(values: Tensor, known: Tensor, steps: int) -> Tensor:
    """(B, C, H, W) from values that are zero where known (B, 1, H, W) is, and start at half the size."""
    height, width = values.shape[2:]
    if max(height, width) > COARSEST:
        odd = (0, width % 2, 0, height % 2)
        count = nn.functional.avg_pool2d(nn.functional.pad(known, odd), 2)
        means = nn.functional.avg_pool2d(nn.functional.pad(values, odd), 2) / count.clamp_min(1e-12)
        coarse = _solve(means, (count > 0).to(known), min(MOST, round(GROWTH * steps)))
        start = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")[:, :, :height, :width]
    else:
        start = values.sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp_min(1)
    hole = 1 - known
    return descend(_slope, lambda x: x * hole, values + hole * start, steps)


def likeliest(
    values_BHWC: Tensor, known_BHW: Tensor, rough_P: Tensor, steps: int = DETAIL, zoom: float = 1.0
) -> Tensor:
    """(B, H, W, C): the values where known, and their most likely continuation. rough_P, zoom : see `field`."""
    known = known_BHW[:, None].to(values_BHWC)
    values = values_BHWC.permute(0, 3, 1, 2) * known
    start = _solve(values, known, max(1, steps // 8))
    hole = 1 - known
    return descend(field(rough_P, zoom), lambda x: x * hole, values + hole * start, steps).permute(0, 2, 3, 1)


def field(rough_P: Tensor, zoom: float = 1.0) -> Callable[[Tensor], Tensor]:
    """(B, C, H, W) -> its product with the precision of the field c, on a grid `zoom` times as fine as that of c, but
    for a factor: `field_strength`."""
    stretched = _stretched(rough_P, zoom)
    first, *powers = (stretched / stretched.max()).flip(0).tolist()

    def precision(u: Tensor) -> Tensor:
        out = first * u
        for weight in powers:
            out = _slope(out).add_(u, alpha=weight)
        return out

    return precision


def field_strength(rough_P: Tensor, zoom: float = 1.0) -> float:
    """What `field` leaves out. A finer grid has zoom^2 as many pixels, of which all together say as much."""
    return float(_stretched(rough_P, zoom).max()) / zoom**2


def _stretched(rough_P: Tensor, zoom: float) -> Tensor:
    return rough_P.double().cpu() * zoom ** (2 * torch.arange(len(rough_P), dtype=torch.float64))


def roughness(images_XHH: Tensor) -> Tensor:
    """(POWERS,) c of square images that are samples of one field, none of them negative."""
    side = images_XHH.shape[1]
    place = torch.arange(side, dtype=torch.float64, device=images_XHH.device)
    cosines = torch.cos(torch.pi / side * (place + 0.5) * place[:, None]) * (2 / side) ** 0.5
    cosines[0] /= 2**0.5
    power = sum((cosines @ image.double() @ cosines.T).square() for image in images_XHH) / len(images_XHH)
    wave = 2 - 2 * torch.cos(torch.pi / side * place)
    squares = wave[:, None] + wave
    log_P = (0.2 / power.mean()).log().expand(POWERS).clone().requires_grad_()
    descent = torch.optim.LBFGS([log_P], max_iter=300, line_search_fn="strong_wolfe")

    def unlikely() -> Tensor:
        descent.zero_grad()
        precision = sum(log_P[p].exp() * squares**p for p in range(POWERS))
        loss = (power * precision - precision.log()).mean()
        loss.backward()
        return loss

    with torch.enable_grad():
        descent.step(unlikely)
    return log_P.detach().exp().float()


def descend(slope: Callable[[Tensor], Tensor], free: Callable[[Tensor], Tensor], u: Tensor, steps: int) -> Tensor:
    """Conjugate gradients from u, (B, C, H, W), to the minimum of u' slope(u) / 2 within what `free` projects to."""
    r = -free(slope(u))
    p, rr = r, _energy(r)
    goal = TOLERANCE**2 * rr
    for _ in range(steps):
        going = rr > goal
        if not bool(going.any()):
            break
        q = free(slope(p))
        step = torch.where(going, rr / (p * q).sum((1, 2, 3), keepdim=True).clamp_min(1e-30), 0)
        u, r = torch.addcmul(u, step, p), torch.addcmul(r, step, q, value=-1)
        new = _energy(r)
        p = torch.addcmul(r, torch.where(going, new / rr.clamp_min(1e-30), 0), p)
        rr = new
    return u


def _energy(x_BCHW: Tensor) -> Tensor:
    return x_BCHW.square().sum((1, 2, 3), keepdim=True)


def _slope(u_BCHW: Tensor) -> Tensor:
    """Sum of the differences with the up to four neighbours: the gradient of half the energy."""
    out = torch.zeros_like(u_BCHW)
    across, down = u_BCHW.diff(dim=3), u_BCHW.diff(dim=2)
    out[..., :-1] -= across
    out[..., 1:] += across
    out[:, :, :-1] -= down
    out[:, :, 1:] += down
    return out
