r"""Distributions over the columns of a table: unordered categories and independent groups.

log p(x) = Σ_g log p_g(x_g)          for groups g of columns
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from vaelab.distributions.base import Distribution, gumbel_like, sum_dims


@dataclass(frozen=True, eq=False)
class CategoricalIndex(Distribution):
    """Unordered category 0, 1, …, n−1 of every column.

    >>> CategoricalIndex(torch.tensor([[[0.0, 2.0, 1.0]]])).mean
    tensor([[1.]])

    Attributes:
        logits: log-probabilities up to a constant, (B, …, n).
    """

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        """Most probable category, as categories have no average."""
        return self.logits.argmax(-1).to(self.logits.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        category = torch.round(x).long().expand(self.logits.shape[:-1])
        return sum_dims(torch.log_softmax(self.logits, -1).gather(-1, category[..., None])[..., 0])

    def sample(self, temperature: float = 1.0) -> Tensor:
        noisy = self.logits + temperature * gumbel_like(self.logits)
        return noisy.argmax(-1).to(self.logits.dtype)


@dataclass(frozen=True, eq=False)
class Joint(Distribution):
    """Independent groups of columns, each with its own distribution.

    >>> from vaelab.distributions import Normal
    >>> zero = torch.zeros(1, 1)
    >>> p = Joint((Normal(zero, zero), CategoricalIndex(torch.zeros(1, 1, 4))), ((1,), (0,)))
    >>> p.log_prob(torch.tensor([[3.0, 0.0]]))  # −log 4 − ½ log 2π
    tensor([-2.3052])

    Attributes:
        parts: distributions of the groups, over (B, D_g).
        columns: indices of each group's columns in a row of D numbers; every index occurs once.
    """

    parts: tuple[Distribution, ...]
    columns: tuple[tuple[int, ...], ...]

    @property
    def mean(self) -> Tensor:
        return self.row([part.mean for part in self.parts])

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.stack([part.log_prob(x[:, c]) for part, c in self.groups()]).sum(0)

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.row([part.sample(temperature) for part in self.parts])

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"group {i} {name}": t
            for i, part in enumerate(self.parts)
            for name, t in part.tensors().items()
        }

    def expand(self, n: int) -> Self:
        return replace(self, parts=tuple(part.expand(n) for part in self.parts))

    def groups(self) -> Iterator[tuple[Distribution, tuple[int, ...]]]:
        """Yield each distribution with the indices of its columns."""
        return zip(self.parts, self.columns, strict=True)

    def row(self, groups: list[Tensor]) -> Tensor:
        """Rows (B, D) from the columns (B, D_g) of each group."""
        places = [place for group in self.columns for place in group]
        order = sorted(range(len(places)), key=places.__getitem__)
        return torch.cat(groups, 1)[:, order]
