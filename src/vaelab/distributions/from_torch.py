"""Distributions of torch as distributions here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vaelab.distributions.base import Distribution, sum_dims


@dataclass(frozen=True, eq=False)
class FromTorch(Distribution):
    """A `torch.distributions.Distribution` with batch (B, …), as a prior or posterior.

    Its log-probability is summed over all dimensions but the first. At a temperature below 1 a draw
    moves towards the mean.

    >>> import torch
    >>> p = FromTorch(torch.distributions.Normal(torch.zeros(1, 3), torch.ones(1, 3)))
    >>> p.expand(5).sample().shape, p.log_prob(torch.zeros(2, 3)).shape
    (torch.Size([5, 3]), torch.Size([2]))

    Args:
        torch_distribution: distribution with batch and event shape (B, …).
    """

    torch_distribution: Any

    def log_prob(self, x: Tensor) -> Tensor:
        return sum_dims(self.torch_distribution.log_prob(x))

    def sample(self, temperature: float = 1.0) -> Tensor:
        made = self.torch_distribution
        draw: Tensor = made.rsample() if made.has_rsample else made.sample()
        return draw if temperature == 1 else self.mean + temperature * (draw - self.mean)

    @property
    def mean(self) -> Tensor:
        return self.torch_distribution.mean

    def expand(self, n: int) -> FromTorch:
        """The distribution with a batch of n, from a batch of 1."""
        shape = self.torch_distribution.batch_shape
        return FromTorch(self.torch_distribution.expand((n, *shape[1:])))
