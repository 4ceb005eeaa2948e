r"""Distributions over counts k ∈ {0, 1, 2, …}, at the scale of the counts themselves.

Poisson              log p(k) = −D(k, μ) − s(k)
negative binomial    Γ(k+r) / Γ(r) k! · (r / (r+μ))^r (μ / (r+μ))^k,   Var = μ + μ²/r

with s(x) = log Γ(x+1) − x log x + x and D(k, μ) = k log(k/μ) + μ − k ≥ 0. The textbook sums cancel
terms of size k log k, which in float32 costs a tenth of a nat at k = 100,000; these do not (Loader,
Fast and accurate computation of binomial probabilities, 2000).

A draw at temperature T is the mean + T · (an exact draw − the mean), rounded to the nearest count:
temperature 0 gives the rounded mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.distributions.base import LOG_2PI, Distribution, sum_dims


@dataclass(frozen=True, eq=False)
class Poisson(Distribution):
    """Poisson distribution with mean and variance μ = exp(log_mean).

    >>> Poisson(torch.zeros(1, 1)).log_prob(torch.zeros(1, 1))
    tensor([-1.])

    Attributes:
        log_mean: log μ, (B, …).
    """

    log_mean: Tensor

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    def log_prob(self, x: Tensor) -> Tensor:
        mu = self.mean
        ratio = _log_ratio(_log(x), self.log_mean, (x - mu) / mu)
        # At k = 0 the ratio is bounded by _log, so that 0 · ratio is 0.
        return sum_dims(-(x * ratio + mu - x) - _s(x, _log(x)))

    def sample(self, temperature: float = 1.0) -> Tensor:
        return _tempered(self.mean, torch.poisson(self.mean), temperature)


@dataclass(frozen=True, eq=False)
class NegativeBinomial(Distribution):
    """Negative binomial distribution with mean μ and variance μ + μ²/r.

    >>> NegativeBinomial(torch.zeros(1, 1), torch.zeros(1, 1)).log_prob(torch.zeros(1, 1))
    tensor([-0.6931])

    Attributes:
        log_mean: log μ, (B, …).
        log_r: log r, (B, …).
    """

    log_mean: Tensor
    log_r: Tensor

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    def log_prob(self, x: Tensor) -> Tensor:
        return sum_dims(_negative_binomial(x, self.log_mean, self.log_r))

    def sample(self, temperature: float = 1.0) -> Tensor:
        return _tempered(self.mean, _gamma_poisson(self.log_mean, self.log_r), temperature)


@dataclass(frozen=True, eq=False)
class ZeroInflated(Distribution):
    """Zero-inflated negative binomial: 0 with probability sigmoid(gate), else a negative binomial.

    >>> zero = torch.zeros(1, 1)
    >>> ZeroInflated(zero, zero, gate=zero).log_prob(zero).exp()
    tensor([0.7500])

    Attributes:
        log_mean: log μ of the negative binomial, (B, …).
        log_r: log r of the negative binomial, (B, …).
        gate: log-odds of an added 0, (B, …).
    """

    log_mean: Tensor
    log_r: Tensor
    gate: Tensor

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.gate) * self.log_mean.exp()

    def log_prob(self, x: Tensor) -> Tensor:
        counted = F.logsigmoid(-self.gate) + _negative_binomial(x, self.log_mean, self.log_r)
        zero = torch.logaddexp(F.logsigmoid(self.gate), counted)
        return sum_dims(torch.where(x == 0, zero, counted))

    def sample(self, temperature: float = 1.0) -> Tensor:
        kept = (torch.rand_like(self.gate) < torch.sigmoid(-self.gate)).to(self.gate.dtype)
        drawn = kept * _gamma_poisson(self.log_mean, self.log_r)
        return _tempered(self.mean, drawn, temperature)


def _negative_binomial(k: Tensor, log_mean: Tensor, log_r: Tensor) -> Tensor:
    """Return log p(k) before the sum over dimensions."""
    mu, r = log_mean.exp(), log_r.exp()
    log_both, log_sum = torch.logaddexp(log_r, log_mean), torch.log(r + k)
    excess = (k - mu) / (r + k)
    failures = _log_ratio(log_both, log_sum, -excess)
    successes = _log_ratio(
        _log(k) + log_both, log_mean + log_sum, excess * torch.exp(log_r - log_mean)
    )
    normaliser = _s(r + k, log_sum) - _s(r, log_r) - _s(k, _log(k))
    return log_r - log_sum + normaliser - r * failures - k * successes


def _s(x: Tensor, log_x: Tensor) -> Tensor:
    """Return log Γ(x+1) − x log x + x, the remainder of Stirling's leading terms."""
    large = x > 16
    small = torch.where(large, torch.ones_like(x), x)
    direct = torch.lgamma(small + 1) - small * torch.where(large, 0.0, log_x) + small
    x, log_x = torch.where(large, x, 16.0), torch.where(large, log_x, 1.0)
    series = 0.5 * (LOG_2PI + log_x) + (1 / 12 - 1 / (360 * x**2)) / x
    return torch.where(large, series, direct)


def _log_ratio(log_a: Tensor, log_b: Tensor, difference: Tensor) -> Tensor:
    """Return log(a/b), computed from (a − b)/b if the two are close."""
    close = difference.abs() < 0.5
    return torch.where(close, torch.log1p(torch.where(close, difference, 0.0)), log_a - log_b)


def _log(k: Tensor) -> Tensor:
    """Return log k of a count, and 0 at k = 0, which is always multiplied by 0."""
    return torch.log(k.clamp(min=1))


def _gamma_poisson(log_mean: Tensor, log_r: Tensor) -> Tensor:
    return torch.poisson(torch._standard_gamma(log_r.exp()) * torch.exp(log_mean - log_r))


def _tempered(mean: Tensor, draw: Tensor, temperature: float) -> Tensor:
    return torch.round(mean + temperature * (draw - mean)).clamp(min=0)
