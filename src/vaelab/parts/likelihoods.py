r"""Likelihoods p(x | h): each owns its activation, its accepted data and its units.

`h` is a decoder's output (B, params · C, …) for data (B, C, …). Data arrives at the model's scale:
binary and bounded data in [0, 1] (levels at k/(n−1)), unbounded data standardised, counts as they
are.

Densities (Gaussian, Laplace, Student's t, continuous Bernoulli) may exceed 1, so −log p may be
negative. Only the discrete ones (Bernoulli, logistic levels, categorical, counts) have bits/dim.
"""

from __future__ import annotations

import math
from abc import abstractmethod

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
from vaelab.parts.posteriors import bounded, split

BINARY = frozenset({"binary"})
GRID = frozenset({"binary", "levels"})
UNIT = frozenset({"binary", "levels", "unit"})
ANY = frozenset({"binary", "levels", "unit", "real", "counts"})
COUNTS = frozenset({"counts"})
MIXED = frozenset({"mixed"})


class Likelihood(Conditional):
    """p(x | h) from a decoder's output h.

    Attributes:
        params: numbers needed for one data dimension.
        accepts: the domains of data it is a likelihood for: "binary" {0, 1}, "levels" {k/(n−1)},
            "unit" [0, 1], "real", "counts" {0, 1, 2, …} or "mixed" (columns that differ).
        discrete: whether log p(x) is the logarithm of a probability, so that bits/dim exist.
    """

    params: int = 1
    accepts: frozenset[str] = ANY
    discrete: bool = False

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """The likelihood for a decoder's output (B, params · C, …)."""


class BernoulliLikelihood(Likelihood):
    """Black or white: sigmoid of one logit a pixel. Grey data is binarized before it gets here."""

    accepts, discrete = BINARY, True

    def forward(self, *given: Tensor) -> Bernoulli:
        return Bernoulli(full_precision(given[0]))


class ContinuousBernoulliLikelihood(Likelihood):
    """Grey values in [0, 1] as a density tilted towards 0 or 1 (1907.06845)."""

    accepts = UNIT

    def forward(self, *given: Tensor) -> ContinuousBernoulli:
        return ContinuousBernoulli(full_precision(given[0]))


class FixedGaussian(Likelihood):
    """N(h, σ²) with a σ that is stated: squared error divided by 2σ², plus its constant.

    Args:
        sigma: the standard deviation at the model's scale, > 0.
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


class LearnedGaussian(Likelihood):
    """N(h, σ²) with a learned σ (σ-VAE, 2006.13202).

    Args:
        shape: of σ; nothing for one σ for all data, D for one for each column of a table.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.full(shape, -1.0))

    def forward(self, *given: Tensor) -> Normal:
        mu = full_precision(given[0])
        return Normal(mu, bounded(self.log_sigma).to(mu.dtype).expand_as(mu))


class PixelGaussian(Likelihood):
    """N(μ, σ²) with a μ and a σ for every dimension of every example."""

    params = 2

    def forward(self, *given: Tensor) -> Normal:
        mu, log_sigma = split(given[0], self.params)
        # σ ≥ e⁻⁵ of the data's scale: without a floor the density of constant pixels is unbounded.
        return Normal(mu, bounded(log_sigma).clamp(min=-5.0))


class LaplaceLikelihood(Likelihood):
    """Laplace(h, b) with a learned b: absolute error, sharper and more forgiving than squared.

    Args:
        shape: of b; nothing for one b for all data, D for one for each column of a table.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full(shape, -1.0))

    def forward(self, *given: Tensor) -> Laplace:
        mu = full_precision(given[0])
        return Laplace(mu, bounded(self.log_scale).to(mu.dtype).expand_as(mu))


class StudentLikelihood(Likelihood):
    """Student's t around h with a learned scale: far outliers cost their logarithm.

    Args:
        df: ν, degrees of freedom, > 1 so that the mean exists; None to learn one from 10 on.
        shape: of scale and ν; () for one of each for all data, (D,) for one for each column of a
            table.
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


class LogisticLevels(Likelihood):
    """A logistic summed over each level's bin, location and scale a pixel (1606.04934).

    Args:
        levels: n, the number of grey levels.
    """

    params, accepts, discrete = 2, GRID, True

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, *given: Tensor) -> DiscretizedLogistic:
        mu, log_scale = split(given[0], self.params)
        # Centred so that an untrained decoder starts at mid-grey with a spread of a tenth.
        return DiscretizedLogistic(mu + 0.5, bounded(log_scale - 2.3).clamp(min=-7.0), self.levels)


class LogisticMixtureLevels(Likelihood):
    """A mixture of discretised logistics, one choice for the channels of a pixel (1701.05517).

    Args:
        levels: n, the number of grey levels.
        components: K, at least 1.
    """

    accepts, discrete = GRID, True

    centres: Tensor

    def __init__(self, levels: int = 256, components: int = 5) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components is {components}; a mixture has at least 1")
        self.levels, self.components, self.params = levels, components, 3 * components
        # Spread over the greys, so that components start as different ones.
        centres = (torch.arange(components) + 0.5) / components
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, *given: Tensor) -> LogisticMixture:
        split_up = full_precision(given[0]).unflatten(1, (3, self.components, -1))
        logits, mu, log_scale = (t.movedim(1, -1) for t in split_up.unbind(1))
        if logits.ndim > 3:
            logits = logits.sum(1, keepdim=True)
        log_scale = bounded(log_scale - 2.3).clamp(min=-7.0)
        return LogisticMixture(logits, mu + self.centres, log_scale, self.levels)


class CategoricalLevels(Likelihood):
    """One logit for every level of every pixel.

    Args:
        levels: n, the number of grey levels.
    """

    accepts, discrete = GRID, True

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.params = levels

    def forward(self, *given: Tensor) -> Categorical:
        return Categorical(full_precision(given[0]).unflatten(1, (self.params, -1)).movedim(1, -1))
