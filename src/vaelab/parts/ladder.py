r"""Levels of a ladder: posteriors that read the decoder's state (ladder VAE, 1602.02282).

p(z|h) = N(prior(h))     q(z|h, e) = N(posterior([h, e]))     h ← h + merge([h, z])

On images the state, the evidence and the latents are maps (B, channels, height, width), and a level
may be followed by one of finer resolution (very deep VAEs, 2011.10650).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaelab.core import Block, Evidence
from vaelab.distributions import Distribution
from vaelab.nets import perceptron
from vaelab.nets.init import conv
from vaelab.nets.pyramid import bottleneck
from vaelab.parts.posteriors import DiagonalNormal

QUIET = 0.1
"""Gain of the posteriors' means on maps, which have many more latents than the data has numbers: at
gain 1 their rate alone would exceed the data's own nats at first."""


class Root(nn.Module):
    """Learned state above the first latent: n ↦ (n, *shape)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.h = nn.Parameter(torch.zeros(1, *shape))

    def forward(self, n: int) -> Tensor:
        return self.h.expand(n, *self.h.shape[1:])


class DenseBlock(Block):
    """Level of L latents on a state vector, reading its own entry of the evidence.

        p(z|h) = N(prior(h))     q(z|h, e) = N(posterior([h, e]))     h ← h + merge([h, z])

    Reference: Ladder Variational Autoencoders, Sønderby et al., 2016, arXiv:1602.02282.

    >>> block, h = DenseBlock(latent=2, width=8, level=0), torch.randn(5, 8)
    >>> block.merge(h, block.posterior(h, (h,)).sample()).shape
    torch.Size([5, 8])

    Args:
        latent: number of latent dimensions L.
        width: width of the decoder's state and of the evidence.
        level: index of its entry of the evidence.
        gain: gain of the initial weights by which z enters the state; 1/√N for one of N levels.
    """

    def __init__(self, latent: int, width: int, level: int, gain: float = 1.0) -> None:
        super().__init__()
        self.level, self.normal = level, DiagonalNormal()
        self.to_prior = _perceptron(width, 2 * latent, 0.0)
        self.to_posterior = _perceptron(2 * width, 2 * latent, zeros=self.normal.zeros(latent))
        self.to_state = _perceptron(width + latent, width, gain)

    def prior(self, h: Tensor) -> Distribution:
        return self.normal(self.to_prior(h))

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        return self.normal(self.to_posterior(torch.cat([h, evidence[self.level]], 1)))

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return h + self.to_state(torch.cat([h, z.to(h.dtype)], 1))


class ConvBlock(Block):
    """Level of L latents per pixel on a state of maps, reading the evidence of its resolution.

    The prior starts as N(0, I) and the posterior near it, so that an untrained hierarchy of any
    depth has a small rate.

    Reference: Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on Images,
    Child, 2020, arXiv:2011.10650.

    >>> block = ConvBlock(latent=2, width=8, level=0, below=nn.Identity())
    >>> h = torch.randn(5, 8, 4, 4)
    >>> block.merge(h, block.posterior(h, (h,)).sample()).shape
    torch.Size([5, 8, 4, 4])

    Args:
        latent: number of latent channels L.
        width: channels of the decoder's state and of the evidence.
        level: index of its entry of the evidence.
        below: module applied to the state after z has been merged: residual blocks, and an
            upsampling if the next level is finer.
        gain: scale of the initial weights by which z enters the state; 1/√N for one of N levels.
    """

    def __init__(
        self, latent: int, width: int, level: int, below: nn.Module, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.level, self.below, self.normal = level, below, DiagonalNormal()
        self.to_prior = bottleneck(width, 2 * latent, 0.0)
        self.to_posterior = bottleneck(2 * width, 2 * latent, QUIET, self.normal.zeros(latent))
        # g = 1/√2 keeps the variance of inputs that no GELU has reduced.
        self.to_state = conv(latent, width, 1, gain=gain * 0.5**0.5)

    def prior(self, h: Tensor) -> Distribution:
        return self.normal(self.to_prior(h))

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        return self.normal(self.to_posterior(torch.cat([h, evidence[self.level]], 1)))

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return self.below(h + self.to_state(z.to(h.dtype)))


def _perceptron(
    inputs: int, outputs: int, gain: float = 1.0, zeros: Sequence[int] = ()
) -> nn.Sequential:
    return perceptron([inputs, max(inputs, outputs), outputs], gain, zeros)
