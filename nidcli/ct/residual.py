"""What a dictionary cannot hold, solved together with the code: a picture f = B a + r that agrees with the rays.

    min_f  |A f - y|^2 / 2 + lambda sum_i w_i |grad f|_i + mu / 2 |f - m|^2,        f >= 0 where asked

m is the picture of the prior's code a0. With orthonormal experts the last term is mu / 2 (|a - a0|^2 + |r|^2): code
leaves the prior, and the residual leaves zero, only as far as rays and total variation (Rudin, Osher and Fatemi 1992)
ask for it. w are weights that are small where an earlier estimate has its edges (Candes, Wakin and Boyd 2008).

Solved by the primal-dual method (Chambolle and Pock 2011). The dual step of the rays is preconditioned by a filter F,
bent from the ramp of back-projection (Sidky, Jorgensen and Pan 2012): the eigenvalues of A' F A are alike, so that some
hundred steps are enough. The
minimiser is that of the plain squares, since the proximal step is taken in the same metric.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nidcli.ct.scanner import Scanner

STEP = 0.01  # of the primal variable times lambda: as slopes are to attenuation, so are dual to primal variables
BOUND = 0.99  # of the largest steps with which the method converges
KNEE = 0.02  # slope of an estimate at which total variation counts half
CHECK = 10  # steps between two looks at how far the picture still moves


@dataclass(frozen=True, eq=False)
class Penalties:
    """lambda_S and mu_S : (S,) of each slice, in the units of rays; edges_NS : weights in 0 ... 1, or None for ones.

    rays_M1 : 1 for rays that count and 0 for those held out, or None. share : of lambda that an estimate's edges leave,
    by which the solver knows the size of its steps.
    """

    lambda_S: Tensor
    mu_S: Tensor | None = None
    mean_NS: Tensor | None = None
    edges_NS: Tensor | None = None
    non_negative: bool = False
    rays_M1: Tensor | None = None
    share: float = 1.0


@dataclass(frozen=True)
class TotalVariation:
    """steps : at the most; it stops when a picture moves by less than `tolerance` of its norm a step.

    sharpen : steps after which the weights follow the picture's own edges, again and again, 0 for never (the dual
    variables go on: as good as many solves, at the price of one).
    """

    steps: int = 200
    tolerance: float = 0.0
    sharpen: int = 0

    @torch.no_grad()
    def solve(self, scanner: Scanner, sinogram_MS: Tensor, penalties: Penalties, start_NS: Tensor) -> Tensor:
        """(N, S) pictures of (M, S) sinograms."""
        n, S = scanner.geometry.size, sinogram_MS.shape[1]
        step = STEP / max(float((penalties.lambda_S / penalties.share).max()), 1e-9)
        rays, slopes = BOUND / 2 / (step * scanner.norm), BOUND / 2 / (step * 8)  # half of the bound each
        gain_F = rays * scanner.metric_F
        keep_F, take_F = 1 / (1 + gain_F), gain_F / (1 + gain_F)
        # Every pass over a picture costs as much as the rays of some views: in place, and nothing broadcast along S.
        room_NS = _inverse_bound(penalties, start_NS)
        shrink_NS, mean_NS = None, penalties.mean_NS
        if penalties.mu_S is not None and mean_NS is not None:
            weight_S = step * penalties.mu_S.to(start_NS)
            shrink_NS = (1 / (1 + weight_S)).expand_as(start_NS).contiguous()
            mean_NS = mean_NS * (weight_S / (1 + weight_S))
        picture, ahead, length_NS = start_NS.clone(), start_NS.clone(), torch.empty_like(start_NS)
        dual_MS = torch.zeros_like(sinogram_MS)
        dual_2YXS = picture.new_zeros(2, n, n, S)
        along_x, along_y = dual_2YXS.view(2, -1, S)
        for number in range(self.steps):
            miss_MS = scanner.forward(ahead).sub_(sinogram_MS)
            dual_MS = scanner.filtered(dual_MS, keep_F).add_(scanner.filtered(miss_MS, take_F))
            if penalties.rays_M1 is not None:
                dual_MS *= penalties.rays_M1
            _ascend(dual_2YXS, ahead.view(n, n, S), slopes)
            torch.mul(along_x, along_x, out=length_NS).addcmul_(along_y, along_y).sqrt_()
            length_NS.mul_(room_NS).clamp_min_(1)
            dual_2YXS.view(2, -1, S).div_(length_NS)
            new = torch.add(picture, scanner.adjoint(dual_MS), alpha=-step)
            _descend(new.view(n, n, S), dual_2YXS, step)
            if shrink_NS is not None and mean_NS is not None:
                new = torch.addcmul(mean_NS, new, shrink_NS, out=new)
            if penalties.non_negative:
                new.clamp_min_(0)
            torch.sub(new, picture, out=ahead)  # how far it moved
            picture = new
            done = self.tolerance and number % CHECK == CHECK - 1 and bool(_still(ahead, picture) < self.tolerance)
            if done:
                break
            ahead += picture
            if self.sharpen and number % self.sharpen == self.sharpen - 1:
                room_NS = _inverse_bound(replace(penalties, edges_NS=edge_weights(picture, n)), picture)
        return picture


def _inverse_bound(penalties: Penalties, like_NS: Tensor) -> Tensor:
    """(N, S): 1 / (lambda w), the inverse of how long a dual vector of slopes may be."""
    bound_NS = penalties.lambda_S.to(like_NS).expand_as(like_NS)
    if penalties.edges_NS is not None:
        bound_NS = bound_NS * penalties.edges_NS
    return 1 / bound_NS


def slopes_of(picture_YXS: Tensor) -> Tensor:
    """(2, Y, X, S) forward differences along x and y, zero at the far border."""
    slopes = picture_YXS.new_zeros(2, *picture_YXS.shape)
    _ascend(slopes, picture_YXS, 1.0)
    return slopes


def transposed_slopes(slopes_2YXS: Tensor) -> Tensor:
    """(2, Y, X, S) -> (Y, X, S): the exact transpose of `slopes_of` (its far border counts nothing)."""
    out = torch.zeros_like(slopes_2YXS[0])
    _descend(out, slopes_2YXS, -1.0)
    return out


def steepness(picture_NS: Tensor, size: int) -> Tensor:
    """(N, S): |grad f| of pictures."""
    slopes = slopes_of(picture_NS.view(size, size, -1))
    return slopes.square().sum(0).sqrt().view_as(picture_NS)


def edge_weights(picture_NS: Tensor, size: int, knee: float = KNEE) -> Tensor:
    """(N, S): knee / (knee + |grad f|), so that what an estimate has for edges costs little."""
    return knee / (knee + steepness(picture_NS, size))


def _ascend(slopes_2YXS: Tensor, picture_YXS: Tensor, step: float) -> None:
    """slopes += step grad f, in place."""
    along_x, along_y = slopes_2YXS
    along_x[:, :-1].add_(picture_YXS[:, 1:], alpha=step).sub_(picture_YXS[:, :-1], alpha=step)
    along_y[:-1].add_(picture_YXS[1:], alpha=step).sub_(picture_YXS[:-1], alpha=step)


def _descend(picture_YXS: Tensor, slopes_2YXS: Tensor, step: float) -> None:
    """f -= step grad' slopes, in place (the far border of the slopes counts nothing)."""
    along_x, along_y = slopes_2YXS
    picture_YXS[:, :-1].add_(along_x[:, :-1], alpha=step)
    picture_YXS[:, 1:].sub_(along_x[:, :-1], alpha=step)
    picture_YXS[:-1].add_(along_y[:-1], alpha=step)
    picture_YXS[1:].sub_(along_y[:-1], alpha=step)


def _still(moved_NS: Tensor, picture_NS: Tensor) -> Tensor:
    """How far the picture that moves most moves, as a share of its norm."""
    return (moved_NS.norm(dim=0) / picture_NS.norm(dim=0).clamp_min(1e-12)).max()
