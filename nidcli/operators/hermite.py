"""Values and gradients at points: (A f)_i = (v_i f(x_i), g_i df/dx_1 (x_i), ..., g_i df/dx_D (x_i)).

What a surface's points with normals say of its distance field: zero, and the normal (Hermite data).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nidcli.operators.base import Operator


@dataclass(frozen=True, eq=False)
class Hermite(Operator):
    """Measure jets, (N, 1 + D, *): the value and the partial derivatives at each point.

    coords_ND : points; value_N, gradient_N : what the rows of a point are multiplied by, None for ones. M = N (1 + D)
    rows, point by point. `start` and `stop` cut rows off both ends.
    """

    coords_ND: Tensor
    value_N: Tensor | None = None
    gradient_N: Tensor | None = None
    start: int = 0
    stop: int | None = None

    order = 1

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(range(self._rows)[self.start : self.stop]),)

    @property
    def _rows(self) -> int:
        return len(self.coords_ND) * (1 + self.coords_ND.shape[1])

    def forward(self, samples: Tensor) -> Tensor:
        N, D = self.coords_ND.shape
        ones = torch.ones(N, dtype=samples.dtype, device=samples.device)
        value_N = ones if self.value_N is None else self.value_N.to(samples)
        gradient_N = ones if self.gradient_N is None else self.gradient_N.to(samples)
        weight_NX = torch.cat([value_N[:, None], gradient_N[:, None].expand(N, D)], 1)
        weighted = samples * weight_NX.view(N, 1 + D, *[1] * (samples.ndim - 2))
        return weighted.flatten(0, 1)[self.start : self.stop]

    def __getitem__(self, rows: slice) -> Hermite:
        first, last, _ = rows.indices(self.shape[0])
        first, last = first + self.start, max(first, last) + self.start
        width = 1 + self.coords_ND.shape[1]
        low, high = first // width, -(-last // width)
        cut = slice(low, high)
        value_N = None if self.value_N is None else self.value_N[cut]
        gradient_N = None if self.gradient_N is None else self.gradient_N[cut]
        return Hermite(self.coords_ND[cut], value_N, gradient_N, first - low * width, last - low * width)
