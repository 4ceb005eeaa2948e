"""Priors p(z): conditionals that need nothing given."""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.walk import Conditional, Normal


class Standard(Conditional):
    """N(0, I) over latents of the given shape.

    >>> Standard(2)().mean.shape
    torch.Size([1, 2])
    """

    mu: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mu", torch.zeros(1, *shape), persistent=False)

    def forward(self, *given: Tensor) -> Normal:
        return Normal(self.mu, torch.zeros_like(self.mu))
