"""Half precision where a device computes in it: bfloat16, which keeps the range of float32 and two to three digits.

Elsewhere PyTorch imitates it and takes up to a hundred times as long as for float32, so there it is float32.
"""

from __future__ import annotations

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32 there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())


def half(device: torch.device) -> torch.dtype:
    """What a number takes that need not be exact."""
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def halved(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Inside, products and convolutions have bfloat16 factors, where that is wanted and faster."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and has_bfloat16(device))
