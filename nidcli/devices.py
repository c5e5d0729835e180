"""The device that a run computes on."""

from __future__ import annotations

import os
import warnings

import torch
from torch.utils import deterministic

from nidcli.errors import UsageError


def chosen(name: str) -> str:
    """The device as torch calls it; `auto` is the first of CUDA, MPS and the processor that is there.

    Raises UsageError if this machine has none such.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = next(each for each, here in present.items() if here) if name == "auto" else name
    if not present[device]:
        raise UsageError(f"This machine, or its torch, has no {device}; give --device cpu or auto.")
    if device == "cuda":
        _repeat()
    return device


def _repeat() -> None:
    """Equal seeds give equal files on CUDA too, at the price of slower sums; kernels without such a way are used."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is asked for
    warnings.filterwarnings("ignore", message=".*deterministic")
    torch.use_deterministic_algorithms(True, warn_only=True)
    setattr(deterministic, "fill_uninitialized_memory", False)  # noqa: B010  (a property of the module)
