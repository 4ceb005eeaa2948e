r"""Distributions over a batch, in nats per example.

    log p(x) = Σ_dims log p(x_d)          KL(q ‖ p) = Σ_dims E_q[log q(z_d) − log p(z_d)]

A `Distribution` is a frozen dataclass of tensors whose first dimension is the batch B (or 1, which
broadcasts). It differs from `torch.distributions` in three ways: every log-probability is already
summed over an example's dimensions, so that no result depends on a `reduction=` argument; sampling
is *location + temperature · noise*, so that temperature 0 is the deterministic answer everywhere;
and sampling is out of place, so that it runs under `torch.func.vmap` and `torch.compile`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def sum_dims(t: Tensor) -> Tensor:
    """Sum over all dimensions but the batch: (B, …) → (B,).

    >>> sum_dims(torch.ones(2, 3, 4))
    tensor([12., 12.])
    """
    return t.flatten(1).sum(1) if t.ndim > 1 else t


class Distribution(ABC):
    """Distribution for each of B examples; final subclasses are frozen dataclasses of tensors.

    Attributes:
        has_density: False if all mass is on a point, so that no rate or log-weight exists.
        has_coordinates: True if the numbers of a draw are units, each of which may be active or
            not. The numbers of a codebook's code are not, and have no meaning one by one.
    """

    has_density: ClassVar[bool] = True
    has_coordinates: ClassVar[bool] = True

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, summed over an example's dimensions: (B, …) → (B,)."""

    @abstractmethod
    def sample(self, temperature: float = 1.0) -> Tensor:
        """Draw (B, …), differentiable in the parameters if the distribution allows it.

        Args:
            temperature: scale of the noise; 1 is an exact draw, 0 the deterministic centre.
        """

    def sample_with_density(self, temperature: float = 1.0) -> tuple[Tensor, Distribution]:
        """Draw as `sample`, with the distribution that evaluates the density of this draw.

        It is the distribution itself, unless the log-density of its own draw is a by-product of
        sampling and expensive to compute afterwards.
        """
        return self.sample(temperature), self

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """E[x], (B, …)."""

    @property
    def perplexity(self) -> Tensor | None:
        """Perplexity of recent code usage, (B,), or None if usage is not tracked."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name."""
        named = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))}
        return {name: t for name, t in named.items() if isinstance(t, Tensor)}

    def expand(self, n: int) -> Self:
        """Return the same distribution for n examples, from one whose batch is 1 or n."""
        return replace(
            cast(Any, self), **{k: t.expand(n, *t.shape[1:]) for k, t in self.tensors().items()}
        )


@dataclass(frozen=True, eq=False)
class Normal(Distribution):
    """Normal distribution N(mu, sigma²), independent in every dimension.

    >>> p = Normal(mu=torch.zeros(1, 2), log_sigma=torch.zeros(1, 2))
    >>> p.log_prob(torch.zeros(1, 2))
    tensor([-1.8379])
    >>> p.sample(temperature=0)
    tensor([[0., 0.]])

    Attributes:
        mu: means, (B, …).
        log_sigma: logarithms of the standard deviations, (B, …).
    """

    mu: Tensor
    log_sigma: Tensor

    @property
    def sigma(self) -> Tensor:
        """Standard deviation, (B, …)."""
        return self.log_sigma.exp()

    @property
    def mean(self) -> Tensor:
        return self.mu

    def log_prob(self, x: Tensor) -> Tensor:
        standard = (x - self.mu) * torch.exp(-self.log_sigma)
        return sum_dims(-0.5 * (standard**2 + LOG_2PI) - self.log_sigma)

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.mu + temperature * self.sigma * torch.randn_like(self.mu)


@dataclass(frozen=True, eq=False)
class LogNormal(Distribution):
    """Log-normal distribution: the density of x itself for x = exp(u), u ~ N(mu, sigma²).

    log p(x) = log N(log x; μ, σ²) − log x          −∞ for x ≤ 0

    A draw at temperature T is exp(μ + T σ ε), so that temperature 0 gives the median.

    >>> LogNormal(torch.zeros(1, 2), torch.zeros(1, 2)).log_prob(torch.ones(1, 2))
    tensor([-1.8379])

    Attributes:
        mu: means of log x, (B, …).
        log_sigma: logarithms of the standard deviations of log x, (B, …).
    """

    mu: Tensor
    log_sigma: Tensor

    @property
    def mean(self) -> Tensor:
        return _positive(self.mu + 0.5 * torch.exp(2 * self.log_sigma))

    def log_prob(self, x: Tensor) -> Tensor:
        u = torch.where(x > 0, x, 1.0).log()
        standard = (u - self.mu) * torch.exp(-self.log_sigma)
        log_p = -0.5 * (standard**2 + LOG_2PI) - self.log_sigma - u
        return sum_dims(torch.where(x > 0, log_p, -torch.inf))

    def sample(self, temperature: float = 1.0) -> Tensor:
        return _positive(Normal(self.mu, self.log_sigma).sample(temperature))


def _positive(u: Tensor) -> Tensor:
    """Return exp(u), clamped to the normal numbers of its type: neither 0 nor infinite."""
    within = torch.finfo(u.dtype)
    return u.exp().clamp(within.tiny, within.max)


@dataclass(frozen=True, eq=False)
class Dirac(Distribution):
    """Point mass, the code of a deterministic encoder.

    >>> Dirac(torch.ones(1, 2)).sample()
    tensor([[1., 1.]])

    Attributes:
        value: the point, (B, …).
    """

    value: Tensor
    has_density: ClassVar[bool] = False

    @property
    def mean(self) -> Tensor:
        return self.value

    def log_prob(self, x: Tensor) -> Tensor:
        raise TypeError(
            "a deterministic code (Dirac) has no density, so no rate, ELBO or log-weight exists. "
            "Use a stochastic posterior such as DiagonalNormal, or an objective without a rate."
        )

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.value


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    """Bernoulli distribution over x ∈ {0, 1} with p(x=1) = sigmoid(logits).

    >>> Bernoulli(torch.zeros(1, 3)).log_prob(torch.ones(1, 3))
    tensor([-2.0794])

    Attributes:
        logits: log-odds of 1, (B, …).
    """

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    def log_prob(self, x: Tensor) -> Tensor:
        # log σ(l) − (1 − x)·l with its sign folded: x·l − softplus(l)
        return sum_dims(x * self.logits - F.softplus(self.logits))

    def sample(self, temperature: float = 1.0) -> Tensor:
        return (self.logits + temperature * _logistic_like(self.logits) > 0).to(self.logits.dtype)


@dataclass(frozen=True, eq=False)
class ContinuousBernoulli(Distribution):
    """Continuous Bernoulli over x ∈ [0, 1], density C(λ) λ^x (1−λ)^(1−x) with λ = sigmoid(logits).

    With l the logit, the density is l·exp(l·x) / (exp(l) − 1): an exponential tilted onto [0, 1].

    Reference: The continuous Bernoulli: fixing a pervasive error in variational autoencoders,
    Loaiza-Ganem & Cunningham, 2019, arXiv:1907.06845.

    >>> ContinuousBernoulli(torch.zeros(1, 3)).log_prob(torch.full((1, 3), 0.2))
    tensor([0.])

    Attributes:
        logits: l, (B, …).
    """

    logits: Tensor

    def _away_from_zero(self) -> tuple[Tensor, Tensor]:
        near = self.logits.abs() < 1e-2
        return near, torch.where(near, torch.full_like(self.logits, 1e-2), self.logits)

    @property
    def mean(self) -> Tensor:
        near, logit = self._away_from_zero()
        far = 0.5 + 0.5 / torch.tanh(logit / 2) - 1 / logit
        return torch.where(near, 0.5 + self.logits / 12, far)

    def log_prob(self, x: Tensor) -> Tensor:
        near, logit = self._away_from_zero()
        size = logit.abs()
        # log[(e^l − 1)/l] = max(l, 0) + log(1 − e^−|l|) − log|l|; near 0 it is l/2 + l²/24
        far = F.relu(logit) + torch.log(-torch.expm1(-size)) - torch.log(size)
        log_norm = torch.where(near, self.logits / 2 + self.logits**2 / 24, far)
        return sum_dims(x * self.logits - log_norm)

    def sample(self, temperature: float = 1.0) -> Tensor:
        u = 0.5 + temperature * (torch.rand_like(self.logits) - 0.5)
        near, logit = self._away_from_zero()
        size = logit.abs()
        # The quantile of exp(−|l|·t) on [0, 1], mirrored if the tilt is upwards.
        tilted = torch.log1p(torch.where(logit > 0, 1 - u, u) * torch.expm1(-size)) / -size
        x = torch.where(logit > 0, 1 - tilted, tilted)
        return torch.where(near, u, x).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Laplace(Distribution):
    """Laplace distribution, density exp(−|x − mu| / b) / 2b with b = exp(log_scale).

    >>> Laplace(torch.zeros(1, 1), torch.zeros(1, 1)).log_prob(torch.ones(1, 1))
    tensor([-1.6931])

    Attributes:
        mu: locations, (B, …).
        log_scale: log b, (B, …).
    """

    mu: Tensor
    log_scale: Tensor

    @property
    def mean(self) -> Tensor:
        return self.mu

    def log_prob(self, x: Tensor) -> Tensor:
        distance = (x - self.mu).abs() * torch.exp(-self.log_scale)
        return sum_dims(-distance - self.log_scale - math.log(2))

    def sample(self, temperature: float = 1.0) -> Tensor:
        u = torch.rand_like(self.mu) - 0.5
        noise = -u.sign() * torch.log1p((-2 * u.abs()).clamp(min=-1 + 1e-7))
        return self.mu + temperature * self.log_scale.exp() * noise


@dataclass(frozen=True, eq=False)
class DiscretizedLogistic(Distribution):
    """Discretized logistic distribution over the grid {0, 1/(n−1), …, 1}.

    A logistic density is summed over each bin. The lowest and highest bins take the tails, so
    that the probabilities sum to one exactly.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016,
    arXiv:1606.04934.

    >>> grid = torch.linspace(0, 1, 4)[:, None]
    >>> p = DiscretizedLogistic(torch.tensor([[0.3]]), torch.tensor([[-1.0]]), levels=4).expand(4)
    >>> p.log_prob(grid).exp().sum().round(decimals=4)
    tensor(1.)

    Attributes:
        mu: locations, (B, …).
        log_scale: logarithms of the scales, (B, …).
        levels: number of grid points n.
    """

    mu: Tensor
    log_scale: Tensor
    levels: int = 256

    @property
    def mean(self) -> Tensor:
        # E of the logistic clipped to [0, 1], ∫₀¹ σ((mu − t)/s) dt: the mean over levels up to
        # rounding, and mu itself only if neither tail is cut.
        s = self.log_scale.exp()
        return s * (F.softplus(self.mu / s) - F.softplus((self.mu - 1) / s))

    def log_prob(self, x: Tensor) -> Tensor:
        half = 0.5 / (self.levels - 1)
        precision = torch.exp(-self.log_scale)
        below, above = (x - half - self.mu) * precision, (x + half - self.mu) * precision
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^(a−b)): no cancellation, however sharp or far.
        up_to = torch.where(x > 1 - half, torch.zeros_like(x), F.logsigmoid(above))
        from_on = torch.where(x < half, torch.zeros_like(x), F.logsigmoid(-below))
        inside = torch.log(-torch.expm1(-2 * half * precision))
        edge = (x < half) | (x > 1 - half)
        return sum_dims(up_to + from_on + torch.where(edge, torch.zeros_like(inside), inside))

    def sample(self, temperature: float = 1.0) -> Tensor:
        x = self.mu + temperature * self.log_scale.exp() * _logistic_like(self.mu)
        return torch.round(x.clamp(0, 1) * (self.levels - 1)) / (self.levels - 1)


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    """Categorical distribution over the grid {0, 1/(n−1), …, 1}, one logit per level.

    >>> Categorical(torch.zeros(1, 3, 4)).log_prob(torch.ones(1, 3))  # −3 log 4
    tensor([-4.1589])

    Attributes:
        logits: log-probabilities up to a constant, (B, …, n).
    """

    logits: Tensor

    @property
    def _top(self) -> int:
        return self.logits.shape[-1] - 1

    @property
    def mean(self) -> Tensor:
        level = torch.arange(self._top + 1, device=self.logits.device, dtype=self.logits.dtype)
        return torch.softmax(self.logits, -1) @ level / self._top

    def log_prob(self, x: Tensor) -> Tensor:
        level = torch.round(x * self._top).long().expand(self.logits.shape[:-1])
        return sum_dims(torch.log_softmax(self.logits, -1).gather(-1, level[..., None])[..., 0])

    def sample(self, temperature: float = 1.0) -> Tensor:
        level = (self.logits + temperature * gumbel_like(self.logits)).argmax(-1)
        return level.to(self.logits.dtype) / self._top


def gumbel_like(t: Tensor) -> Tensor:
    """Finite Gumbel noise: the argmax of logits plus noise is a draw from their softmax."""
    return -torch.log(-torch.log(_open_uniform_like(t)))


def _open_uniform_like(t: Tensor) -> Tensor:
    tiny = torch.finfo(t.dtype).eps
    return torch.rand_like(t).clamp(tiny, 1 - tiny)


def _logistic_like(t: Tensor) -> Tensor:
    return torch.logit(_open_uniform_like(t))


Q = TypeVar("Q", bound=Distribution)
P = TypeVar("P", bound=Distribution)
Divergence = Callable[[Any, Any], Tensor]
_CLOSED: dict[tuple[type[Distribution], type[Distribution]], Divergence] = {}


def register_kl(
    q: type[Q], p: type[P]
) -> Callable[[Callable[[Q, P], Tensor]], Callable[[Q, P], Tensor]]:
    """Register the closed form of KL(q ‖ p): (B, …) before the sum over dimensions.

    If it does not factorise over dimensions, as with a full covariance, it is (B,).
    """

    def keep(function: Callable[[Q, P], Tensor]) -> Callable[[Q, P], Tensor]:
        _CLOSED[q, p] = function
        return function

    return keep


@register_kl(Normal, Normal)
def _normal_normal(q: Normal, p: Normal) -> Tensor:
    difference = (q.mu - p.mu) * torch.exp(-p.log_sigma)
    log_ratio = q.log_sigma - p.log_sigma
    # expm1 keeps the figure exact where q is close to p and the terms cancel.
    return 0.5 * (torch.expm1(2 * log_ratio) + difference**2) - log_ratio


def kl_by_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) in nats, (B, …) before the sum over dimensions.

    None without a closed form, or if it does not factorise over dimensions.
    """
    nats = _closed(q, p)
    return None if nats is None or nats.ndim == 1 else nats


def kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) in nats, (B,), or None if no closed form is registered for the pair.

    >>> standard = Normal(torch.zeros(1, 2), torch.zeros(1, 2))
    >>> kl(Normal(torch.ones(1, 2), torch.zeros(1, 2)), standard)
    tensor([1.])
    """
    nats = _closed(q, p)
    return None if nats is None else sum_dims(nats)


def _closed(q: Distribution, p: Distribution) -> Tensor | None:
    closed = _CLOSED.get((type(q), type(p)))
    return None if closed is None else closed(q, p)
