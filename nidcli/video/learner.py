"""Learning the background of one fixed camera: the windows of a clip, a step each; some frames are kept to judge by.

The scene of a window is learned as `decompose-video` does. Nothing is drawn at random, and a window starts from the
picture of the one before. A checkpoint holds the picture that the latest window started from: a resumed run learns
that window again, and ends in the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from nidcli.errors import InputError, UsageError
from nidcli.files.video import Clip, Frame
from nidcli.model import Model
from nidcli.progress import Place, Progress
from nidcli.video.judging import Judged, judged
from nidcli.video.learning import learn
from nidcli.video.windows import LEAST, SAMPLES, STRIDE, pace, stacked, stored_picture, walk

HELD = 8  # of so many frames one is held out, unless it is said how many


@dataclass(frozen=True)
class SceneModel:
    """What a preset says of the model: all else follows from the clip."""

    kind: Literal["video"] = "video"


@dataclass(frozen=True, kw_only=True)
class SceneSpec:
    """How the background of a clip is learned."""

    model: SceneModel = SceneModel()
    samples: int = SAMPLES  # frames of a window, at the most
    stride: int = STRIDE  # frames from one to the next, at the most
    holdout: int = 0  # frames of a window to judge by, not learned from; 0 is an eighth
    seed: int = 0  # recorded; nothing is drawn at random

    def __post_init__(self) -> None:
        if self.samples < LEAST or self.stride < 1 or self.holdout < 0:
            raise ValueError(f"a window holds {LEAST} samples or more, a stride is 1 or more, and a holdout 0 or more")


@dataclass(frozen=True)
class Camera:
    """The clip to learn from. warn : is told, in a sentence, what the user should know."""

    clip: Clip
    warn: Callable[[str], None]

    @property
    def digest(self) -> str:
        """sha256 of the clip."""
        return self.clip.digest


@dataclass(frozen=True)
class Windows:
    """How many steps a run has: one for each window."""

    steps: int


@dataclass(frozen=True, eq=False)
class Background:
    """What a window brought."""

    model: Model
    judged: Judged


class SceneLearner:
    """The state of a run. held : numbers of the frames held out; samples : how many were learned from so far."""

    def __init__(self, spec: SceneSpec, camera: Camera, device: str = "cpu", limit: float | None = None) -> None:
        clip = camera.clip
        self.scene_spec, self.camera, self.device, self.limit = spec, camera, device, limit
        count, self.every = pace(clip, spec.samples, spec.stride)
        looked = -(-clip.count // self.every)
        self.window = min(count, looked)
        self.holdout = spec.holdout or self.window // HELD
        if self.holdout > self.window // 2:
            told = f"--holdout {self.holdout} is more than half of the {self.window} frames of {clip.path} in a window"
            raise UsageError(f"{told}; ask for fewer.")
        numbers = range(1, clip.count + 1, self.every)
        self.held = [number for number in numbers if self._is_held(number)]
        self.spec = Windows(1 + -(-max(0, looked - count) // (count // 2)))
        self.place, self.samples = Place("scene"), 0
        self.background: Background | None = None
        self._start: Tensor | None = None  # the picture from which the latest window started

    def run(self) -> Iterator[Progress]:
        """Every window; the one at which a checkpoint stands is learned again, and not told again.

        Raises InputError where no frame can be decoded.
        """
        place, spec, clip = self.place, self.scene_spec, self.camera.clip
        began, told, so_far, last, longest = time.monotonic() - place.seconds, place.step, self._start, 0, 0.0
        before = time.monotonic()
        for step, frames in enumerate(walk(clip, spec.samples, spec.stride), 1):
            kept = [frame for frame in frames if not self._is_held(frame.number)] or frames
            self.samples, last = self.samples + sum(frame.number > last for frame in kept), frames[-1].number
            if step < told:
                continue
            self._start = so_far
            so_far = self._look(kept, [] if kept is frames else [f for f in frames if self._is_held(f.number)], so_far)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
            if step > told:
                place.step, place.seconds = step, time.monotonic() - began
                yield self._told()
            if self.limit and step < self.spec.steps and time.monotonic() - began + longest > self.limit:
                self.camera.warn(
                    f"The time limit ends the run; the last {clip.count - last} frames were not looked at."
                )
                break
        if self.background is None:
            raise InputError(f"{clip.path} holds no frame that can be decoded; give another file.")

    def _look(self, kept: list[Frame], held: list[Frame], so_far: Tensor | None) -> Tensor:
        """Learn a window from `kept`, judge it by `held`; the picture that the next one starts from."""
        samples_THWC = stacked(kept, self.device)
        scene = learn(samples_THWC, so_far)
        held_THWC = stacked(held, self.device) if held else samples_THWC[:0]
        self.background = Background(scene.model, judged(scene, samples_THWC, held_THWC))
        return stored_picture(scene.model, self.camera.clip)

    def state(self) -> dict[str, Tensor]:
        """Tensors of a checkpoint."""
        return {} if self._start is None else {"picture": self._start.cpu()}

    def restore(self, tensors: dict[str, Tensor], place: Place) -> None:
        """Go on from a checkpoint of a run with the same spec and clip."""
        self.place = place
        self._start = tensors["picture"].to(self.device) if place.step > 1 else None

    def _is_held(self, number: int) -> bool:
        """Of the frames looked at, `holdout` of any `window` that follow one another, evenly spread."""
        place, half = (number - 1) // self.every, self.window // 2
        return (place * self.holdout + half) // self.window < ((place + 1) * self.holdout + half) // self.window

    def _told(self) -> Progress:
        p = self.place
        assert self.background is not None
        psnr = self.background.judged.psnr
        steps = max(p.step, self.spec.steps)
        return Progress(p.stage, 0, 0, p.step, steps, round(p.seconds, 3), None if math.isnan(psnr) else round(psnr, 3))
