"""Latents on the unit sphere in D dimensions: D numbers whose squares add up to 1 (1804.00891).

A code that is given, as by a traversal or a straight walk between two codes, is decoded as it is,
on the sphere or off it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaelab.core import Conditional, full_precision
from vaelab.distributions import SphereUniform, VonMisesFisher
from vaelab.parts.posteriors import Posterior

TINY = 1e-12
SHARPEST = 1e6
"""Concentration a dimension that no draw in float32 can tell from a point."""


class Hyperspherical(Posterior):
    """The von Mises–Fisher distribution of which κ μ = 2 D h for a network's output h (B, D).

    h is to it what the mean is to a normal: where x says nothing both are 0, and a little of it
    moves the draws a little. With direction and concentration apart, no gradient finds the way
    back from a concentration near 0.
    """

    params = 1

    def forward(self, *given: Tensor) -> VonMisesFisher:
        h = full_precision(given[0])
        size = h.detach().abs().amax(1, keepdim=True).clamp(min=TINY)
        length = size[:, 0] * (h / size).norm(dim=1)  # without squaring what is large
        sharpness = SHARPEST * torch.tanh(2 * length / SHARPEST)
        return VonMisesFisher(unit(h), h.shape[1] * sharpness)


class UniformSphere(Conditional):
    """The uniform distribution on the unit sphere.

    Args:
        latent: D, at least 2.

    Raises:
        ValueError: where there are fewer dimensions.
    """

    pole: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        if latent < 2:
            raise ValueError(f"latent is {latent}; a sphere needs at least 2 dimensions")
        self.register_buffer("pole", torch.eye(1, latent), persistent=False)

    def forward(self, *given: Tensor) -> SphereUniform:
        return SphereUniform(self.pole)


class Stretch(nn.Module):
    """z ↦ √D z, on which a decoder's input is as large as it is from a normal."""

    def forward(self, z: Tensor) -> Tensor:
        return math.sqrt(z.shape[1]) * z


def unit(t: Tensor) -> Tensor:
    """t / |t| for t (B, D) of any size; the first axis where t is 0, which has no direction."""
    size = t.detach().abs().amax(1, keepdim=True)
    first = F.pad(torch.ones_like(t[:, :1]), (0, t.shape[1] - 1))
    return F.normalize(torch.where(size < TINY, first, t / size.clamp(min=TINY)), dim=1)
