"""Latents on the unit sphere in D dimensions (1804.00891).

A code supplied from outside, as by a traversal or a line between two codes, is decoded unchanged,
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
"""Largest concentration per dimension; float32 draws are then indistinguishable from a point."""


class Hyperspherical(Posterior):
    """Von Mises–Fisher posterior with κ μ = 2 D h for a network's output h (B, D).

    h plays the role of a normal's mean: without information from x both are 0, and a small h moves
    the draws a little. With separate outputs for direction and concentration, no gradient leads
    back from a concentration near 0.

    Reference: Hyperspherical Variational Auto-Encoders, Davidson et al., 2018, arXiv:1804.00891.

    >>> Hyperspherical()(torch.tensor([[3.0, 4.0]])).mu
    tensor([[0.6000, 0.8000]])
    """

    params = 1

    def forward(self, *given: Tensor) -> VonMisesFisher:
        h = full_precision(given[0])
        size = h.detach().abs().amax(1, keepdim=True).clamp(min=TINY)
        length = size[:, 0] * (h / size).norm(dim=1)  # without squaring what is large
        sharpness = SHARPEST * torch.tanh(2 * length / SHARPEST)
        return VonMisesFisher(unit(h), h.shape[1] * sharpness)


class UniformSphere(Conditional):
    """Uniform prior on the unit sphere.

    >>> UniformSphere(3)().expand(5).sample().shape
    torch.Size([5, 3])

    Args:
        latent: number of dimensions D, at least 2.

    Raises:
        ValueError: if there are fewer dimensions.
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
    """Scale z by √D, so that a decoder's input has the size of a normal's draw."""

    def forward(self, z: Tensor) -> Tensor:
        return math.sqrt(z.shape[1]) * z


def unit(t: Tensor) -> Tensor:
    """Return t / |t| for t (B, D) of any size; the first axis for t = 0."""
    size = t.detach().abs().amax(1, keepdim=True)
    first = F.pad(torch.ones_like(t[:, :1]), (0, t.shape[1] - 1))
    return F.normalize(torch.where(size < TINY, first, t / size.clamp(min=TINY)), dim=1)
