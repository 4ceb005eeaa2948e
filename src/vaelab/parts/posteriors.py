"""Posteriors q(z | h): how the output of a network becomes a distribution over latents.

Each states `params`, the numbers it needs for one latent dimension; a network that feeds it has
`params · L` outputs.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from vaelab.core import Conditional, full_precision
from vaelab.distributions import Dirac, Distribution, FullNormal, Normal

LOG_SCALE_BOUND = 10.0


def bounded(log_scale: Tensor) -> Tensor:
    """The identity near 0, smoothly bounded to ±10: exp() of it can neither overflow nor vanish."""
    return LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)


def split(h: Tensor, params: int) -> tuple[Tensor, ...]:
    """(B, params · C, …) → `params` tensors (B, C, …), in float32 or better."""
    return full_precision(h).unflatten(1, (params, -1)).unbind(1)


class Posterior(Conditional):
    """q(z | h) from a network's output h (B, params · L, …)."""

    params: int

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """The posterior for h (B, params · L, …)."""

    def outputs(self, latent: int) -> int:
        """The numbers it needs for L latent dimensions: params · L, unless it says otherwise."""
        return self.params * latent


class DiagonalNormal(Posterior):
    """N(μ, σ²) with a mean and a log standard deviation for every dimension (1312.6114)."""

    params = 2

    def forward(self, *given: Tensor) -> Normal:
        mu, log_sigma = split(given[0], self.params)
        return Normal(mu, bounded(log_sigma))


class FullCovariance(Posterior):
    """N(μ, L Lᵀ) with L = diag(σ) (I + A/√D), A strictly lower triangular: latents may covary.

    It takes D(D + 3)/2 numbers for D latent dimensions, and for vectors only.
    """

    def outputs(self, latent: int) -> int:
        return latent * (latent + 3) // 2

    def forward(self, *given: Tensor) -> FullNormal:
        h = full_precision(given[0])
        dims = (math.isqrt(9 + 8 * h.shape[1]) - 3) // 2
        mu, log_scale, below = h.split([dims, dims, dims * (dims - 1) // 2], 1)
        log_scale = bounded(log_scale)
        column = torch.arange(dims, device=h.device)
        row = column[:, None]
        # Row by row; what is not below the diagonal is taken from the one 0 behind the entries.
        place = torch.where(column < row, row * (row - 1) // 2 + column, below.shape[1])
        entries = torch.nn.functional.pad(below, (0, 1)).index_select(1, place.flatten())
        lower = entries.unflatten(1, (dims, dims)) / math.sqrt(dims)
        return FullNormal(mu, log_scale, log_scale.exp()[..., None] * lower)


class Point(Posterior):
    """A deterministic code, the posterior of a plain autoencoder."""

    params = 1

    def forward(self, *given: Tensor) -> Dirac:
        return Dirac(full_precision(given[0]))
