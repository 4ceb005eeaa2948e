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
        self.width = categories
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

    def spread(self, cells: Tensor) -> Tensor:
        """One number of each column (B, D) to all numbers of its view: (B, D')."""
        return torch.cat(
            [
                cells[:, c].repeat_interleave(getattr(view, "width", 1), 1)
                for view, c in zip(self.views, self.columns, strict=True)
            ],
            1,
        )

    def forward(self, x: Tensor) -> Tensor:
        seen = [view(x[:, c]) for view, c in zip(self.views, self.columns, strict=True)]
        return torch.cat(seen, 1)


class ZeroFilled(nn.Module):
    """Rows (B, D) whose missing cells are NaN ↦ (B, D'), a view with zeros for missing cells.

    Args:
        views: encoding of complete rows; their own numbers by default.
    """

    def __init__(self, views: Views | None = None) -> None:
        super().__init__()
        self.views = views

    def forward(self, x: Tensor) -> Tensor:
        observed = ~x.isnan()
        filled, mask = torch.where(observed, x, 1.0), observed.to(x.dtype)
        if self.views is None:
            return filled * mask
        return self.views(filled) * self.views.spread(mask)


class ObservedInputs(nn.Module):
    """Rows (B, D) whose missing cells are NaN ↦ (B, D' + D): zero-filled view, observed cells.

    In training, more cells are hidden from the network, of each row a share between 0 and `hide`,
    so that it meets masks other than those of the data; the likelihood keeps them.

    >>> inputs = ObservedInputs(hide=0.0)
    >>> inputs(torch.tensor([[3.0, torch.nan]]))
    tensor([[3., 0., 1., 0.]])

    Args:
        views: encoding of complete rows; their own numbers by default.
        hide: largest share of a row's cells that are hidden in training, in [0, 1].
    """

    def __init__(self, views: Views | None = None, hide: float = 0.0) -> None:
        super().__init__()
        self.view, self.hide = ZeroFilled(views), hide

    def forward(self, x: Tensor) -> Tensor:
        observed = ~x.isnan()
        if self.training and self.hide > 0:
            shares = self.hide * torch.rand_like(x[:, :1])
            observed = observed & (torch.rand_like(x) >= shares)
            x = torch.where(observed, x, torch.nan)
        return torch.cat([self.view(x), observed.to(x.dtype)], 1)
