"""What the encoder of each kind of dictionary learns from: partial observations of images, and their truths."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nidcli.errors import UsageError
from nidcli.model import Model
from nidcli.sampling import Collection

Observe = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]

Part = Literal["observer", "detector_observer", "finisher_observer"]

# Kind: the module whose `observer(model)` gives an Observe, and the others those for detector and finisher.
OBSERVERS: dict[str, str] = {"image": "nidcli.restore.observing", "ct": "nidcli.ct.observer"}


def observer(model: Model, name: Part = "observer") -> Observe:
    """(B, H, W, C) images and chance -> what the encoder sees (B, inputs, H, W), and should say (B, C, H, W).

    Raises UsageError for a kind whose dictionaries have no encoder.
    """
    if model.spec.kind not in OBSERVERS:
        raise UsageError(f"Dictionaries of kind {model.spec.kind} have no encoder; leave `encoder` out of the preset.")
    module = importlib.import_module(OBSERVERS[model.spec.kind])
    if not hasattr(module, name):
        what = name.removesuffix("_observer")
        raise UsageError(f"Dictionaries of kind {model.spec.kind} have no {what}; leave `{what}` out of the preset.")
    observe: Observe = getattr(module, name)(model)
    return observe


@dataclass(frozen=True)
class Observations:
    """Batches for the encoder: some of the first `train` images of a collection, every second batch mirrored."""

    collection: Collection
    observe: Observe
    train: int
    size: int
    batch: int
    flip: bool

    def pairs(self, step: int, chance: torch.Generator, device: str) -> tuple[Tensor, Tensor]:
        """(B, inputs, H, W) seen and (B, C, H, W) true."""
        drawn = torch.randperm(self.train, generator=chance)[: self.batch].tolist()
        images = torch.stack([self.collection.image(i, self.size) for i in drawn]).to(device)
        return self.observe(images.flip(2) if self.flip and step % 2 else images, chance)
