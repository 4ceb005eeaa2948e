r"""Likelihoods of counts, positive numbers, categories and mixed columns.

counts    μ = exp(log m + h)       m the column's mean, so that an untrained decoder starts there
positive  log x ~ N(m + s h, s² σ²)      m and s the mean and deviation of the column's logarithm
mixed     log p(x | h) = Σ_g log p_g(x_g | h_g)       for groups g of columns
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vaelab.core import full_precision
from vaelab.distributions import (
    CategoricalIndex,
    Joint,
    LogNormal,
    NegativeBinomial,
    Poisson,
    ZeroInflated,
)
from vaelab.parts.likelihoods import COUNTS, MIXED, Likelihood, log_frequencies
from vaelab.parts.posteriors import bounded, split

RAREST = 1e-4
"""Smallest initial mean of a column; a column may be all 0."""


DISPERSION = (1e-2, 1e2)
"""Range of the initial r; above it counts are practically Poisson."""


class PoissonCounts(Likelihood):
    """Poisson likelihood: counts whose variance is their mean.

    >>> PoissonCounts(means=(2.0, 5.0))(torch.zeros(1, 2)).mean
    tensor([[2., 5.]])

    Args:
        means: means of the columns, or a single one for all data.
    """

    accepts, discrete = COUNTS, True

    log_means: Tensor

    def __init__(self, means: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.register_buffer("log_means", _logs(means), persistent=False)

    def forward(self, *given: Tensor) -> Poisson:
        return Poisson(self.log_means + bounded(full_precision(given[0])))


class NegativeBinomialCounts(Likelihood):
    """Negative binomial likelihood with mean μ and variance μ + μ²/r, and one learned r per column.

    >>> NegativeBinomialCounts(means=(2.0, 5.0))(torch.zeros(1, 2)).mean
    tensor([[2., 5.]])

    Args:
        means: means of the columns, or a single one for all data.
        deviations: standard deviations of the columns, from which r starts; r starts at 1 without
            them.
    """

    accepts, discrete = COUNTS, True

    log_means: Tensor

    def __init__(
        self, means: Sequence[float] = (1.0,), deviations: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("log_means", _logs(means), persistent=False)
        log_r = torch.zeros(len(means)) if deviations is None else _log_r(means, deviations)
        self.log_r = nn.Parameter(log_r)

    def forward(self, *given: Tensor) -> NegativeBinomial:
        log_mean = self.log_means + bounded(full_precision(given[0]))
        return NegativeBinomial(log_mean, bounded(self.log_r).expand_as(log_mean))


class ZeroInflatedCounts(Likelihood):
    """Zero-inflated negative binomial likelihood: a probability of an added 0 per value (scVI).

    Reference: A deep generative model for gene expression profiles from single-cell RNA
    sequencing, Lopez et al., 2017, arXiv:1709.02082.

    >>> ZeroInflatedCounts(means=(2.0,))(torch.zeros(1, 4)).mean.shape
    torch.Size([1, 2])

    Args:
        means: means of the columns, or a single one for all data.
    """

    params, accepts, discrete = 2, COUNTS, True

    log_means: Tensor

    def __init__(self, means: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.register_buffer("log_means", _logs(means), persistent=False)
        self.log_r = nn.Parameter(torch.zeros(len(means)))

    def forward(self, *given: Tensor) -> ZeroInflated:
        h, gate = split(given[0], self.params)
        log_mean = self.log_means + bounded(h)
        # An untrained decoder adds a 0 to one value in eight.
        return ZeroInflated(log_mean, bounded(self.log_r).expand_as(log_mean), gate - 2.0)


class PositiveNumbers(Likelihood):
    """Log-normal likelihood of positive numbers, with one learned σ per column.

    The density is that of the numbers themselves, not of their logarithms: see `LogNormal`.

    >>> PositiveNumbers(centres=(0.0,), spreads=(1.0,))(torch.zeros(1, 1)).mu
    tensor([[0.]])

    Args:
        centres: means m of the columns' logarithms.
        spreads: standard deviations s > 0 of the columns' logarithms.
    """

    accepts = MIXED

    centres: Tensor
    log_spreads: Tensor

    def __init__(self, centres: Sequence[float], spreads: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("centres", torch.tensor(centres), persistent=False)
        self.register_buffer("log_spreads", torch.tensor(spreads).log(), persistent=False)
        self.log_sigma = nn.Parameter(torch.full((len(centres),), -1.0))

    def forward(self, *given: Tensor) -> LogNormal:
        h = bounded(full_precision(given[0]))
        mu = self.centres + self.log_spreads.exp() * h
        return LogNormal(mu, (self.log_spreads + bounded(self.log_sigma)).expand_as(mu))


class Categories(Likelihood):
    """Likelihood of unordered categories, one logit for each of n in every column.

    >>> Categories(3)(torch.zeros(1, 3 * 2)).logits.shape
    torch.Size([1, 2, 3])

    Args:
        categories: number of categories n, at least 2.
    """

    accepts, discrete = MIXED, True

    def __init__(self, categories: int) -> None:
        super().__init__()
        self.params = categories

    def forward(self, *given: Tensor) -> CategoricalIndex:
        return CategoricalIndex(
            full_precision(given[0]).unflatten(1, (self.params, -1)).movedim(1, -1)
        )

    def marginal(self, x: Tensor) -> Tensor:
        return log_frequencies(x.round(), self.params)


class Mixed(Likelihood):
    """Likelihood of mixed columns: independent groups, each with its own likelihood.

        log p(x | h) = Σ_g log p_g(x_g | h_g)

    Groups need different numbers of parameters, so that a decoder gives every column the smallest
    equal share that is enough for all.

    >>> mixed = Mixed([(PoissonCounts(), (1,)), (Categories(3), (0, 2))])
    >>> mixed.params, mixed(torch.zeros(1, 9)).mean
    (3, tensor([[0., 1., 0.]]))

    Args:
        groups: likelihoods, each with the indices of its columns; every column of a row occurs
            once.

    Raises:
        ValueError: if columns are missing or occur twice.
    """

    accepts = MIXED

    def __init__(self, groups: Sequence[tuple[Likelihood, Sequence[int]]]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part for part, _ in groups)
        self.columns = tuple(tuple(columns) for _, columns in groups)
        places = sorted(place for columns in self.columns for place in columns)
        if places != list(range(len(places))) or not places:
            raise ValueError(f"the groups hold the columns {places}; expected each of 0, 1, … once")
        self.needs = tuple(part.params * len(columns) for part, columns in groups)
        self.params = math.ceil(sum(self.needs) / len(places))
        self.discrete = all(part.discrete for part, _ in groups)

    def forward(self, *given: Tensor) -> Joint:
        outputs = given[0].flatten(1)[:, : sum(self.needs)].split(self.needs, 1)
        parts = cast("Iterable[Likelihood]", self.parts)
        each = tuple(part(h) for part, h in zip(parts, outputs, strict=True))
        return Joint(each, self.columns)

    def marginal(self, x: Tensor) -> Tensor:
        parts = zip(cast("Iterable[Likelihood]", self.parts), self.columns, strict=True)
        h = torch.cat([part.marginal(x[:, columns]) for part, columns in parts])
        return nn.functional.pad(h, (0, self.params * x.shape[1] - len(h)))


def _log_r(means: Sequence[float], deviations: Sequence[float]) -> Tensor:
    """Moment estimate log r = log m² / (s² − m), as training is too slow to get there."""
    m, s = torch.tensor(means), torch.tensor(deviations)
    return (m**2 / (s**2 - m).clamp(min=1e-12)).clamp(*DISPERSION).log()


def _logs(means: Sequence[float]) -> Tensor:
    return torch.tensor(means).clamp(min=RAREST).log()
