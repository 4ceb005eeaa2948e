"""Test that all latents of a model are continuous and unconstrained, as Hamiltonian moves need."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.core import VAE, Condition, Given, fork_rng
from vaelab.metrics.hamiltonian import gradient

TRIALS, NUMBERS = 1024, 256
"""Draws of the prior by which latents are seen to be free real numbers, and how many of these are
looked at together."""


def check_continuous(model: VAE, condition: Condition = ()) -> None:
    """Raise an error unless all latents are continuous and unconstrained.

    Args:
        model: on any device.
        condition: condition of one example, ((1, C),), for a conditional model.

    Raises:
        TypeError: if a latent is discrete or constrained.
    """
    if why := confined(model, condition):
        raise TypeError(
            f"{why}: annealing with Hamiltonian moves needs a density there, so AIS and BDMC are "
            "not defined. The importance-weighted bound is"
        )


def confined(model: VAE, condition: Condition = ()) -> str:
    """Description of the first constrained latent; empty if there is none.

    A density on all of R^L fulfils Stein's identity E Σ_j f'(z_j) + f(z_j) ∂_j log p(z) = 0, here
    with f the hyperbolic tangent of the standardised z_j; codes, one-hot vectors and points of a
    sphere do not. Points of a simplex leave a direction without spread, and their logarithms one
    along which the density stays as it is. All are tested at draws of the prior.

    Args:
        model: on any device.
        condition: condition of one example, ((1, C),), for a conditional model.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    known = tuple(c.expand(TRIALS, *c.shape[1:]) for c in condition)
    with torch.no_grad(), fork_rng(0, device):
        latents = [z.detach() for z in model.sample(TRIALS, condition=known).latents]
    with torch.enable_grad():
        at = [z.clone().requires_grad_(z.is_floating_point()) for z in latents]
        draw = Given(at, given=known)
        model.generator(draw)
        density = torch.stack([site.prior.log_prob(site.z) for site in draw.sites]).sum(0)
        slopes = [gradient(density, z) for z in at]
    for number, (z, slope) in enumerate(zip(latents, slopes, strict=True), 1):
        spread = z.std(0).clamp(min=1e-12)
        bent = torch.tanh((z - z.mean(0)) / spread)
        steep = (1 - bent.square()).flatten(1).sum(1)
        found = steep + (spread * bent * slope).flatten(1).sum(1)
        off, se = abs(float(found.mean())), float(found.std()) / math.sqrt(TRIALS)
        # Of a density the second is at least the inverse of the largest eigenvalue of the first's.
        flat = min(map(_least_spread, ((z - z.mean(0)) / spread, spread * slope))) < 1e-5
        if flat or not off < max(0.1 * float(steep.mean()), 6 * se):
            prior = type(draw.sites[number - 1].prior).__name__
            return f"latent {number} is not free to move over real numbers (its prior is {prior})"
    return ""


def _least_spread(t: Tensor) -> float:
    """The mean square of the first numbers of t (N, …) along the direction of least spread."""
    t = t.flatten(1)[:, :NUMBERS].double()
    return float(torch.linalg.eigvalsh(t.T @ t / len(t))[0])
