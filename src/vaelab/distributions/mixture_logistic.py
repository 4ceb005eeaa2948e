r"""A mixture of discretised logistics over grey levels (PixelCNN++, 1701.05517).

P(x) = Σ_k softmax(logits)_k Π_c P(x_c | μ_kc, s_kc)

Each component is a `DiscretizedLogistic`, so that probabilities sum to one over the grid exactly.
The channels of a pixel share the choice of component, and are independent given it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.distributions.base import DiscretizedLogistic, Distribution, gumbel_like, sum_dims


@dataclass(frozen=True, eq=False)
class LogisticMixture(Distribution):
    """K components over the grid {0, 1/(n−1), …, 1} of n = `levels`.

    Attributes:
        logits: of the components: (B, 1, …, K) where the channels of a pixel share one choice,
            (B, C, …, K) where every value has its own.
        mu: locations, (B, C, …, K).
        log_scale: of the logistics, (B, C, …, K).
    """

    logits: Tensor
    mu: Tensor
    log_scale: Tensor
    levels: int = 256

    @property
    def _each(self) -> DiscretizedLogistic:
        """Every component of every value as an example of its own."""
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
