"""Posteriors q(z | h): distributions over latents from the output of a network.

Each states `params`, the number of parameters per latent dimension; a network that feeds it has
`params · L` outputs.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from vaelab.core import Conditional, full_precision
from vaelab.distributions import Dirac, Distribution, FullNormal, Normal

LOG_SCALE_BOUND = 10.0


def bounded(log_scale: Tensor) -> Tensor:
    """Bound a log-scale smoothly to ±10, near the identity around 0, so that exp is safe."""
    return LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)


def unbounded(log_scale: Tensor) -> Tensor:
    """Inverse of `bounded`, for |log_scale| below 10."""
    return LOG_SCALE_BOUND * torch.atanh(log_scale / LOG_SCALE_BOUND)


def split(h: Tensor, params: int) -> tuple[Tensor, ...]:
    """Split (B, params · C, …) into `params` tensors (B, C, …), in float32 or better."""
    return full_precision(h).unflatten(1, (params, -1)).unbind(1)


class Posterior(Conditional):
    """Posterior q(z | h) of a network's output h (B, params · L, …)."""

    params: int

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """Return the posterior for h (B, params · L, …)."""

    def outputs(self, latent: int) -> int:
        """Number of network outputs for L latent dimensions: params · L by default."""
        return self.params * latent

    def zeros(self, latent: int) -> Sequence[int]:
        """Network outputs that start at 0 for L latent dimensions: none by default.

        They are log-scales, so that first draws are of the size of draws of N(0, I).
        """
        return ()


class DiagonalNormal(Posterior):
    """Diagonal normal posterior N(μ, σ²).

    Reference: Auto-Encoding Variational Bayes, Kingma & Welling, 2013, arXiv:1312.6114.

    >>> q = DiagonalNormal()
    >>> q(torch.randn(5, q.outputs(latent=2))).sample().shape
    torch.Size([5, 2])
    """

    params = 2

    def zeros(self, latent: int) -> Sequence[int]:
        return range(latent, 2 * latent)

    def forward(self, *given: Tensor) -> Normal:
        mu, log_sigma = split(given[0], self.params)
        return Normal(mu, bounded(log_sigma))


class FullCovariance(Posterior):
    """Normal posterior with a full covariance, N(μ, L Lᵀ): latents may covary.

    L = diag(σ) (I + A/√D) with A strictly lower triangular. It takes D(D + 3)/2 outputs for D
    latent dimensions, and applies to vectors only.

    >>> q = FullCovariance()
    >>> q(torch.randn(5, q.outputs(latent=3))).factor.shape
    torch.Size([5, 3, 3])
    """

    def outputs(self, latent: int) -> int:
        return latent * (latent + 3) // 2

    def zeros(self, latent: int) -> Sequence[int]:
        return range(latent, self.outputs(latent))

    def forward(self, *given: Tensor) -> FullNormal:
        h = full_precision(given[0])
        dims = (math.isqrt(9 + 8 * h.shape[1]) - 3) // 2
        mu, log_scale, below = h.split([dims, dims, dims * (dims - 1) // 2], 1)
        log_scale = bounded(log_scale)
        column = torch.arange(dims, device=h.device)
        row = column[:, None]
        # Row by row; entries on and above the diagonal take the one 0 behind the entries.
        place = torch.where(column < row, row * (row - 1) // 2 + column, below.shape[1])
        entries = torch.nn.functional.pad(below, (0, 1)).index_select(1, place.flatten())
        lower = entries.unflatten(1, (dims, dims)) / math.sqrt(dims)
        return FullNormal(mu, log_scale, log_scale.exp()[..., None] * lower)


class Point(Posterior):
    """Deterministic code, the posterior of a plain autoencoder.

    >>> Point()(torch.ones(1, 2)).sample()
    tensor([[1., 1.]])
    """

    params = 1

    def forward(self, *given: Tensor) -> Dirac:
        return Dirac(full_precision(given[0]))
