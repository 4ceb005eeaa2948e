r"""Likelihoods of counts, of positive numbers, of categories, and of columns that differ.

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
from vaelab.parts.likelihoods import COUNTS, MIXED, Likelihood
from vaelab.parts.posteriors import bounded, split

RAREST = 1e-4
"""The least mean of a column that a decoder starts from; a column may hold nothing but 0."""


DISPERSION = (1e-2, 1e2)
"""Where an r begins at least and at most; beyond the latter counts are as good as Poisson."""


class PoissonCounts(Likelihood):
    """Counts whose variance is their mean.

    Args:
        means: of the columns, or one for all data.
    """

    accepts, discrete = COUNTS, True

    log_means: Tensor

    def __init__(self, means: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.register_buffer("log_means", _logs(means), persistent=False)

    def forward(self, *given: Tensor) -> Poisson:
        return Poisson(self.log_means + bounded(full_precision(given[0])))


class NegativeBinomialCounts(Likelihood):
    """Counts of mean μ and variance μ + μ²/r, with one learned r for each column.

    Args:
        means: of the columns, or one for all data.
        deviations: as many, of which r begins; 1 where there are none.
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
    """As the negative binomial, with a probability of 0 on top for every value (scVI, 1709.02082).

    Args:
        means: of the columns, or one for all data.
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
        # An untrained decoder says that one value in eight is a false 0.
        return ZeroInflated(log_mean, bounded(self.log_r).expand_as(log_mean), gate - 2.0)


class PositiveNumbers(Likelihood):
    """Numbers above 0 whose logarithm is normal, with one learned σ for each column.

    Its density is of the numbers as they are, not of their logarithms: see `LogNormal`.

    Args:
        centres: m, the means of the columns' logarithms.
        spreads: s > 0, their deviations.
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
    """One logit for each of n categories without an order, in every column.

    Args:
        categories: n, at least 2.
    """

    accepts, discrete = MIXED, True

    def __init__(self, categories: int) -> None:
        super().__init__()
        self.params = categories

    def forward(self, *given: Tensor) -> CategoricalIndex:
        return CategoricalIndex(
            full_precision(given[0]).unflatten(1, (self.params, -1)).movedim(1, -1)
        )


class Mixed(Likelihood):
    """A likelihood for each group of columns, side by side.

    Its groups need different numbers, so a decoder gives it the least equal share for every column
    that is enough for all.

    Args:
        groups: a likelihood and the columns it is for; every column of a row occurs once.

    Raises:
        ValueError: where columns are missing or occur twice.
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


def _log_r(means: Sequence[float], deviations: Sequence[float]) -> Tensor:
    """By moments, r = m² / (s² − m): steps of training are too small to get there from anywhere."""
    m, s = torch.tensor(means), torch.tensor(deviations)
    return (m**2 / (s**2 - m).clamp(min=1e-12)).clamp(*DISPERSION).log()


def _logs(means: Sequence[float]) -> Tensor:
    return torch.tensor(means).clamp(min=RAREST).log()
