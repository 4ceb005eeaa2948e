r"""Mixture of discretized logistics over grey levels.

P(x) = Σ_k softmax(logits)_k Π_c P(x_c | μ_kc, s_kc)

Each component is a `DiscretizedLogistic`, so that probabilities sum to one over the grid exactly.
The channels of a pixel share the choice of component, and are independent given it.

Reference: PixelCNN++, Salimans et al., 2017, arXiv:1701.05517.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.distributions.base import DiscretizedLogistic, Distribution, gumbel_like, sum_dims


@dataclass(frozen=True, eq=False)
class LogisticMixture(Distribution):
    """Mixture of K discretized logistics over the grid {0, 1/(n−1), …, 1}.

    >>> logits, mu = torch.zeros(1, 1, 2), torch.tensor([[[0.2, 0.8]]])
    >>> p = LogisticMixture(logits, mu, log_scale=mu * 0 - 2, levels=4).expand(4)
    >>> p.log_prob(torch.linspace(0, 1, 4)[:, None]).exp().sum().round(decimals=4)
    tensor(1.)

    Attributes:
        logits: log-weights of the components: (B, 1, …, K) if the channels of a pixel share one
            choice, (B, C, …, K) if every value has its own.
        mu: locations, (B, C, …, K).
        log_scale: logarithms of the scales, (B, C, …, K).
        levels: number of grid points n.
    """

    logits: Tensor
    mu: Tensor
    log_scale: Tensor
    levels: int = 256

    @property
    def _each(self) -> DiscretizedLogistic:
        """Every component of every value as a separate example."""
        return DiscretizedLogistic(self.mu.flatten(), self.log_scale.flatten(), self.levels)

    @property
    def mean(self) -> Tensor:
        each = self._each.mean.view_as(self.mu)
        return (torch.softmax(self.logits, -1) * each).sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        each = self._each.log_prob(x[..., None].expand_as(self.mu).flatten()).view_as(self.mu)
        shared = each.sum(1, keepdim=True) if self.logits.shape[1] == 1 else each
        return sum_dims(torch.logsumexp(torch.log_softmax(self.logits, -1) + shared, -1))

    def sample(self, temperature: float = 1.0) -> Tensor:
        noisy = self.logits + temperature * gumbel_like(self.logits)
        chosen = noisy.argmax(-1, keepdim=True)
        chosen = chosen.expand(*self.mu.shape[:-1], 1)
        mu, log_scale = (t.gather(-1, chosen)[..., 0] for t in (self.mu, self.log_scale))
        return DiscretizedLogistic(mu, log_scale, self.levels).sample(temperature)
