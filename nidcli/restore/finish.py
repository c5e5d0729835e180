"""Between scattered pixels: the mixture's answer, and what a small network adds to it.

    first    the mixture's answer (cells.py), and what it leaves of the known pixels, continued               (fill.py)
    answer   first + share * what the finisher adds

The mixture answers for each cell alone, and linearly, given its kind. The finisher looks at the answers of all cells
together, with which pixels are known, and adds what those usually miss there: edges that run through several cells (a
learned correction after a linear estimate, as Jin, McCann, Froustey and Unser 2017). `share` is that of cells of
which much was asked.

Letters: B photos, H = W pixels of the frame, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nidcli.model import Model
from nidcli.restore.cells import Cells
from nidcli.restore.estimate import FIRST, View, fold, unfold
from nidcli.restore.fill import likeliest
from nidcli.restore.whole import FINE, WholeImage, whole_of


@torch.no_grad()
def between(model: Model, seen: View, guess_BHWC: Tensor) -> Tensor:
    """(B, H, W, C): the guess, with the answers of mixture and finisher where enough is known around."""
    if model.mixture is None:
        return guess_BHWC
    answer_BHWC, share_BHW1 = Cells.of(model, model.mixture).answer(seen, guess_BHWC)
    if model.finisher is None or not bool(share_BHW1.any()):
        return answer_BHWC
    first_BHWC = met(model, seen, answer_BHWC)
    looked = looks(first_BHWC, seen).contiguous(memory_format=torch.channels_last)
    return torch.where(
        seen.share_BHW[..., None] < 1,
        first_BHWC + share_BHW1 * (unfold(model.finisher(looked)) - first_BHWC),
        first_BHWC,
    )


def met(model: Model, seen: View, answer_BHWC: Tensor) -> Tensor:
    """(B, H, W, C): what is known as it is, elsewhere the answer with what it misses of the known pixels, continued."""
    known_BHW, values_BHWC = seen.share_BHW >= 1, seen.carried_BHWC
    rough_P = WholeImage.of(whole_of(model)).rough_P
    continued = answer_BHWC + likeliest(values_BHWC - answer_BHWC, known_BHW, rough_P, FIRST)
    return torch.where(known_BHW[..., None], values_BHWC, continued)


def looks(first_BHWC: Tensor, seen: View) -> Tensor:
    """(B, I, H / FINE, W / FINE): what the finisher sees, the mixture's answer first."""
    return fold(torch.cat([first_BHWC, seen.share_BHW[..., None]], 3))


def finisher_inputs(channels: int) -> int:
    """I."""
    return FINE**2 * (channels + 1)
