r"""Encodings of columns for an encoder, for data that are hard to read on their own scale.

counts        (log(1 + k) − m) / s
positive      (log x − m) / s
categories    one-hot

For positive x, m and s are the mean and deviation of log x; for counts those of a lognormal 1 + k
that has the column's own mean μ and deviation σ:

    s² = log(1 + σ² / (1 + μ)²)          m = log(1 + μ) − s²/2
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LogCounts(nn.Module):
    """(B, D) counts → (B, D), about centred and of unit spread.

    Args:
        means: μ of the columns, or one for all.
        spreads: σ > 0, likewise.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, means: Sequence[float], spreads: Sequence[float]) -> None:
        super().__init__()
        mu, sigma = torch.tensor(means), torch.tensor(spreads)
        variance = torch.log1p((sigma / (1 + mu)) ** 2)
        self.register_buffer("centre", torch.log1p(mu) - variance / 2, persistent=False)
        self.register_buffer("spread", variance.sqrt(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.log1p(x.clamp(min=0)) - self.centre) / self.spread


class Logs(nn.Module):
    """(B, D) numbers above 0 → (B, D), standardised logarithms.

    Args:
        centres: means of the columns' logarithms, or one for all.
        spreads: their deviations > 0, likewise.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, centres: Sequence[float], spreads: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("centre", torch.tensor(centres), persistent=False)
        self.register_buffer("spread", torch.tensor(spreads), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x.clamp(min=torch.finfo(x.dtype).tiny).log() - self.centre) / self.spread


class OneHotEncoding(nn.Module):
    """(B, D) categories 0, …, n−1 → (B, D · n).

    Args:
        categories: n.
    """

    numbers: Tensor

    def __init__(self, categories: int) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.arange(categories), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x.round()[..., None] == self.numbers).to(x.dtype).flatten(1)


class Views(nn.Module):
    """(B, D) → (B, D'): groups of columns, each through a view of its own, side by side.

    Args:
        groups: a view and the columns it is shown.
    """

    def __init__(self, groups: Sequence[tuple[nn.Module, Sequence[int]]]) -> None:
        super().__init__()
        self.views = nn.ModuleList(view for view, _ in groups)
        self.columns = tuple(tuple(columns) for _, columns in groups)

    def forward(self, x: Tensor) -> Tensor:
        seen = [view(x[:, c]) for view, c in zip(self.views, self.columns, strict=True)]
        return torch.cat(seen, 1)
