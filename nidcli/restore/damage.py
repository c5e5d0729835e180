"""The damaged pixels of a photo, found: suspicion in the frame of the class, then at the photo's own pixels.

Grains are found first (grains.py), and bridged for what follows.
The detector says how likely each pixel of the frame is damaged (suspicion.py). A photo whose pixels are finer is judged
once more at its own, starting from that answer: grains and thin lines are lost in the frame. All that may be damaged
is then hidden and filled, and a pixel counts as damaged that differs from its fill, the less likely the more. Paint has
a colour: pixels of one colour vote together, before and after. Holes of a single pixel within damage are closed, since
what surrounds them is not believed either.

Letters: H, W pixels of the photo, n pixels a side of the frame, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nidcli.model import Model
from nidcli.restore.fill import harmonic
from nidcli.restore.frame import Frame, back, cut, within
from nidcli.restore.grains import grains
from nidcli.restore.masked import fill
from nidcli.restore.robust import Robust
from nidcli.restore.suspicion import LIKELY, Suspicion, damage_of, lonely, suspect
from nidcli.restore.whole import FINE, WholeImage, whole_of

FINER = 1.2  # times the pixels of the frame: from here on the photo is judged at its own
MAYBE, VISIBLE = 0.2, 0.25  # a pixel that may be damaged; by how much it must differ if it is unlikely to be
GRAIN = 0.8  # how likely a grain is damage, before it is checked
GRAINY, STANDS_OUT = 0.01, 0.25  # share of damage; difference from the median around
REACH, ALIKE, SLIGHT = 8, 0.05, 0.3  # pixels that paint goes on; how alike its colour; how much it differs
COLOURS, VOTES = 32, 8.0  # shades of a channel; pixels, for sure, that make a vote
SAME, BEYOND = 0.8, 3.0  # how likely a pixel of paint's colour is paint elsewhere; times as much of it as was seen
ROUNDS, PASSED = 2, 0.7  # of checking; how much less likely damage is where a round saw none
MOST = 0.7  # share of suspects beyond which there is nothing to check them by
FADES, FAINT, ASIDE = 1, 0.04, 0.7  # pixels that paint fades over; its least share; how much else may differ
CLEAR, PURE, SOME = 0.08, 0.35, 0.1  # the same of single pixels; their share of a rim, at least
THIN, LOCAL = 0.2, 21  # least border to area of strokes, in windows of so many pixels a side
SURROUNDED = 7  # of the eight neighbours


@torch.no_grad()
def find(model: Model, photo_HWC: Tensor, frame: Frame) -> tuple[Tensor, Robust]:
    """(H, W) bool, where the photo is damaged, and the robust fit that says so first."""
    height, width, _ = photo_HWC.shape
    whole = WholeImage.of(whole_of(model))
    everywhere = torch.ones(1, height, width, dtype=torch.bool, device=photo_HWC.device)
    strewn = grains(photo_HWC)
    seen = harmonic(photo_HWC[None], ~strewn[None]) if bool(strewn.any()) else photo_HWC[None]
    values, share = cut(frame, seen, everywhere, whole.frame)
    values = torch.where(share[..., None] > 0, values, whole.draw(whole.mean_K[:, None]))
    suspicion, fit = suspect(whole, values)
    likely = damage_of(model.detector, suspicion)
    zoom = 2 * frame.half / whole.frame
    exact = zoom == 1 and (width, height) == (whole.frame, whole.frame)
    judged_HW = everywhere[0]
    if not exact:
        likely = back(frame, likely[..., None], width, height)[..., 0]
        say = within(frame, width, height, likely.device)
        judged_HW = say == 1
        likely = likely * judged_HW
        if zoom > FINER and model.detector is not None:
            drawn = back(frame, whole.draw(fit.code_KB), width, height)
            left = (seen - drawn) * say[..., None]
            own = damage_of(model.detector, padded(Suspicion(likely, seen, left)))[:, :height, :width]
            likely = torch.maximum(own, torch.where(likely > 0.8, likely, 0))
    if bool(strewn.any()):
        return checked(model, photo_HWC, torch.where(strewn, GRAIN, likely[0]), frame, judged_HW, painted=False), fit
    likely_HW = torch.where(elsewhere(photo_HWC, likely[0], judged_HW), SAME, voted(photo_HWC, likely[0], judged_HW))
    return checked(model, photo_HWC, likely_HW, frame, judged_HW), fit


def elsewhere(photo_HWC: Tensor, likely_HW: Tensor, judged_HW: Tensor) -> Tensor:
    """(H, W) bool: pixels that were not judged, of exactly a colour of paint; if there is not far more of it there."""
    if bool(judged_HW.all()):
        return ~judged_HW
    shade = (photo_HWC * 255).round().long()
    code_HW = (shade * 256 ** torch.arange(shade.shape[2], device=shade.device)).sum(2)
    colours, count = code_HW[judged_HW & (likely_HW > LIKELY)].unique(return_counts=True)
    colours, count = colours[count > VOTES], count[count > VOTES]
    others, many = code_HW[~judged_HW].unique(return_counts=True)
    for colour, paint in zip(colours.tolist(), count.tolist(), strict=True):
        if int(many[others == colour].sum()) > BEYOND * paint:  # then it is the colour of something else as well
            colours = colours[colours != colour]
    return ~judged_HW & torch.isin(code_HW, colours)


def voted(photo_HWC: Tensor, likely_HW: Tensor, judged_HW: Tensor) -> Tensor:
    """(H, W) how likely, of which pixels of a colour tell each other: paint has a colour that little else has."""
    C = photo_HWC.shape[2]
    place = (photo_HWC * (COLOURS - 1)).round().long().clamp(0, COLOURS - 1)
    bin_HW = (place * COLOURS ** torch.arange(C, device=place.device)).sum(2)  # CUDA multiplies no whole matrices
    sums = torch.zeros(2, COLOURS**C, device=photo_HWC.device)
    told_2HW = torch.stack([likely_HW * judged_HW, judged_HW.to(likely_HW)])
    sums.index_add_(1, bin_HW.flatten(), told_2HW.flatten(1))
    near = sums.view(1, 2, *[COLOURS] * C)
    for axis in range(2, 2 + C):  # with the colours next to it
        near = near.movedim(axis, -1)
        near = nn.functional.avg_pool1d(near.flatten(1, -2), 3, 1, 1).view_as(near).movedim(-1, axis) * 3
    paint, all_of_it = near[0].flatten(1)
    vote = torch.where(paint > VOTES, paint / all_of_it.clamp_min(1), 0)
    return torch.maximum(likely_HW, judged_HW * vote[bin_HW])


def checked(
    model: Model, photo_HWC: Tensor, likely_HW: Tensor, frame: Frame, judged_HW: Tensor, *, painted: bool = True
) -> Tensor:
    """(H, W) bool: of what may be damaged, what differs from what it would be filled with. painted : has colours."""
    maybe, much = likely_HW > MAYBE, GRAINY * float(judged_HW.sum())
    if float((likely_HW > LIKELY).sum()) > much:  # then single pixels that stand out are suspects, too
        maybe = maybe | (judged_HW & (lonely(photo_HWC[None])[0, ..., 0] > STANDS_OUT))
    found = maybe
    for _ in range(ROUNDS):
        if not bool(maybe.any()) or float(maybe.float().mean()) > MOST:
            return closed(likely_HW > LIKELY)
        hidden = spread(photo_HWC, maybe)
        differs = (photo_HWC - fill(model, photo_HWC, ~hidden, frame, detailed=not painted)).abs().amax(2)
        found = maybe & (differs > VISIBLE * (1 - likely_HW))
        grown = spread(photo_HWC, found) & hidden & ~found & (differs > SLIGHT)
        found = closed(found | grown)
        maybe = found
        if painted and float(found.sum()) > much:  # then paint has been seen, and its colour is known
            likely_HW = voted(photo_HWC, torch.where(found, 1.0, likely_HW * PASSED), judged_HW)
            maybe = found | (likely_HW > LIKELY)
    if painted and float(found.sum()) > much:
        filled = fill(model, photo_HWC, ~near(found, FADES), frame, detailed=False)
        return closed(found | fringe(photo_HWC, filled, found))
    return found


def near(damaged_HW: Tensor, reach: int) -> Tensor:
    """(H, W) bool: within so many pixels of damage."""
    return nn.functional.max_pool2d(damaged_HW.float()[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0


def fringe(photo_HWC: Tensor, filled_HWC: Tensor, damaged_HW: Tensor) -> Tensor:
    """(H, W) bool: pixels beside damage that are a mixture of its colour and of what they would be filled with."""
    side = 2 * FADES + 1
    mask = damaged_HW.to(photo_HWC)[None]
    sums = nn.functional.avg_pool2d(torch.cat([photo_HWC.permute(2, 0, 1) * mask, mask])[None], side, 1, FADES)[0]
    paint = (sums[:-1] / sums[-1:].clamp_min(1e-6)).permute(1, 2, 0) - filled_HWC
    differs = photo_HWC - filled_HWC
    length = paint.square().sum(2)
    share = (differs * paint).sum(2) / length.clamp_min(1e-6)
    beside = (differs - share[..., None] * paint).square().sum(2)
    beyond = ~damaged_HW & (length > SLIGHT**2)
    around = near(damaged_HW, 1) & beyond
    clear = around & (share > CLEAR) & (beside < (PURE * share).square() * length)
    told = torch.stack([share.clamp(-1, 1) * around, *(each.to(share) for each in (around, damaged_HW, clear))])
    shares, border, area, clears = nn.functional.avg_pool2d(told, LOCAL, 1, LOCAL // 2)
    soft = (border > THIN * area) & (shares > FAINT * border)  # strokes, on average not sharp
    soft = soft & (share > FAINT) & (beside < (ASIDE * share).square() * length)
    return near(damaged_HW, FADES) & beyond & (soft | clear & (clears > SOME * border))


def spread(photo_HWC: Tensor, damaged_HW: Tensor) -> Tensor:
    """(H, W) bool: with what adjoins damage and has its colour, again and again: paint goes on where it was found."""
    kernel = torch.ones(photo_HWC.shape[2] + 1, 1, 3, 3).to(photo_HWC)
    image = photo_HWC.permute(2, 0, 1)
    for _ in range(REACH):
        mask = damaged_HW.to(photo_HWC)[None]
        sums = nn.functional.conv2d(torch.cat([image * mask, mask])[None], kernel, padding=1, groups=len(kernel))[0]
        alike = (image - sums[:-1] / sums[-1:].clamp_min(1)).abs().amax(0) < ALIKE
        damaged_HW = damaged_HW | (alike & (sums[-1] > 0))
    return damaged_HW


def padded(seen: Suspicion) -> Suspicion:
    """With sides that the detector's blocks divide."""
    height, width = seen.doubt_BHW.shape[1:]
    extra = (0, -width % FINE, 0, -height % FINE)
    images = torch.cat([seen.doubt_BHW[..., None], seen.values_BHWC, seen.left_BHWC], 3).permute(0, 3, 1, 2)
    doubt, values, left = (
        nn.functional.pad(images, extra, mode="replicate")
        .permute(0, 2, 3, 1)
        .split([1, seen.values_BHWC.shape[3], seen.left_BHWC.shape[3]], 3)
    )
    return Suspicion(doubt[..., 0], values, left)


def closed(damaged_HW: Tensor) -> Tensor:
    """With pixels that damage surrounds."""
    kernel = torch.ones(1, 1, 3, 3, device=damaged_HW.device)
    around = nn.functional.conv2d(damaged_HW.float()[None, None], kernel, padding=1)[0, 0]
    return damaged_HW | (around >= SURROUNDED)
