r"""Missing cells given the observed ones, by self-normalised importance sampling.

z_k ~ q(z | x_obs)      w_k ∝ p(x_obs | z_k) p(z_k) / q(z_k | x_obs),   Σ_k w_k = 1

p(x_mis | x_obs) ≈ Σ_k w_k p(x_mis | z_k)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.core.draw import Condition
from vaelab.core.model import VAE


@dataclass(frozen=True, eq=False)
class Completion:
    """Weighted draws of whole rows, given their observed cells.

    Reference: MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets, Mattei &
    Frellsen, 2019, arXiv:1812.02633.

    Attributes:
        weights: w (K, B), which sum to 1 over K.
        means: E[x | z_k], (K, B, D).
        draws: x_k ~ p(x | z_k), (K, B, D).
    """

    weights: Tensor
    means: Tensor
    draws: Tensor

    @property
    def mean(self) -> Tensor:
        """E[x | x_obs], (B, D)."""
        return (self.weights[..., None] * self.means).sum(0)

    @property
    def effective_draws(self) -> Tensor:
        """Effective number of draws (ESS), (B,), from 1 to K."""
        return 1 / self.weights.square().sum(0)

    def resample(self, n: int) -> Tensor:
        """n draws of each row from p(x | x_obs): (n, B, D)."""
        chosen = torch.multinomial(self.weights.T, n, replacement=True).T  # (n, B)
        return self.draws[chosen, torch.arange(chosen.shape[1], device=chosen.device)]

    def quantiles(self, *levels: float) -> Tensor:
        """Quantiles of each column given the observed cells, (len(levels), B, D).

        Args:
            levels: probabilities in (0, 1).
        """
        values, order = self.draws.sort(0)
        shares = self.weights[..., None].expand_as(values).gather(0, order).cumsum(0)
        places = [(shares < level).sum(0, keepdim=True) for level in levels]
        return torch.cat([values.gather(0, p.clamp(max=len(values) - 1)) for p in places])

    def modes(self, columns: Sequence[int]) -> Tensor:
        """Most probable value of each of some columns of categories, by the draws: (B, C)."""
        draws = self.draws[..., list(columns)]
        best, most = draws[0].clone(), torch.zeros_like(draws[0])
        for value in draws.unique():
            mass = (self.weights[..., None] * (draws == value)).sum(0)
            best, most = torch.where(mass > most, value, best), torch.maximum(mass, most)
        return best


@torch.no_grad()
def complete(model: VAE, x: Tensor, samples: int, condition: Condition = ()) -> Completion:
    """Draw whole rows given the observed cells of x.

    Args:
        model: model of rows with missing cells.
        x: rows (B, D) at the model's scale; missing cells are NaN.
        samples: number of draws K.
        condition: condition of each row, (B, C), for a conditional model.
    """
    trace = model(x, samples, condition=condition)
    weights = trace.log_weights(x).softmax(0)
    means, draws = trace.likelihood.mean, trace.likelihood.sample()
    return Completion(weights, trace.unfold(means), trace.unfold(draws))
