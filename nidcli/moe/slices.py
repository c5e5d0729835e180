"""How `learn-dict --kind ct --method moe` learns: the slices of `nidcli.ct.teaching`, the training of the paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nidcli.ct.teaching import UNITS
from nidcli.ct.teaching import open_data as open_data
from nidcli.files.slices import SliceScale
from nidcli.moe.learner import MoeLearner
from nidcli.moe.training import Preset as PhotoPreset
from nidcli.moe.training import Trained
from nidcli.moe.training import adjusted as adjusted
from nidcli.moe.training import learner as learner
from nidcli.moe.training import plan as plan
from nidcli.moe.training import save as photo_save


@dataclass(frozen=True, kw_only=True)
class Preset(PhotoPreset):
    """A preset of slices. scale : what the numbers of files mean."""

    scale: SliceScale = field(default_factory=SliceScale)


def save(path: Path, learner: MoeLearner, preset: Preset, command: str, data_digest: str) -> Trained:
    """Measure the finished dictionary on held-out slices and write it."""
    return photo_save(path, learner, preset, command, data_digest, units=UNITS[preset.scale.units])
