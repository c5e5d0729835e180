"""Values at points: (A f)_i = sqrt(w_i) f(x_i)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nidcli.operators.base import Operator


@dataclass(frozen=True, eq=False)
class Sample(Operator):
    """Sample a field at points, each row weighted by the square root of its weight in a sum of squares.

    coords_ND : (N, D) points; weight_N : (N,) not negative, or None for ones.
    """

    coords_ND: Tensor
    weight_N: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.coords_ND),)

    def forward(self, samples: Tensor) -> Tensor:
        if self.weight_N is None:
            return samples
        return samples * self.weight_N.sqrt().to(samples).view(-1, *[1] * (samples.ndim - 1))

    def adjoint(self, measured: Tensor) -> Tensor:
        return self.forward(measured)

    def __getitem__(self, rows: slice) -> Sample:
        return Sample(self.coords_ND[rows], None if self.weight_N is None else self.weight_N[rows])
