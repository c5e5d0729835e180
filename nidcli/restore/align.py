"""The face in a photo: the similarity transform under which the class fits best.

A frame is scored by how little of its own contrast the class leaves unexplained: the part of the photo in it, brought
to the usual mean and contrast, has a distance from the class (what is left over, and how unusual its code is: a
Gaussian energy), and that is taken as a share of its energy, so that a plain wall does not pass for a face.
Where a detector of faces sees some, or one that is partly covered (detect.py), it says where to begin. Elsewhere the
mean photo of the class, turned a little either way, is compared with the photo shrunk to many sizes, at every place at
once (normalised correlation, Lewis 1995). The likely places are improved step by step by the score above (a pattern
search, Hooke & Jeeves 1961).

Letters: F frames, n samples a side at the resolution at hand, C channels, R leading experts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nidcli.model import Model
from nidcli.restore.detect import covered, detected
from nidcli.restore.fill import harmonic
from nidcli.restore.frame import Frame, cut
from nidcli.restore.whole import WholeImage, area, whole_of

SOUGHT, IMPROVED = 16, 32  # samples a side where frames are sought, and where the best are improved
PIXELS = 256  # of the photo's shorter side, at most, for the latter
SCALE, SMALLEST = 0.88, 0.16  # from one size to the next; the smallest, of the photo's shorter side
TURNS = (-0.24, 0.0, 0.24)  # radians
BEST, ROUNDS = 6, 12
INNER = 0.75  # of half a side: the middle
ALIKE = 0.85  # of the best correlation: what is less alike is not considered
FAINT = 0.7  # of the usual contrast: a part with less, such as a wall, is not brought to it
LEADING = 64  # experts that take part: the rest is detail
NEAR, SIZES, TURNED = 0.3, (0.8, 1.25), 0.35  # how far a frame is improved: half sides, times its size, radians
EVEN, RIM = 1.5 / 255, 2  # range of values within 3 x 3 pixels that paint has, hardly any photo; pixels that it blurs


@torch.no_grad()
def align(model: Model, photo_HWC: Tensor, known_HW: Tensor) -> Frame:
    """The frame that fits best; holes, and what may be painted over, are bridged smoothly first."""
    bare_HW = known_HW & ~even(photo_HWC)
    bare_HW = bare_HW if bool(bare_HW.any()) else known_HW
    if not bool(bare_HW.all()):
        photo_HWC = harmonic(photo_HWC[None], bare_HW[None])[0]
    whole = WholeImage.of(whole_of(model))
    score = _Score(whole, photo_HWC, IMPROVED, PIXELS)
    likely = detected(photo_HWC)[:BEST] or covered(photo_HWC, bare_HW)
    if not likely:
        found = sorted(sought(whole, photo_HWC), key=lambda pair: -pair[0])
        likely = [frame for alike, frame in found[:BEST] if alike >= ALIKE * found[0][0]]
    return min((_improved(score, frame) for frame in likely), key=lambda pair: pair[0])[1]


def even(photo_HWC: Tensor) -> Tensor:
    """(H, W) bool: parts of one even colour, as paint is; of walls and skies, smooth as they are, nothing is lost."""
    image = photo_HWC.permute(2, 0, 1)[None]
    most = nn.functional.max_pool2d(image, 3, 1, 1)
    least = -nn.functional.max_pool2d(-image, 3, 1, 1)
    flat = ((most - least).amax(1, keepdim=True) <= EVEN).float()
    return nn.functional.max_pool2d(flat, 2 * RIM + 3, 1, RIM + 1)[0, 0] > 0


def sought(whole: WholeImage, photo_HWC: Tensor) -> list[tuple[float, Frame]]:
    """The best frame of each size, with its correlation with the mean photo: 1 is alike."""
    height, width, _ = photo_HWC.shape
    kernels_TCnn = _turned_means(whole)
    photo, found, half = photo_HWC.permute(2, 0, 1)[None], [], min(width, height) / 2
    while half >= SMALLEST * min(width, height) / 2:
        w, h = (max(SOUGHT, round(n * SOUGHT / (2 * half))) for n in (width, height))
        small = area(photo, w, h)
        ones = _middle(kernels_TCnn)[None]
        count = float(ones.sum())
        energy = nn.functional.conv2d(small.square(), ones) - nn.functional.conv2d(small, ones).square() / count
        least = FAINT**2 * float(whole.averaged(whole.mean_M[None], SOUGHT, SOUGHT).var()) * count
        alike = (nn.functional.conv2d(small, kernels_TCnn) / energy.clamp_min(least).sqrt())[0]
        place = int(alike.argmax())
        turn, rest = divmod(place, alike[0].numel())
        row, column = divmod(rest, alike.shape[2])
        x, y = (column + SOUGHT / 2) * width / w, (row + SOUGHT / 2) * height / h
        found.append((float(alike.flatten()[place]), Frame(x, y, half, TURNS[turn])))
        half *= SCALE
    return found


def _middle(kernels_TCnn: Tensor) -> Tensor:
    """(C, n, n): 1 in the middle, where photos of the class are alike, 0 where their surroundings differ."""
    place = (2 * torch.arange(SOUGHT).to(kernels_TCnn) + 1) / SOUGHT - 1
    inside = place.square() + place[:, None].square() < INNER**2
    return inside.to(kernels_TCnn).expand(kernels_TCnn.shape[1:])


def _turned_means(whole: WholeImage) -> Tensor:
    """(T, C, n, n): the mean photo as it appears turned, without its own mean, of unit norm."""
    mean = whole.draw(whole.mean_K[:, None], SOUGHT * 2)
    everywhere = torch.ones(mean.shape[:3], dtype=torch.bool, device=mean.device)
    turned = [cut(Frame(SOUGHT, SOUGHT, SOUGHT, -turn), mean, everywhere, SOUGHT)[0] for turn in TURNS]
    kernels = torch.cat(turned).permute(0, 3, 1, 2)
    inner = _middle(kernels)
    kernels = (kernels - (kernels * inner).sum((1, 2, 3), keepdim=True) / inner.sum()) * inner
    return kernels / kernels.flatten(1).norm(dim=1)[:, None, None, None]


class _Score:
    """Distances of the parts of one photo from the class, at one resolution; small is good."""

    def __init__(self, whole: WholeImage, photo_HWC: Tensor, side: int, most: int) -> None:
        height, width, _ = photo_HWC.shape
        self.shrunk = min(1.0, most / min(width, height))
        small = (round(self.shrunk * width), round(self.shrunk * height))
        self.side, self.photo = side, area(photo_HWC.permute(2, 0, 1)[None], *small).permute(0, 2, 3, 1)
        self.known = torch.ones(self.photo.shape[:3], dtype=torch.bool, device=photo_HWC.device)
        design_MK = whole.averaged(whole.design_MK.T, side, side).T[:, :LEADING].contiguous()
        noise_M = whole.averaged(whole.noise_M[None], side, side)[0] * side / whole.side
        spread_K = whole.spread_K[:LEADING]
        mean_M = whole.averaged(whole.mean_M[None], side, side)[0]
        self.mean_M, self.level = mean_M, mean_M.mean()
        self.contrast = (mean_M - self.level).norm()
        # distance = r' (Phi S Phi' + noise^2)^-1 r = |r / noise|^2 - |L^-1 Phi' r / noise^2|^2 (Woodbury)
        rows_KM = (design_MK / noise_M.square()[:, None]).T * spread_K[:, None]
        inner = rows_KM @ (design_MK * spread_K) + torch.eye(len(spread_K)).to(rows_KM)
        self.noise_M, self.rows_KM, self.factor = noise_M, rows_KM, torch.linalg.cholesky(inner)

    def __call__(self, frames: list[Frame]) -> Tensor:
        s = self.shrunk
        small = [Frame(s * f.x, s * f.y, s * f.half, f.angle) for f in frames]
        parts = [cut(f, self.photo, self.known, self.side) for f in small]
        values = torch.cat([part[0] for part in parts]).flatten(1)
        outside = 1 - torch.cat([part[1] for part in parts]).mean((1, 2))
        centred = values - values.mean(1, keepdim=True)
        size = centred.norm(dim=1, keepdim=True).clamp_min(FAINT * float(self.contrast))
        r = self.level + centred * (self.contrast / size) - self.mean_M
        inside = torch.linalg.solve_triangular(self.factor, self.rows_KM @ r.T, upper=False).T
        distance = (r / self.noise_M).square().sum(1) - inside.square().sum(1)
        energy = ((centred * (self.contrast / size)) / self.noise_M).square().sum(1)
        return (1 + 4 * outside) * distance / energy.clamp_min(1e-6)


def _improved(score: _Score, frame: Frame) -> tuple[float, Frame]:
    step, best, start = 0.12, float(score([frame])[0]), frame
    for _ in range(ROUNDS):
        around = [
            Frame(
                frame.x + a * step * frame.half,
                frame.y + b * step * frame.half,
                frame.half * (1 + c * step),
                frame.angle + d * step,
            )
            for a, b, c, d in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
        ]
        around += [
            Frame(2 * frame.x - f.x, 2 * frame.y - f.y, 2 * frame.half - f.half, 2 * frame.angle - f.angle)
            for f in around
        ]
        around = [f for f in around if _near(f, start)]
        if not around:
            step /= 2
            continue
        scores = score(around)
        place = int(scores.argmin())
        if float(scores[place]) < best:
            best, frame = float(scores[place]), around[place]
        else:
            step /= 2
    return best, frame


def _near(frame: Frame, start: Frame) -> bool:
    off = max(abs(frame.x - start.x), abs(frame.y - start.y)) / start.half
    return off <= NEAR and SIZES[0] <= frame.half / start.half <= SIZES[1] and abs(frame.angle - start.angle) <= TURNED
