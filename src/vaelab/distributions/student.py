r"""Student's t distribution, whose heavy tails make outliers cheap.

log p(x) = log Γ((ν+1)/2) − log Γ(ν/2) − ½ log(νπ) − log s − (ν+1)/2 · log(1 + (x−μ)²/(s²ν))
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, sum_dims


@dataclass(frozen=True, eq=False)
class StudentT(Distribution):
    """Student's t distribution with location μ, scale s and ν degrees of freedom.

    Its mean is μ for ν > 1 and does not exist below.

    >>> zero = torch.zeros(1, 1)
    >>> StudentT(zero, zero, log_df=zero).log_prob(zero)  # Cauchy: −log π
    tensor([-1.1447])

    Attributes:
        mu: locations μ, (B, …).
        log_scale: log s, (B, …).
        log_df: log ν, (B, …).
    """

    mu: Tensor
    log_scale: Tensor
    log_df: Tensor

    @property
    def mean(self) -> Tensor:
        return self.mu

    def log_prob(self, x: Tensor) -> Tensor:
        df = self.log_df.exp()
        u = (x - self.mu) * torch.exp(-self.log_scale - 0.5 * self.log_df)
        tail = (df + 1) * _log_hypot(u)
        return sum_dims(_log_gamma_ratio(df) - 0.5 * math.log(2 * math.pi) - self.log_scale - tail)

    def sample(self, temperature: float = 1.0) -> Tensor:
        half = 0.5 * self.log_df.exp()
        spread = torch.sqrt(half / torch._standard_gamma(half))
        noise = torch.randn_like(self.mu) * spread
        return self.mu + temperature * self.log_scale.exp() * noise


def _log_gamma_ratio(df: Tensor) -> Tensor:
    """Return log Γ((ν+1)/2) − log Γ(ν/2) − ½ log(ν/2), which tends to 0 as ν grows."""
    large = df > 16
    small = torch.where(large, 1.0, df)
    direct = torch.lgamma((small + 1) / 2) - torch.lgamma(small / 2) - 0.5 * torch.log(small / 2)
    df = torch.where(large, df, 16.0)
    return torch.where(large, (-1 / 4 + 1 / (24 * df**2)) / df, direct)


def _log_hypot(u: Tensor) -> Tensor:
    """Return ½ log(1 + u²), which neither overflows nor loses a small u."""
    size = u.abs()
    far = size > 1
    near = torch.where(far, 0.0, u)
    beyond = torch.where(far, size, 1.0)
    return torch.where(
        far,
        torch.log(beyond) + 0.5 * torch.log1p(beyond**-2),
        0.5 * torch.log1p(near**2),
    )
