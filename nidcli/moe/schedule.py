"""Around a step of training: where weights begin, the rate, Adam's moments, and what a gate does not get to see."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from nidcli.dictionary import Dictionary
from nidcli.model import Model

RAMP = 20  # batches in which the rate rises to its value
HIDDEN = (0.2, 0.6)  # share of a cell's side that is hidden from a gate, at least and at most


def prepare(model: Model) -> Model:
    """Weights that keep the size of signals: He et al. (2015) in relu layers, and a field of about 0.1 at the start.

    SIREN trunks keep their own initialisation.
    """
    with torch.no_grad():
        for number in range(len(model.levels)):
            for bank in model.level(number).banks:
                assert isinstance(bank, Dictionary)
                spec = bank.spec
                if spec.embedding != "siren":
                    for linear in bank.trunk.maps:
                        assert isinstance(linear, nn.Linear)
                        nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
                        nn.init.zeros_(linear.bias)
                bank.head_KCF.normal_(std=0.1 / math.sqrt(bank.head_KCF.shape[2]))
        if model.moe is not None:
            for head in model.moe.heads:
                assert isinstance(head, nn.Linear)
                head.bias[: model.moe.experts] = 0
                head.bias[model.moe.experts :] = 0.5
    return model


def falling(share: float, step: int) -> float:
    """The rate as a share of its largest value: up in the first batches, down to nothing as a cosine."""
    return min(1.0, (step + 1) / RAMP) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def hidden_part(coords_ND: Tensor, cells: int, chance: torch.Generator) -> Tensor:
    """(cells, N) of 0 and 1: a rectangle of every cell is missing, at a place of its own."""
    low, high = HIDDEN
    size_SD = low + (high - low) * torch.rand(cells, coords_ND.shape[1], generator=chance)
    start_SD = -1 + 2 * (1 - size_SD) * torch.rand(cells, coords_ND.shape[1], generator=chance)
    place = coords_ND.cpu()[None]
    inside_SN = ((place >= start_SD[:, None]) & (place < (start_SD + 2 * size_SD)[:, None])).all(2)
    return (~inside_SN).float()


class Moments:
    """Adam (Kingma and Ba 2015), whose moments a checkpoint holds."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float) -> None:
        self.adam = torch.optim.Adam(parameters, lr=rate, fused=True)

    def step(self, loss: Tensor, rate: float) -> None:
        """One descent."""
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()

    def state(self) -> dict[str, Tensor]:
        """Tensors of a checkpoint."""
        state = self.adam.state_dict()["state"]
        return {f"moment.{i}.{key}": value.clone() for i, slot in state.items() for key, value in slot.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up where `state` was taken; the keys are INDEX.NAME."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
        plain = self.adam.state_dict()
        self.adam.load_state_dict({"state": state, "param_groups": plain["param_groups"]})
