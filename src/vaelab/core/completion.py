r"""Missing cells given the observed ones, by self-normalised importance sampling.

z_k ~ q(z | x_obs)      w_k ∝ p(x_obs | z_k) p(z_k) / q(z_k | x_obs),   Σ_k w_k = 1

p(x_mis | x_obs) ≈ Σ_k w_k p(x_mis | z_k)
"""

from __future__ import annotations

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
        chosen = torch.multinomial(self.weights.T, n, replacement=True)  # (B, n)
        return self.draws[chosen, torch.arange(len(chosen), device=chosen.device)[:, None]].movedim(
            1, 0
        )

    def quantiles(self, *levels: float) -> Tensor:
        """Quantiles of each column given the observed cells, (len(levels), B, D).

        Args:
            levels: probabilities in (0, 1).
        """
        values, order = self.draws.sort(0)
        shares = self.weights[..., None].expand_as(values).gather(0, order).cumsum(0)
        wanted = shares.new_tensor(levels).clamp(max=1 - 1e-6)
        places = [
            (shares < level).sum(0, keepdim=True).clamp(max=len(values) - 1) for level in wanted
        ]
        return torch.cat([values.gather(0, place) for place in places])

    def modes(self) -> Tensor:
        """Most probable value of each column among the draws, (B, D); for categories."""
        best, most = self.draws[0], torch.zeros_like(self.draws[0])
        for value in self.draws.unique():
            mass = (self.weights[..., None] * (self.draws == value)).sum(0)
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
