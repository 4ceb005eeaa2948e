r"""Mixtures: one of K components, each as likely as its weight.

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
    """A mixture of K components that all examples share.

    Which component an example comes from is drawn at every temperature; temperature scales the
    noise within it, so that 0 gives the components' centres, as often as their weights say.

    Attributes:
        log_weights: log π, (B, K), of weights that sum to 1.
        components: a distribution whose batch is K.

    >>> from vaelab.core import Normal
    >>> halves = Normal(torch.tensor([[-1.0], [3.0]]), torch.zeros(2, 1))
    >>> Mixture(torch.log(torch.tensor([[0.5, 0.5]])), halves).mean
    tensor([[1.]])
    """

    log_weights: Tensor
    components: Distribution

    @property
    def mean(self) -> Tensor:
        """E[z] = Σ_k π_k E_k[z], (B, …): it may lie where there is no mass."""
        return torch.tensordot(self.log_weights.exp(), self.components.mean, 1)

    def log_prob(self, x: Tensor) -> Tensor:
        K = self.log_weights.shape[1]
        # Every example meets every component; mapped, so that no component is copied for it.
        each = torch.func.vmap(lambda one: self.components.log_prob(one.expand(K, *one.shape)))(x)
        return torch.logsumexp(self.log_weights + each, 1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        component = torch.multinomial(self.log_weights.exp(), 1)[:, 0]
        return take(self.components, component).sample(temperature)


def take(distribution: D, index: Tensor) -> D:
    """The distributions of some examples: batch B to the batch of `index` (n,)."""
    chosen = {name: t[index] for name, t in distribution.tensors().items()}
    return cast(D, replace(cast(Any, distribution), **chosen))
