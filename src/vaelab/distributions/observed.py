r"""Rows with missing cells, marked NaN: the density of the cells that were observed.

log p(x_obs) = Σ_{d observed} log p(x_d)          for columns that are independent given z
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, cast

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution
from vaelab.distributions.columns import Joint

STAND_IN = 1.0
"""Value that every kind of column can have; it replaces missing cells and is then masked."""


def column_log_prob(p: Distribution, x: Tensor) -> Tensor:
    """log p of each column in nats, (B, D), for rows x (B, D); 0 for a missing cell.

    >>> from vaelab.distributions import Normal
    >>> p = Normal(torch.zeros(1, 2), torch.zeros(1, 2))
    >>> column_log_prob(p, torch.tensor([[0.0, torch.nan]]))
    tensor([[-0.9189,  0.0000]])

    Args:
        p: distribution of rows, with columns that are independent.
        x: rows; missing cells are NaN.
    """
    if isinstance(p, Observed):
        return column_log_prob(p.base, x)
    if isinstance(p, Joint):
        return p.row([column_log_prob(part, x[:, c]) for part, c in p.groups()])
    observed = ~x.isnan()
    filled = torch.where(observed, x, STAND_IN)
    # Each cell as an example of one column: no distribution needs a second density.
    cells = {k: t.flatten(0, 1)[:, None] for k, t in p.expand(len(x)).tensors().items()}
    nats = replace(cast(Any, p), **cells).log_prob(filled.flatten()[:, None])
    return torch.where(observed, nats.view_as(x), 0.0)


@dataclass(frozen=True, eq=False)
class Observed(Distribution):
    """Distribution of rows (B, D) whose missing cells are NaN and have no part in the density.

    Reference: MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets, Mattei &
    Frellsen, 2019, arXiv:1812.02633.

    >>> from vaelab.distributions import Normal
    >>> p = Observed(Normal(torch.zeros(1, 2), torch.zeros(1, 2)))
    >>> p.log_prob(torch.tensor([[0.0, torch.nan], [0.0, 0.0]]))
    tensor([-0.9189, -1.8379])

    Attributes:
        base: distribution of complete rows, with columns that are independent.
    """

    base: Distribution

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    def log_prob(self, x: Tensor) -> Tensor:
        return column_log_prob(self.base, x).sum(1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.base.sample(temperature)

    def tensors(self) -> dict[str, Tensor]:
        return self.base.tensors()

    def expand(self, n: int) -> Self:
        return replace(self, base=self.base.expand(n))
