"""Distributions over the grid {0, 1/(n−1), …, 1} of n grey levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.distributions.base import Distribution, gumbel_like, logistic_like, sum_dims


@dataclass(frozen=True, eq=False)
class DiscretizedLogistic(Distribution):
    """Discretized logistic distribution over the grid {0, 1/(n−1), …, 1}.

    A logistic density is summed over each bin. The lowest and highest bins take the tails, so
    that the probabilities sum to one exactly.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016,
    arXiv:1606.04934.

    >>> grid = torch.linspace(0, 1, 4)[:, None]
    >>> p = DiscretizedLogistic(torch.tensor([[0.3]]), torch.tensor([[-1.0]]), levels=4).expand(4)
    >>> p.log_prob(grid).exp().sum().round(decimals=4)
    tensor(1.)

    Attributes:
        mu: locations, (B, …).
        log_scale: logarithms of the scales, (B, …).
        levels: number of grid points n.
    """

    mu: Tensor
    log_scale: Tensor
    levels: int = 256

    @property
    def mean(self) -> Tensor:
        # E of the logistic clipped to [0, 1], ∫₀¹ σ((mu − t)/s) dt: the mean over levels up to
        # rounding, and mu itself only if neither tail is cut.
        s = self.log_scale.exp()
        return s * (F.softplus(self.mu / s) - F.softplus((self.mu - 1) / s))

    def log_prob(self, x: Tensor) -> Tensor:
        half = 0.5 / (self.levels - 1)
        precision = torch.exp(-self.log_scale)
        below, above = (x - half - self.mu) * precision, (x + half - self.mu) * precision
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^(a−b)): no cancellation, however sharp or far.
        up_to = torch.where(x > 1 - half, torch.zeros_like(x), F.logsigmoid(above))
        from_on = torch.where(x < half, torch.zeros_like(x), F.logsigmoid(-below))
        inside = torch.log(-torch.expm1(-2 * half * precision))
        edge = (x < half) | (x > 1 - half)
        return sum_dims(up_to + from_on + torch.where(edge, torch.zeros_like(inside), inside))

    def sample(self, temperature: float = 1.0) -> Tensor:
        x = self.mu + temperature * self.log_scale.exp() * logistic_like(self.mu)
        return torch.round(x.clamp(0, 1) * (self.levels - 1)) / (self.levels - 1)


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    """Categorical distribution over the grid {0, 1/(n−1), …, 1}, one logit per level.

    >>> Categorical(torch.zeros(1, 3, 4)).log_prob(torch.ones(1, 3))  # −3 log 4
    tensor([-4.1589])

    Attributes:
        logits: log-probabilities up to a constant, (B, …, n).
    """

    logits: Tensor

    @property
    def _top(self) -> int:
        return self.logits.shape[-1] - 1

    @property
    def mean(self) -> Tensor:
        level = torch.arange(self._top + 1, device=self.logits.device, dtype=self.logits.dtype)
        return torch.softmax(self.logits, -1) @ level / self._top

    def log_prob(self, x: Tensor) -> Tensor:
        level = torch.round(x * self._top).long().expand(self.logits.shape[:-1])
        return sum_dims(torch.log_softmax(self.logits, -1).gather(-1, level[..., None])[..., 0])

    def sample(self, temperature: float = 1.0) -> Tensor:
        level = (self.logits + temperature * gumbel_like(self.logits)).argmax(-1)
        return level.to(self.logits.dtype) / self._top
