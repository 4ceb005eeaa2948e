r"""Hamiltonian moves along f_β(z) = f_0(z)^(1−β) p(x, z)^β, for many chains at once (1206.1901).

    v ← v + ½ ε ∇ log f_β(z),    z ← z + ε v,    v ← v + ½ ε ∇ log f_β(z)       (a leapfrog)

A move draws a fresh momentum v ~ N(0, I), makes some leapfrogs, and is accepted with the
probability min(1, e^ΔH), which leaves f_β exactly as it is, whatever the step size ε.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Densities(NamedTuple):
    """log f_0(z) and log p(x, z), nats, (N,)."""

    start: Tensor
    joint: Tensor


Density = Callable[[Tensor], Densities]


@dataclass(frozen=True, eq=False)
class Point:
    """State of the chains: z (N, L), log f_0 and log p(x, z) there (N,), and both gradients."""

    z: Tensor
    start: Tensor
    joint: Tensor
    slopes: tuple[Tensor, Tensor]

    @classmethod
    def at(cls, densities: Density, z: Tensor) -> Point:
        with torch.enable_grad():
            at = z.detach().requires_grad_(True)
            start, joint = densities(at)
            slopes = gradient(start, at), gradient(joint, at)
        return cls(at.detach(), start.detach(), joint.detach(), slopes)

    @property
    def log_ratio(self) -> Tensor:
        return self.joint - self.start

    def log_density(self, beta: float) -> Tensor:
        return (1 - beta) * self.start + beta * self.joint

    def slope(self, beta: float) -> Tensor:
        return (1 - beta) * self.slopes[0] + beta * self.slopes[1]


def gradient(density: Tensor, at: Tensor) -> Tensor:
    # A flat density, as a uniform prior's, does not depend on z at all.
    if not (density.requires_grad and at.requires_grad):
        return torch.zeros_like(at)
    return torch.autograd.grad(density.sum(), at, retain_graph=True, materialize_grads=True)[0]


def move(
    densities: Density,
    here: Point,
    beta: float,
    step: Tensor,
    leapfrogs: int,
) -> tuple[Point, Tensor]:
    """One Hamiltonian move that leaves f_β as it is; and its probability of acceptance (N,)."""
    momentum = torch.randn_like(here.z)
    v = momentum + 0.5 * step * here.slope(beta)
    there = here
    for i in range(leapfrogs):
        there = Point.at(densities, there.z + step * v)
        v = v + (1.0 if i < leapfrogs - 1 else 0.5) * step * there.slope(beta)
    energy = here.log_density(beta) - 0.5 * momentum.square().sum(1)
    gained = there.log_density(beta) - 0.5 * v.square().sum(1) - energy
    # A trajectory that diverged is no number; it stays.
    rate = torch.exp(gained.clamp(max=0)).nan_to_num(0.0)
    taken = torch.rand_like(rate) < rate
    column = taken[:, None]
    return Point(
        torch.where(column, there.z, here.z),
        torch.where(taken, there.start, here.start),
        torch.where(taken, there.joint, here.joint),
        (
            torch.where(column, there.slopes[0], here.slopes[0]),
            torch.where(column, there.slopes[1], here.slopes[1]),
        ),
    ), rate
