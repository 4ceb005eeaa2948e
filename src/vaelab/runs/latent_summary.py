"""Summary of a model's codes (a run's codes.json), and paths between codes."""

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
    """Statistics of the codes of the validation split, by latent dimension.

    >>> Codes(mean=[0.0, 0.1], spread=[1.0, 0.01], rate=None).active
    [True, False]

    Attributes:
        mean: means of the posterior means.
        spread: standard deviations of the posterior means; a unit is active if its square exceeds
            0.01.
        rate: mean KL in nats, or None if it has no closed form by dimension.
    """

    mean: list[float]
    spread: list[float]
    rate: list[float] | None

    def __post_init__(self) -> None:
        if len({len(row) for row in (self.mean, self.spread, self.rate) if row is not None}) > 1:
            raise ValueError("mean, spread and rate differ in length")

    @property
    def active(self) -> list[bool]:
        """Active units, Var_x(E[z_j|x]) > 0.01 (1509.00519)."""
        return [s**2 > 0.01 for s in self.spread]

    @property
    def order(self) -> list[int]:
        """Dimensions in order of information, most first: by rate, or by spread without one."""
        carried = self.spread if self.rate is None else self.rate
        return sorted(range(len(carried)), key=lambda j: -carried[j])

    def traversal(
        self, base: Tensor, dimensions: Sequence[int], steps: int, reach: float
    ) -> Tensor:
        """Codes (len, steps, L) in which each dimension alone moves away from a code (L,)."""
        codes = base.repeat(len(dimensions), steps, 1)
        for row, j in enumerate(dimensions):
            width = reach * max(1.0, self.spread[j])
            codes[row, :, j] += torch.linspace(-width, width, steps)
        return codes

    def check(self, dimensions: Sequence[int], steps: int) -> None:
        """Raise ValueError unless dimensions exist and steps are at least 1."""
        if wrong := [j for j in dimensions if not 0 <= j < len(self.mean)]:
            last = len(self.mean) - 1
            raise ValueError(f"dimension {wrong[0]} does not exist; expected 0 to {last}")
        if not len(dimensions) or steps < 1:
            raise ValueError(
                f"{len(dimensions)} dimensions of {steps} steps were requested; expected at least "
                "1 of each"
            )


def read_latent_summary(content: Any, path: Path) -> Codes:
    """Parse the content of a run's codes.json.

    Raises:
        ValueError: if it is anything else; names the file.
    """
    try:
        return cast(Codes, validate(content, Codes, "codes"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; restore it or train the run again") from None


@torch.no_grad()
def summarize_latents(model: VAE, batches: Batches, seed: int = 0) -> Codes:
    """Compute mean, spread and rate of the codes of a split, by latent dimension."""
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
    """Interpolate along the great circle between directions of a and b (L,), and their lengths."""
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-12)
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-4 or not a.norm() * b.norm() > 0:  # no unique circle, or no direction
        return torch.lerp(a, b, t)
    way = torch.sin((1 - t) * angle) * a / a.norm() + torch.sin(t * angle) * b / b.norm()
    return way / torch.sin(angle) * torch.lerp(a.norm(), b.norm(), t)


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless the temperature is finite and non-negative."""
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; expected a finite number of 0 or more")
