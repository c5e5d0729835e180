"""Masks and their ground truth, labelled as changedetection.net does (Goyette et al. 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nidcli.errors import InputError
from nidcli.files.images import as_integers, read_image
from nidcli.files.inputs import Input, match

LABELS = (0, 50, 85, 170, 255)  # background, shadow, outside the region, unknown, moving


@dataclass(frozen=True, eq=False)
class MaskPair:
    """result : (H, W) bool, True where something moves; reference : (H, W) uint8 labels."""

    reference: Path
    result_HW: Tensor
    reference_HW: Tensor

    @property
    def nbytes(self) -> int:
        return 2 * self.reference_HW.numel()


def match_masks(results: Sequence[Input], references: Sequence[Input]) -> list[tuple[Input, Path]]:
    """By stem; where no stem is in common and there are as many of each, in their order (000001 and gt000901)."""
    pairs = match(results, references)
    if len(results) == len(references) and all(pair.problem for pair in pairs):
        return [(result, reference.path) for result, reference in zip(results, references, strict=True)]
    missing = [pair for pair in match(references, results) if pair.problem]  # ground truth without a mask
    return [(replace(pair.input, problem=pair.problem), pair.partner) for pair in [*pairs, *missing]]


def read_masks(result: Path, reference: Path) -> MaskPair:
    """Raises InputError for a file that cannot be read, sizes that differ, and values that are no label."""
    mask_HW, label_HW = (as_integers(read_image(path).pixels, 8)[:, :, 0] for path in (result, reference))
    if mask_HW.shape != label_HW.shape:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (mask_HW.shape, label_HW.shape)]
        raise InputError(
            f"{result} has {sizes[0]} pixels, its reference {reference} {sizes[1]}; bring them to one size."
        )
    strange = sorted(set(np.unique(label_HW).tolist()) - set(LABELS))
    if strange:
        known = ", ".join(map(str, LABELS))
        raise InputError(f"{reference} holds the value {strange[0]}, which is no label; write {known} only.")
    return MaskPair(reference, torch.from_numpy(mask_HW >= 128), torch.from_numpy(np.ascontiguousarray(label_HW)))
