r"""Mixture distributions.

log p(z) = log Σ_k exp(log π_k + log p_k(z))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution

D = TypeVar("D", bound=Distribution)


@dataclass(frozen=True, eq=False)
class Mixture(Distribution):
    """Mixture of K components, the same for all examples.

    The component of a draw is random at every temperature; temperature scales the noise within it,
    so that 0 gives the centres of the components in proportion to their weights.

    >>> from vaelab.distributions import Normal
    >>> halves = Normal(torch.tensor([[-1.0], [3.0]]), torch.zeros(2, 1))
    >>> Mixture(torch.log(torch.tensor([[0.5, 0.5]])), halves).mean
    tensor([[1.]])

    Attributes:
        log_weights: log π, (B, K), of weights that sum to 1.
        components: distribution whose batch is K.
    """

    log_weights: Tensor
    components: Distribution

    @property
    def mean(self) -> Tensor:
        """E[z] = Σ_k π_k E_k[z], (B, …), which may lie in a region without mass."""
        return torch.tensordot(self.log_weights.exp(), self.components.mean, 1)

    def log_prob(self, x: Tensor) -> Tensor:
        K = self.log_weights.shape[1]
        # Every example is evaluated under every component; vmap copies no component.
        each = torch.func.vmap(lambda one: self.components.log_prob(one.expand(K, *one.shape)))(x)
        return torch.logsumexp(self.log_weights + each, 1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        component = torch.multinomial(self.log_weights.exp(), 1)[:, 0]
        return take(self.components, component).sample(temperature)


def take(distribution: D, index: Tensor) -> D:
    """Select the distributions of some examples: batch B to the batch of `index` (n,)."""
    chosen = {name: t[index] for name, t in distribution.tensors().items()}
    return cast(D, replace(cast(Any, distribution), **chosen))
