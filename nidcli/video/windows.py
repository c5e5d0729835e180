"""Which background holds when: scenes learned from samples around, before and after, a stretch of the clip.

A second reader runs ahead and keeps a few frames. The samples of a window reach beyond the stretch on both sides, so
that the first frames of a clip are as good as its last; half of them are new from one window to the next, and the
picture so far is where the next one starts. Memory does not follow the length of the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from nidcli.files.video import Clip, Frame
from nidcli.model import Model
from nidcli.video.learning import around, learn
from nidcli.video.scene import Scene, picture

SAMPLES, LEAST = 64, 8  # of a window, at the most and at the least
STRIDE = 25  # frames between two samples, in a clip that is longer than one window
SAMPLE_BYTES = 200 << 20  # of all samples


@dataclass(frozen=True, eq=False)
class Window:
    """A scene that holds up to frame `until` (the end of the clip where None), and what it was learned from."""

    scene: Scene
    samples_THWC: Tensor
    until: int | None


def pace(clip: Clip, samples: int, stride: int) -> tuple[int, int]:
    """How many frames a window holds, and how many frames of the clip lie from one to the next."""
    count = max(LEAST, min(samples, SAMPLE_BYTES // (3 * clip.width * clip.height)))
    return count, min(stride, max(1, -(-clip.count // count)))


def walk(clip: Clip, samples: int, stride: int) -> Iterator[list[Frame]]:
    """The frames of every window; the next ones are read when they are asked for."""
    count, every = pace(clip, samples, stride)
    scout = clip.frames(every)
    held = coming = list(islice(scout, count))
    while coming:
        yield held
        coming = list(islice(scout, count // 2))
        held = held[len(coming) :] + coming


def windows(clip: Clip, device: str, known: Model | None = None) -> Iterator[Window]:
    """The windows of a clip in their order. known : a background that is not learned again, only its noise."""
    found, until, so_far = None, 0, None
    for frames in walk(clip, SAMPLES, STRIDE):
        if found is not None:
            yield replace(found, until=until)
        samples_THWC = stacked(frames, device)
        if known is not None:
            scene = Scene(known, around(known, samples_THWC)[1])
        else:
            scene = learn(samples_THWC, so_far)
            so_far = stored_picture(scene.model, clip)
        found, until = Window(scene, samples_THWC, None), frames[3 * len(frames) // 4].number
    if found is not None:
        yield found


def stored_picture(model: Model, clip: Clip) -> Tensor:
    """(H, W, C) in 0 ... 1: what the next window starts from."""
    return picture(model, clip.width, clip.height).clamp(0, 1)


def stacked(frames: list[Frame], device: str) -> Tensor:
    """(T, H, W, 3) uint8."""
    return torch.from_numpy(np.stack([frame.pixels for frame in frames])).to(device)
