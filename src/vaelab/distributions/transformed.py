r"""Normal distribution transformed by an invertible map, as a flow transforms a posterior.

z = f(u),  u ~ N(μ, σ²)          log q(z) = log N(u; μ, σ²) − log |det ∂f/∂u|     (1505.05770)

The forward map is cheap and gives the density of its own draw; the inverse may be expensive. A draw
therefore comes with a distribution that remembers its density (`Distribution.sample_with_density`).
The density of any other z is computed by inverting f, and is the same function.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace

from torch import Tensor

from vaelab.distributions.base import Distribution, Normal


@dataclass(frozen=True, eq=False)
class TransformedNormal(Distribution):
    """Distribution of z = f(u) for u ~ N(mu, sigma²).

    Reference: Variational Inference with Normalizing Flows, Rezende & Mohamed, 2015,
    arXiv:1505.05770.

    Attributes:
        mu: means of u, (B, D).
        log_sigma: logarithms of the standard deviations of u, (B, D).
        own: draw of this distribution with a known density, (B, D).
        log_own: log q(own), (B,).
    """

    mu: Tensor
    log_sigma: Tensor
    own: Tensor | None = field(default=None, kw_only=True)
    log_own: Tensor | None = field(default=None, kw_only=True)

    @abstractmethod
    def push(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return z = f(u), (B, D), and log |det ∂f/∂u|, (B,)."""

    @abstractmethod
    def pull(self, z: Tensor) -> Tensor:
        """Return u = f⁻¹(z), (B, D)."""

    @property
    def base(self) -> Normal:
        """Distribution of u."""
        return Normal(self.mu, self.log_sigma)

    @property
    def mean(self) -> Tensor:
        """Centre f(μ); E[z] has no closed form."""
        return self.push(self.mu)[0]

    def log_prob(self, x: Tensor) -> Tensor:
        if self.log_own is not None and x is self.own:
            return self.log_own
        u = self.pull(x)
        return self.base.log_prob(u) - self.push(u)[1]

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.push(self.base.sample(temperature))[0]

    def sample_with_density(self, temperature: float = 1.0) -> tuple[Tensor, Distribution]:
        u = self.base.sample(temperature)
        z, log_det = self.push(u)
        return z, replace(self, own=z, log_own=self.base.log_prob(u) - log_det)
