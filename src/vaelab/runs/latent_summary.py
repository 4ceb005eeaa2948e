"""Codes: what those of a model look like (a run's codes.json), the ways between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from vaelab.core import VAE, fork_rng, join
from vaelab.data import Batches
from vaelab.distributions import kl_by_dimension
from vaelab.utils.validation import validate

ROWS = 1024


@dataclass(frozen=True)
class Codes:
    """What the codes of the validation split look like, by latent dimension.

    Attributes:
        mean: of the posterior means.
        spread: their standard deviation; a unit is active where its square exceeds 0.01.
        rate: mean KL in nats; None where it has no closed form by dimension.
    """

    mean: list[float]
    spread: list[float]
    rate: list[float] | None

    def __post_init__(self) -> None:
        if len({len(row) for row in (self.mean, self.spread, self.rate) if row is not None}) > 1:
            raise ValueError("mean, spread and rate differ in length")

    @property
    def active(self) -> list[bool]:
        """Var_x(E[z_j|x]) > 0.01 (1509.00519)."""
        return [s**2 > 0.01 for s in self.spread]

    @property
    def order(self) -> list[int]:
        """Dimensions by what they carry, most first: by rate, or by spread without one."""
        carried = self.spread if self.rate is None else self.rate
        return sorted(range(len(carried)), key=lambda j: -carried[j])

    def check(self, dimensions: Sequence[int], steps: int) -> None:
        """Refuses a traversal of dimensions that are not there, or of nothing."""
        if wrong := [j for j in dimensions if not 0 <= j < len(self.mean)]:
            last = len(self.mean) - 1
            raise ValueError(f"there is no dimension {wrong[0]}; there is 0 to {last}")
        if not len(dimensions) or steps < 1:
            raise ValueError(
                f"{len(dimensions)} dimensions of {steps} steps were asked for; at least 1 of each "
                "is needed"
            )


def read_latent_summary(found: Any, path: Path) -> Codes:
    """What a run's codes.json says.

    Raises:
        ValueError: where it says something else; names the file.
    """
    try:
        return cast(Codes, validate(found, Codes, "codes"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; restore it or train the run anew") from None


@torch.no_grad()
def summarize_latents(model: VAE, batches: Batches, seed: int = 0) -> Codes:
    """Looks at the codes of a split: mean, spread and rate by latent dimension."""
    means, rates = [], []
    with fork_rng(seed):
        for x, condition in zip(batches.fixed(ROWS, seed), batches.conditions(ROWS), strict=True):
            trace = model(x, condition=condition)
            means.append(join(s.posterior.mean for s in trace.sites))
            by_site = [kl_by_dimension(s.posterior, s.prior) for s in trace.sites]
            closed = [kl.flatten(1) for kl in by_site if kl is not None]
            if len(closed) == len(by_site):
                rates.append(torch.cat(closed, 1))
    mu = torch.cat(means)
    rate = torch.cat(rates).mean(0).tolist() if rates else None
    return Codes(mu.mean(0).tolist(), mu.std(0, unbiased=False).tolist(), rate)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the great circle between the directions of a and b (L,), their lengths interpolated."""
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-12)
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-4 or not a.norm() * b.norm() > 0:  # no one circle, or no direction
        return torch.lerp(a, b, t)
    way = torch.sin((1 - t) * angle) * a / a.norm() + torch.sin(t * angle) * b / b.norm()
    return way / torch.sin(angle) * torch.lerp(a.norm(), b.norm(), t)


def check_temperature(temperature: float) -> None:
    """Refuses a scale of noise that is none."""
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be 0 or more, and finite")
