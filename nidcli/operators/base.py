"""A measurement of a field: y = A f, linear.

An operator says where it looks (`coords_ND`) and how it combines the samples found there (`forward`); it knows nothing
of dictionaries. One `forward` measures everything: A.forward(atoms) is the design, A.forward(field) the data,
A.forward(noise) the dot test. The adjoint is derived from `forward` and so is exact by construction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Operator(ABC):
    """A: samples at N points -> M measurements, for any trailing axes."""

    coords_ND: Tensor
    order = (
        0  # of the derivatives it needs: samples are values (N, *), or with 1 jets (N, 1 + D, *), value and gradient
    )

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Layout of the M measurements."""

    @abstractmethod
    def forward(self, samples: Tensor) -> Tensor:
        """(N, *) -> (M, *); of jets (N, 1 + D, *) -> (M, *)."""

    def adjoint(self, measured: Tensor) -> Tensor:
        """(M, *) -> samples: the transpose of `forward`, by reverse differentiation of a linear map."""
        with torch.enable_grad():
            jet = (1 + self.coords_ND.shape[1],) if self.order else ()
            start = measured.new_zeros(len(self.coords_ND), *jet, *measured.shape[1:], requires_grad=True)
            (transposed,) = torch.autograd.grad(self.forward(start), start, measured)
        return transposed

    @abstractmethod
    def __getitem__(self, rows: slice) -> Operator:
        """The operator of some measurements only: chunks, minibatches, held-out rows."""
