r"""Distributions over codes: variables that take one of K values, relaxed or not.

    one-hot     P(z = e_k) = π_k                              drawn hard, its gradient is relaxed
    concrete    z = log softmax((log π + g) / τ), g ~ Gumbel  the logarithm of a soft choice
    quantised   P(z = c_k) = 1 for the code c_k at hand       a point, but of countably many

Unlike a `Dirac` on a continuous space, a point among finitely many has a probability, 1; so a
quantised code has a rate against a prior over codes, and its log-weights are those of a bound.

Where the rate is of a variable rather than of each of the numbers it is coded with, they share it
evenly, so that it still sums to the KL and nowhere falls below 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, gumbel_like, register_kl, sum_dims


def straight_through(value: Tensor, carrier: Tensor) -> Tensor:
    """Exactly `value`, with the gradient of `carrier` (1308.3432)."""
    # Not carrier + (value − carrier): in floating point that is not quite the value.
    return value.detach() + (carrier - carrier.detach())


def one_hot(index: Tensor, like: Tensor) -> Tensor:
    """Indices (…) as one-hot vectors (…, K), K and the precision those of `like` (…, K)."""
    classes = torch.arange(like.shape[-1], device=like.device)
    return (index[..., None] == classes).to(like.dtype)


@dataclass(frozen=True, eq=False)
class OneHotCategorical(Distribution):
    """N variables of K classes, one-hot: `logits` is (B, N, K), `tau` broadcasts against it.

    A draw is an exact one (the largest of the logits with Gumbel noise), and has the gradient of
    its relaxation at temperature τ: the straight-through Gumbel-softmax (1611.01144).
    """

    logits: Tensor
    tau: Tensor

    @property
    def mean(self) -> Tensor:
        return torch.softmax(self.logits, -1)

    def log_prob(self, x: Tensor) -> Tensor:
        return sum_dims(x * torch.log_softmax(self.logits, -1))

    def sample(self, temperature: float = 1.0) -> Tensor:
        noisy = self.logits + temperature * gumbel_like(self.logits)
        return straight_through(
            one_hot(noisy.argmax(-1), noisy), torch.softmax(noisy / self.tau, -1)
        )


@dataclass(frozen=True, eq=False)
class Concrete(Distribution):
    """The logarithm y of N points on the simplex of K classes (1611.00712, appendix C.3).

    y = log softmax((log π + g) / τ),  g ~ Gumbel, has with respect to K − 1 of its coordinates on
    the simplex, each in its logarithm, the density

        log p(y) = log (K−1)! + (K−1) log τ + Σ_k (log π_k − τ y_k) − K log Σ_k exp(log π_k − τ y_k)

    The point e^y itself has the same rate, but rounds to a corner where the choice is sure, and
    there has no density.

    Attributes:
        logits: log π but for a constant, (B, N, K).
        tau: τ, (1, 1, 1).
    """

    logits: Tensor
    tau: Tensor

    @property
    def mean(self) -> Tensor:
        """The centre log softmax(log π / τ), for E[y] has no closed form."""
        return torch.log_softmax(self.logits / self.tau, -1)

    def log_prob(self, x: Tensor) -> Tensor:
        K = self.logits.shape[-1]
        # The normaliser of π cancels: numerator and denominator are both of degree K in it.
        score = self.logits - self.tau * x
        log_density = score.sum(-1) - K * torch.logsumexp(score, -1)
        return sum_dims(log_density + math.lgamma(K) + (K - 1) * torch.log(self.tau[..., 0]))

    def sample(self, temperature: float = 1.0) -> Tensor:
        noisy = self.logits + temperature * gumbel_like(self.logits)
        return torch.log_softmax(noisy / self.tau, -1)


@dataclass(frozen=True, eq=False)
class UniformCodes(Distribution):
    """Each of P positions is one of K codes, all alike: log p(z) = −P log K.

    Attributes:
        table: the codes, (B, K, D).
        usage: how often each is used, (B, K), as the codebook has seen it of late; it is no part
            of the distribution and says what the codes would cost if this were their prior.
        positions: P; z is (B, P, D).
    """

    table: Tensor
    usage: Tensor
    positions: int

    @property
    def mean(self) -> Tensor:
        return self.table.mean(1, keepdim=True).expand(-1, self.positions, -1)

    def log_prob(self, x: Tensor) -> Tensor:
        batch, K = self.table.shape[:2]
        return self.table.new_full((batch,), -self.positions * math.log(K))

    @property
    def perplexity(self) -> Tensor:
        """exp of the entropy of their use: K where all are used alike, 1 where one alone is."""
        return entropy(self.usage).exp()

    def sample(self, temperature: float = 1.0) -> Tensor:
        """Codes at random; at temperature 0 the first, as among equals the first is the largest."""
        batch, K = self.table.shape[:2]
        drawn = torch.randint(K, (batch, self.positions), device=self.table.device)
        index = drawn * int(temperature > 0)
        return torch.take_along_dim(self.table, index[..., None], 1)


@dataclass(frozen=True, eq=False)
class Quantized(Distribution):
    """The code nearest to what an encoder said, with certainty: P(z = code) = 1.

    A draw is exactly the code and has the encoder's gradient, straight through (1711.00937).

    Attributes:
        encoded: what was quantised, (B, P, D).
        code: what it became, (B, P, D); its own gradient reaches the codebook.
        index: which of the codes that is, (B, P).
    """

    has_coordinates: ClassVar[bool] = False

    encoded: Tensor
    code: Tensor
    index: Tensor

    @property
    def mean(self) -> Tensor:
        return self.code

    def log_prob(self, x: Tensor) -> Tensor:
        """log 1 for the code itself, the only value that is ever drawn."""
        return self.code.new_zeros(self.code.shape[0])

    def sample(self, temperature: float = 1.0) -> Tensor:
        return straight_through(self.code, self.encoded)


def entropy(usage: Tensor) -> Tensor:
    """H in nats (…) of shares (…, K), which need not sum to 1; 0 where nothing was ever used.

    >>> round(float(entropy(torch.tensor([2.0, 2.0, 0.0])).exp()), 4)
    2.0
    """
    p = usage / usage.sum(-1, keepdim=True).clamp(min=torch.finfo(usage.dtype).tiny)
    return -torch.xlogy(p, p).sum(-1)


def _shared(nats: Tensor, like: Tensor) -> Tensor:
    """Nats of each variable (B, N), spread evenly over the numbers (B, N, D) it is coded with."""
    return (nats[..., None] / like.shape[-1]).expand_as(like)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(q: OneHotCategorical, p: OneHotCategorical) -> Tensor:
    log_q, log_p = torch.log_softmax(q.logits, -1), torch.log_softmax(p.logits, -1)
    return _shared((log_q.exp() * (log_q - log_p)).sum(-1), log_q)


@register_kl(Quantized, UniformCodes)
def _quantized(q: Quantized, p: UniformCodes) -> Tensor:
    return torch.full_like(q.code, math.log(p.table.shape[1]) / q.code.shape[-1])
