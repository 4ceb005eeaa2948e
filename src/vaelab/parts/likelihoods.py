r"""Likelihoods p(x | h): each defines its activation, its accepted data and its units.

`h` is a decoder's output (B, params · C, …) for data (B, C, …). Data arrives at the model's scale:
binary and bounded data in [0, 1] (levels at k/(n−1)), unbounded data standardised, counts as they
are.

Densities (Gaussian, Laplace, Student's t, continuous Bernoulli) may exceed 1, so −log p may be
negative. Only the discrete ones (Bernoulli, logistic levels, categorical, counts) have bits/dim.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaelab.core import Conditional, full_precision
from vaelab.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Distribution,
    Laplace,
    LogisticMixture,
    Normal,
    StudentT,
)
from vaelab.parts.posteriors import bounded, split, unbounded

BINARY = frozenset({"binary"})
GRID = frozenset({"binary", "levels"})
UNIT = frozenset({"binary", "levels", "unit"})
ANY = frozenset({"binary", "levels", "unit", "real", "counts"})
COUNTS = frozenset({"counts"})
MIXED = frozenset({"mixed"})

RAREST = 0.01
"""Smallest initial probability of either value: a pixel that is black in all training rows may be
white in the next."""

UNEXPLAINED = math.exp(-1)
"""Share of the data's spread at which a learned scale starts: it moves by no more than the learning
rate a step, while a decoder soon explains the rest."""

SHARPEST = 0.01
"""Smallest initial scale, in the units of a model: columns of a table may be constant."""

LOGISTIC = math.sqrt(3) / math.pi
"""Scale of a logistic distribution of unit standard deviation."""

BISECTIONS = 40


class Likelihood(Conditional):
    """Likelihood p(x | h) of a decoder's output h.

    Attributes:
        params: number of parameters per data dimension.
        accepts: accepted domains of data: "binary" {0, 1}, "levels" {k/(n−1)}, "unit" [0, 1],
            "real", "counts" {0, 1, 2, …} or "mixed" (columns of different kinds).
        discrete: True if log p(x) is the logarithm of a probability, so that bits/dim exist.
    """

    params: int = 1
    accepts: frozenset[str] = ANY
    discrete: bool = False

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """Return the likelihood for a decoder's output (B, params · C, …)."""

    def marginal(self, x: Tensor) -> Tensor:
        """Set learned scales from rows x, and return the decoder output h that fits them all.

        h is 0 by default: for a likelihood that is at the data's scale there.

        >>> h = BernoulliLikelihood().marginal(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
        >>> h.sigmoid()
        tensor([0.5000, 0.9900])

        Args:
            x: rows (N, C, …) at the model's scale.

        Returns:
            h of shape (params · C, …): p(x | h) is about the distribution of each number over the
            rows.
        """
        return x.new_zeros(self.params * x.shape[1], *x.shape[2:])


class BernoulliLikelihood(Likelihood):
    """Bernoulli likelihood, p(x=1) = sigmoid(h); grey data is binarized beforehand.

    >>> BernoulliLikelihood()(torch.zeros(1, 4)).mean
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])
    """

    accepts, discrete = BINARY, True

    def forward(self, *given: Tensor) -> Bernoulli:
        return Bernoulli(full_precision(given[0]))

    def marginal(self, x: Tensor) -> Tensor:
        return torch.logit(x.mean(0).clamp(RAREST, 1 - RAREST))


class ContinuousBernoulliLikelihood(Likelihood):
    """Continuous Bernoulli likelihood of grey values in [0, 1].

    Reference: The continuous Bernoulli: fixing a pervasive error in variational autoencoders,
    Loaiza-Ganem & Cunningham, 2019, arXiv:1907.06845.

    >>> ContinuousBernoulliLikelihood()(torch.zeros(1, 4)).mean
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])
    """

    accepts = UNIT

    def forward(self, *given: Tensor) -> ContinuousBernoulli:
        return ContinuousBernoulli(full_precision(given[0]))

    def marginal(self, x: Tensor) -> Tensor:
        # The mean rises with the logit; its inverse has no closed form.
        mean = x.mean(0).clamp(RAREST, 1 - RAREST)
        low, high = torch.full_like(mean, -1 / RAREST), torch.full_like(mean, 1 / RAREST)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = ContinuousBernoulli(middle[None]).mean[0] < mean
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2


class FixedGaussian(Likelihood):
    """Gaussian likelihood N(h, σ²) with a fixed σ: squared error divided by 2σ², plus a constant.

    >>> FixedGaussian(sigma=0.5)(torch.zeros(1, 4)).sigma
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])

    Args:
        sigma: standard deviation at the model's scale, > 0.

    Raises:
        ValueError: if sigma is not finite and positive.
    """

    log_sigma: Tensor

    def __init__(self, sigma: float = 1.0) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma is {sigma}; a standard deviation is finite and above 0")
        self.register_buffer("log_sigma", torch.tensor(math.log(sigma)))

    def forward(self, *given: Tensor) -> Normal:
        mu = full_precision(given[0])
        return Normal(mu, self.log_sigma.to(mu.dtype).expand_as(mu))

    def marginal(self, x: Tensor) -> Tensor:
        return x.mean(0)


class LearnedGaussian(Likelihood):
    """Gaussian likelihood N(h, σ²) with a learned σ (σ-VAE).

    Reference: Simple and Effective VAE Training with Calibrated Decoders, Rybkin et al., 2020,
    arXiv:2006.13202.

    >>> LearnedGaussian(3)(torch.zeros(1, 3)).sigma.detach()
    tensor([[0.3691, 0.3691, 0.3691]])

    Args:
        shape: shape of σ; empty for a single σ, D for one per column of a table.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.full(shape, -1.0))

    def forward(self, *given: Tensor) -> Normal:
        mu = full_precision(given[0])
        return Normal(mu, bounded(self.log_sigma).to(mu.dtype).expand_as(mu))

    def marginal(self, x: Tensor) -> Tensor:
        self.log_sigma.data.copy_(_log_spread(UNEXPLAINED * x, self.log_sigma.shape))
        return x.mean(0)


class PixelGaussian(Likelihood):
    """Heteroscedastic Gaussian likelihood N(μ, σ²): μ and σ for every dimension and example.

    >>> PixelGaussian()(torch.zeros(1, 8)).mean.shape
    torch.Size([1, 4])
    """

    params = 2

    def forward(self, *given: Tensor) -> Normal:
        mu, log_sigma = split(given[0], self.params)
        # σ ≥ e⁻⁵ of the data's scale: without a floor the density of constant pixels is unbounded.
        return Normal(mu, bounded(log_sigma).clamp(min=-5.0))

    def marginal(self, x: Tensor) -> Tensor:
        mean = x.mean(0)
        return torch.cat([mean, _log_spread(x).expand_as(mean)])


class LaplaceLikelihood(Likelihood):
    """Laplace likelihood with location h and a learned scale b: absolute error, robust to outliers.

    >>> LaplaceLikelihood()(torch.zeros(1, 4)).mean
    tensor([[0., 0., 0., 0.]])

    Args:
        shape: shape of b; empty for a single b, D for one per column of a table.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full(shape, -1.0))

    def forward(self, *given: Tensor) -> Laplace:
        mu = full_precision(given[0])
        return Laplace(mu, bounded(self.log_scale).to(mu.dtype).expand_as(mu))

    def marginal(self, x: Tensor) -> Tensor:
        # A Laplace distribution of scale b has the standard deviation b √2.
        rescaled = UNEXPLAINED / math.sqrt(2) * x
        self.log_scale.data.copy_(_log_spread(rescaled, self.log_scale.shape))
        return x.mean(0)


class StudentLikelihood(Likelihood):
    """Student's t likelihood with a learned scale: distant outliers cost their logarithm.

    >>> StudentLikelihood(df=4.0)(torch.zeros(1, 3)).mean
    tensor([[0., 0., 0.]])

    Args:
        df: degrees of freedom ν > 1, so that the mean exists; None to learn them, starting at 10.
        shape: shape of scale and ν; () for a single one, (D,) for one per column of a table.

    Raises:
        ValueError: if df is not finite and above 1.
    """

    def __init__(self, df: float | None = None, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        if df is not None and not 1 < df < math.inf:
            raise ValueError(f"df is {df}; degrees of freedom are finite and above 1")
        self.log_scale = nn.Parameter(torch.full(shape, -1.0))
        above_one = torch.full(shape, math.log((10.0 if df is None else df) - 1))
        self.log_above_one = nn.Parameter(above_one, requires_grad=df is None)

    def forward(self, *given: Tensor) -> StudentT:
        mu = full_precision(given[0])
        log_df = torch.log1p(bounded(self.log_above_one).exp())
        scale, df = (t.to(mu.dtype).expand_as(mu) for t in (bounded(self.log_scale), log_df))
        return StudentT(mu, scale, df)

    def marginal(self, x: Tensor) -> Tensor:
        self.log_scale.data.copy_(_log_spread(UNEXPLAINED * x, self.log_scale.shape))
        return x.mean(0)


class LogisticLevels(Likelihood):
    """Discretized logistic likelihood, with a location and a scale per pixel.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016,
    arXiv:1606.04934.

    >>> LogisticLevels(levels=17)(torch.zeros(1, 8)).mean  # starts at mid-grey
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])

    Args:
        levels: number of grey levels n.
    """

    params, accepts, discrete = 2, GRID, True

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, *given: Tensor) -> DiscretizedLogistic:
        mu, log_scale = split(given[0], self.params)
        # An untrained decoder starts at mid-grey with a scale of a tenth.
        return DiscretizedLogistic(mu + 0.5, bounded(log_scale - 2.3).clamp(min=-7.0), self.levels)

    def marginal(self, x: Tensor) -> Tensor:
        mu = x.mean(0) - 0.5
        return torch.cat([mu, (_log_spread(LOGISTIC * x) + 2.3).expand_as(mu)])


class LogisticMixtureLevels(Likelihood):
    """Mixture of discretized logistics, with one choice of component for the channels of a pixel.

    Reference: PixelCNN++, Salimans et al., 2017, arXiv:1701.05517.

    >>> likelihood = LogisticMixtureLevels(levels=17, components=3)
    >>> likelihood(torch.zeros(1, likelihood.params * 4)).mean.shape
    torch.Size([1, 4])

    Args:
        levels: number of grey levels n.
        components: number of components K, at least 1.

    Raises:
        ValueError: if there are no components.
    """

    accepts, discrete = GRID, True

    centres: Tensor

    def __init__(self, levels: int = 256, components: int = 5) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components is {components}; a mixture has at least 1")
        self.levels, self.components, self.params = levels, components, 3 * components
        # Spread over the greys, so that components start apart.
        centres = (torch.arange(components) + 0.5) / components
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, *given: Tensor) -> LogisticMixture:
        split_up = full_precision(given[0]).unflatten(1, (3, self.components, -1))
        logits, mu, log_scale = (t.movedim(1, -1) for t in split_up.unbind(1))
        if logits.ndim > 3:
            logits = logits.sum(1, keepdim=True)
        log_scale = bounded(log_scale - 2.3).clamp(min=-7.0)
        return LogisticMixture(logits, mu + self.centres, log_scale, self.levels)

    def marginal(self, x: Tensor) -> Tensor:
        # Components at the quantiles of one logistic distribution, each with the variance that is
        # left, so that they start apart and have the data's mean and variance together.
        places = LOGISTIC * torch.logit(self.centres)
        left = (1 - places.square().mean()).sqrt()
        deviation = _log_spread(x).exp()
        mean = x.mean(0)
        shape = (self.components, *[1] * mean.ndim)
        mu = mean + ((deviation * places) - self.centres).view(shape)
        log_scale = (_log_spread(LOGISTIC * left * x) + 2.3).expand_as(mu)
        return torch.stack([torch.zeros_like(mu), mu, log_scale]).flatten(0, 2)


class CategoricalLevels(Likelihood):
    """Categorical likelihood, one logit for every level of every pixel.

    >>> CategoricalLevels(levels=17)(torch.zeros(1, 17 * 4)).mean
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])

    Args:
        levels: number of grey levels n.
    """

    accepts, discrete = GRID, True

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.params = levels

    def forward(self, *given: Tensor) -> Categorical:
        return Categorical(full_precision(given[0]).unflatten(1, (self.params, -1)).movedim(1, -1))

    def marginal(self, x: Tensor) -> Tensor:
        return log_frequencies(torch.round(x * (self.params - 1)), self.params)


def log_frequencies(index: Tensor, classes: int) -> Tensor:
    """Logarithms of the smoothed frequencies of classes in rows of indices.

    >>> log_frequencies(torch.tensor([[0.0], [1.0], [1.0], [1.0]]), 2).exp()
    tensor([0.3333, 0.6667])

    Args:
        index: indices 0, …, classes − 1 as numbers, (N, C, …).
        classes: number of classes.

    Returns:
        Logits (classes · C, …).
    """
    rows = index.flatten(1).long()
    counts = torch.ones(classes, rows.shape[1], device=index.device)  # one more than observed
    counts.scatter_add_(0, rows, torch.ones_like(index).flatten(1))
    frequencies = counts / (len(rows) + classes)
    return frequencies.log().unflatten(1, index.shape[1:]).flatten(0, 1)


def _log_spread(x: Tensor, shape: Sequence[int] = ()) -> Tensor:
    """Unbounded logarithm of the deviation of rows from their mean, pooled to `shape`."""
    squares = (x - x.mean(0)).square().mean(0)
    pooled = squares if tuple(shape) == squares.shape else squares.mean()
    return unbounded(pooled.sqrt().clamp(min=SHARPEST).log())
