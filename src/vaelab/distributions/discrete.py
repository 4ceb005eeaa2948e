r"""Distributions over codes: variables with K values, exact or relaxed.

    one-hot     P(z = e_k) = π_k                              exact draws, relaxed gradient
    concrete    z = log softmax((log π + g) / τ), g ~ Gumbel  logarithm of a soft choice
    quantized   P(z = c_k) = 1 for the nearest code c_k       one point among countably many

Unlike a `Dirac` on a continuous space, a point among finitely many has a probability, 1; so a
quantized code has a rate against a prior over codes, and its log-weights form a bound.

If a rate belongs to a variable rather than to each of the numbers that encode it, it is divided
evenly among them, so that the numbers' rates sum to the KL and none is negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, gumbel_like, register_kl, sum_dims


def straight_through(value: Tensor, carrier: Tensor) -> Tensor:
    """Return exactly `value`, with the gradient of `carrier`.

    Reference: Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation, Bengio et al., 2013, arXiv:1308.3432.
    """
    # Not carrier + (value − carrier): in floating point that is not quite the value.
    return value.detach() + (carrier - carrier.detach())


def one_hot(index: Tensor, like: Tensor) -> Tensor:
    """One-hot vectors (…, K) of indices (…), with K and the precision of `like` (…, K).

    >>> one_hot(torch.tensor([2, 0]), torch.zeros(2, 3))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    classes = torch.arange(like.shape[-1], device=like.device)
    return (index[..., None] == classes).to(like.dtype)


@dataclass(frozen=True, eq=False)
class OneHotCategorical(Distribution):
    """N categorical variables of K classes as one-hot vectors, with a relaxed gradient.

    A draw is exact (the argmax of the logits plus Gumbel noise) and has the gradient of its
    relaxation at temperature τ: the straight-through Gumbel-softmax.

    Reference: Categorical Reparameterization with Gumbel-Softmax, Jang et al., 2016,
    arXiv:1611.01144.

    >>> q = OneHotCategorical(torch.tensor([[[0.0, 1.0, 0.5]]]), tau=torch.ones(1, 1, 1))
    >>> q.sample(temperature=0)
    tensor([[[0., 1., 0.]]])

    Attributes:
        logits: log-probabilities up to a constant, (B, N, K).
        tau: temperature τ > 0 of the relaxation; broadcasts against `logits`.
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
    """Logarithm y of N relaxed categorical variables, points on the simplex of K classes.

    y = log softmax((log π + g) / τ),  g ~ Gumbel. With respect to K − 1 of its coordinates on the
    simplex, each in its logarithm, its density is

        log p(y) = log (K−1)! + (K−1) log τ + Σ_k (log π_k − τ y_k) − K log Σ_k exp(log π_k − τ y_k)

    The point e^y itself has the same rate, but rounds to a corner if the choice is certain, and has
    no density there.

    Reference: The Concrete Distribution, Maddison et al., 2016, arXiv:1611.00712, appendix C.3.

    >>> q = Concrete(torch.zeros(1, 2, 3), tau=torch.full((1, 1, 1), 0.5))
    >>> q.sample().exp().sum(-1).round(decimals=4)
    tensor([[1., 1.]])

    Attributes:
        logits: log π up to a constant, (B, N, K).
        tau: temperature τ > 0, (1, 1, 1).
    """

    logits: Tensor
    tau: Tensor

    @property
    def mean(self) -> Tensor:
        """Centre log softmax(log π / τ); E[y] has no closed form."""
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
    """Uniform distribution over K codes at each of P positions: log p(z) = −P log K.

    >>> p = UniformCodes(torch.randn(1, 8, 2), usage=torch.ones(1, 8), positions=3)
    >>> p.sample().shape, p.perplexity.round()
    (torch.Size([1, 3, 2]), tensor([8.]))

    Attributes:
        table: codes, (B, K, D).
        usage: recent usage of each code as tracked by the codebook, (B, K). It is not part of the
            distribution; it gives the cost of the codes if it were their prior.
        positions: number of positions P; z is (B, P, D).
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
        """exp of the entropy of the usage, from 1 (a single code) to K (all alike)."""
        return entropy(self.usage).exp()

    def sample(self, temperature: float = 1.0) -> Tensor:
        """Draw codes at random; at temperature 0, the first: the argmax of a tie."""
        batch, K = self.table.shape[:2]
        drawn = torch.randint(K, (batch, self.positions), device=self.table.device)
        index = drawn * int(temperature > 0)
        return torch.take_along_dim(self.table, index[..., None], 1)


@dataclass(frozen=True, eq=False)
class Quantized(Distribution):
    """Nearest code to an encoder's output, with certainty: P(z = code) = 1.

    A draw is exactly the code and passes its gradient straight through to the encoder.

    Reference: Neural Discrete Representation Learning, van den Oord et al., 2017, arXiv:1711.00937.

    >>> encoded, code = torch.tensor([[[0.9]]]), torch.tensor([[[1.0]]])
    >>> Quantized(encoded, code, index=torch.tensor([[3]])).sample()
    tensor([[[1.]]])

    Attributes:
        encoded: encoder's output, (B, P, D).
        code: nearest code, (B, P, D); its own gradient reaches the codebook.
        index: index of that code in the codebook, (B, P).
    """

    has_coordinates: ClassVar[bool] = False

    encoded: Tensor
    code: Tensor
    index: Tensor

    @property
    def mean(self) -> Tensor:
        return self.code

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log 1 for the code itself, the only value that is ever drawn."""
        return self.code.new_zeros(self.code.shape[0])

    def sample(self, temperature: float = 1.0) -> Tensor:
        return straight_through(self.code, self.encoded)


def entropy(usage: Tensor) -> Tensor:
    """Entropy in nats (…) of shares (…, K), which need not sum to 1; 0 if all of them are 0.

    >>> round(float(entropy(torch.tensor([2.0, 2.0, 0.0])).exp()), 4)
    2.0
    """
    p = usage / usage.sum(-1, keepdim=True).clamp(min=torch.finfo(usage.dtype).tiny)
    return -torch.xlogy(p, p).sum(-1)


def _shared(nats: Tensor, like: Tensor) -> Tensor:
    """Divide the nats of each variable (B, N) evenly among the numbers (B, N, D) that encode it."""
    return (nats[..., None] / like.shape[-1]).expand_as(like)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(q: OneHotCategorical, p: OneHotCategorical) -> Tensor:
    log_q, log_p = torch.log_softmax(q.logits, -1), torch.log_softmax(p.logits, -1)
    return _shared((log_q.exp() * (log_q - log_p)).sum(-1), log_q)


@register_kl(Quantized, UniformCodes)
def _quantized(q: Quantized, p: UniformCodes) -> Tensor:
    return torch.full_like(q.code, math.log(p.table.shape[1]) / q.code.shape[-1])
