"""Which background holds when: scenes learned from samples around, before and after, a stretch of the clip.

A second reader runs ahead and keeps a few frames. The samples of a window reach beyond the stretch on both sides, so
that the first frames of a clip are as good as its last; half of them are new from one window to the next, and the
picture so far is where the next one starts. Memory does not follow the length of the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from nidcli.files.video import Clip, Frame
from nidcli.model import Model
from nidcli.video.learning import around, learn
from nidcli.video.scene import Scene, picture

SAMPLES = 64  # of a window
STRIDE = 25  # frames between two samples, in a clip that is longer than one window
SAMPLE_BYTES = 200 << 20  # of all samples


@dataclass(frozen=True, eq=False)
class Window:
    """A scene that holds up to frame `until` (the end of the clip where None), and what it was learned from."""

    scene: Scene
    samples_THWC: Tensor
    until: int | None


def windows(clip: Clip, device: str, known: Model | None = None) -> Iterator[Window]:
    """The windows of a clip in their order. known : a background that is not learned again, only its noise."""
    count = max(8, min(SAMPLES, SAMPLE_BYTES // (3 * clip.width * clip.height)))
    stride = min(STRIDE, max(1, -(-clip.count // count)))
    scout = clip.frames(stride)
    held, so_far = list(islice(scout, count)), None
    while held:
        samples_THWC = _stacked(held, device)
        if known is not None:
            scene = Scene(known, around(known, samples_THWC)[1])
        else:
            scene = learn(samples_THWC, so_far)
            so_far = picture(scene.model, clip.width, clip.height).clamp(0, 1)
        coming = list(islice(scout, count // 2))
        yield Window(scene, samples_THWC, held[3 * len(held) // 4].number if coming else None)
        held = held[len(coming) :] + coming if coming else []


def _stacked(frames: list[Frame], device: str) -> Tensor:
    return torch.from_numpy(np.stack([frame.pixels for frame in frames])).to(device)
