r"""Levels of a hierarchy whose posterior meets the decoder's state (ladder VAE, 1602.02282).

p(z|h) = N(prior(h))     q(z|h, e) = N(posterior([h, e]))     h ← h + merge([h, z])
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaelab.parts.posteriors import DiagonalNormal
from vaelab.walk import Block, Distribution, Evidence


class Root(nn.Module):
    """The learned state above the first latent: n ↦ (n, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.h = nn.Parameter(torch.zeros(1, width))

    def forward(self, n: int) -> Tensor:
        return self.h.expand(n, -1)


class DenseBlock(Block):
    """One level of L latents on a state of `width`, reading its own level of the evidence.

    Args:
        latent: L.
        width: of the decoder's state and of the evidence.
        level: which entry of the evidence it reads.
    """

    def __init__(self, latent: int, width: int, level: int) -> None:
        super().__init__()
        self.level = level
        self.to_prior = _perceptron(width, 2 * latent)
        self.to_posterior = _perceptron(2 * width, 2 * latent)
        self.to_state = _perceptron(width + latent, width)
        self.normal = DiagonalNormal()

    def prior(self, h: Tensor) -> Distribution:
        return self.normal(self.to_prior(h))

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        return self.normal(self.to_posterior(torch.cat([h, evidence[self.level]], 1)))

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return h + self.to_state(torch.cat([h, z.to(h.dtype)], 1))


def _perceptron(inputs: int, outputs: int) -> nn.Sequential:
    width = max(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))
