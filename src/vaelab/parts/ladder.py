r"""Levels of a hierarchy whose posterior meets the decoder's state (ladder VAE, 1602.02282).

p(z|h) = N(prior(h))     q(z|h, e) = N(posterior([h, e]))     h ← h + merge([h, z])

On images the state, the evidence and the latents are maps (B, channels, height, width), and
a level may be followed by a finer one (very deep VAEs, 2011.10650).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaelab.core import Block, Evidence
from vaelab.distributions import Distribution
from vaelab.nets.pyramid import bottleneck, scaled
from vaelab.parts.posteriors import DiagonalNormal


class Root(nn.Module):
    """The learned state above the first latent: n ↦ (n, *shape)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.h = nn.Parameter(torch.zeros(1, *shape))

    def forward(self, n: int) -> Tensor:
        return self.h.expand(n, *self.h.shape[1:])


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


class ConvBlock(Block):
    """One level of L latents a pixel on a state of maps, reading its resolution's evidence.

    The prior starts as N(0, I) and the posterior near it, so that an untrained hierarchy of any
    depth has a small rate.

    Args:
        latent: L.
        width: channels of the decoder's state and of the evidence.
        level: which entry of the evidence it reads.
        below: what becomes of the state once it knows z: residual blocks, and an upsampling where
            the next level is finer.
        gain: of the initial weights by which z enters the state; 1/√N for one of N levels.
    """

    def __init__(
        self, latent: int, width: int, level: int, below: nn.Module, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.level, self.below = level, below
        self.to_prior = bottleneck(width, 2 * latent, 0.0)
        self.to_posterior = bottleneck(2 * width, 2 * latent)
        self.to_state = scaled(nn.Conv2d(latent, width, 1), gain)
        self.normal = DiagonalNormal()

    def prior(self, h: Tensor) -> Distribution:
        return self.normal(self.to_prior(h))

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        return self.normal(self.to_posterior(torch.cat([h, evidence[self.level]], 1)))

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return self.below(h + self.to_state(z.to(h.dtype)))


def _perceptron(inputs: int, outputs: int) -> nn.Sequential:
    width = max(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))
