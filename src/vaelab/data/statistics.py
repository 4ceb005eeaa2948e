"""From raw values to the numbers of a `DataSpec`: levels, range, offset, scale, contrast.

Bytes are counted, value by value. Real columns are looked at piece by piece, and the means μ and
sums of squared deviations M of two pieces become those of both (Chan, Golub and LeVeque 1979):

    δ = μ_b − μ_a      μ = μ_a + δ n_b / n      M = M_a + M_b + δ² n_a n_b / n

Either way one pass is enough, and data that are larger than memory are never held in it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Raw, pieces

from .schema_fields import Column

# Integers up to this are their own scale (16 for scikit-learn's digits); beyond it, 8-bit grey.
_SMALL = 31


SLACK = 1e-4
"""The share of its width by which values may lie beyond an interval."""
_FILLED = 0.01
"""The share of an interval that values fill at least, or they are on another scale."""
_BRIGHT = 64
"""The least maximum of pictures whose fractions are grey values on 0 to 255."""


def interval(least: float, most: float, picture: bool) -> tuple[float, float] | None:
    """The known interval that values lie in and fill, but for rounding at its ends: (low, high).

    [0, 1] for all data; for pictures also [−1, 1] and [0, 255].

    Args:
        least: smallest value.
        most: largest value.
        picture: the values are of pictures.

    >>> interval(0, 1.0000005, picture=False), interval(0, 254.5, picture=True)
    ((0.0, 1.0), (0.0, 255.0))
    """
    known = [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)] if picture else [(0.0, 1.0)]
    for low, high in known:
        if (high == 255 and most <= _BRIGHT) or 0 < most - least < _FILLED * (high - low):
            continue
        if low <= least and most <= high:
            return low, high
        slack = SLACK * (high - low)
        if low - slack <= least and most <= high + slack and most - least >= (high - low) / 2:
            return low, high
    return None


class Measures(NamedTuple):
    """The measured fields of a `DataSpec`."""

    levels: int | None
    low: float
    high: float
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    contrast: float
    columns: tuple[Column, ...] = ()


def measure_fields(
    train: Raw,
    *others: Raw,
    lost: bool = False,
    ends: tuple[float, float] | None = None,
) -> Measures:
    """Measure the range on every row, and statistics on the training rows alone.

    Args:
        train: (M, *shape), raw training rows, uint8 or float32.
        others: the rows of the other splits.
        lost: values are whole only because float32 has lost their fractions.
        ends: ends of the interval that values lie in, if the source says so.

    >>> measure_fields(torch.tensor([[0, 1]]).byte(), torch.tensor([[0, 0]]).byte()).levels
    2
    """
    if train.dtype == torch.uint8:
        return _bytes(train, *others)
    return _reals(lost, ends, train, *others)


def measure_columns(train: Raw, columns: Sequence[Column]) -> Measures:
    """Mean, deviation and range of rows (M, D) whose columns have known kinds.

    For positive columns these are the mean and the deviation of the logarithm.
    """
    kinds = [columns[j % len(columns)].kind for j in range(train.shape[1])]
    positive = torch.tensor([kind == "positive" for kind in kinds])
    found, logs = Columns(), Columns()
    for piece in pieces(train):
        found.add(piece)
        if positive.any():
            logs.add(torch.where(positive, piece, 1.0).double().log())
    return Measures(
        None,
        float(found.low.min()),
        float(found.high.max()),
        tuple(torch.where(positive, logs.mean, found.mean).tolist()),
        tuple(torch.where(positive, logs.deviation, found.deviation).tolist()),
        math.nan,
        tuple(columns),
    )


def _bytes(train: Raw, *others: Raw) -> Measures:
    counts = _counts(train)
    seen, anywhere = (
        c.nonzero().flatten().tolist() for c in (counts, sum(map(_counts, others), counts))
    )
    top = anywhere[-1]
    levels = 256 if top > _SMALL else max(top, 1) + 1
    share = counts.double() / counts.sum()
    x = torch.arange(256, dtype=torch.float64) / (levels - 1)
    mean = float(share @ x)
    contrast = _contrast(mean, float(share @ (x - mean) ** 2))
    return Measures(levels, seen[0], seen[-1], (0.0,), (float(levels - 1),), contrast)


def _counts(x: Raw) -> Tensor:
    """Counts of the values 0–255: (256,), int64."""
    counts = torch.zeros(256, dtype=torch.int64)
    for piece in pieces(x):
        counts += torch.bincount(piece.flatten(), minlength=256)
    return counts


def _reals(lost: bool, ends: tuple[float, float] | None, train: Raw, *others: Raw) -> Measures:
    found, dims = Columns(), train.ndim - 1
    for piece in pieces(train):
        # A picture has one scale for all its pixels, a series one per channel, a table per column.
        found.add(piece.reshape(-1, 1) if dims == 3 else piece.reshape(-1, piece.shape[-1]))
    low, high = float(found.low.min()), float(found.high.max())
    least, most = low, high
    whole = dims == 1 and all(_whole(piece) for x in (train, *others) for piece in pieces(x))
    for piece in (piece for other in others for piece in pieces(other)):
        least, most = min(least, float(piece.min())), max(most, float(piece.max()))
    ends = ends or interval(least, most, dims == 3)
    if ends is not None and ends[0] <= least and most <= ends[1]:
        offset, scale = ends[0], ends[1] - ends[0]
        mean = float(found.mean.mean())
        variance = float(found.variance.mean() + found.mean.var(correction=0))
        contrast = _contrast((mean - offset) / scale, variance / scale**2)
        return Measures(None, low, high, (offset,), (scale,), contrast)
    columns = (Column("counts"),) if whole and least >= 0 and not lost else ()
    means, deviations = tuple(found.mean.tolist()), tuple(found.deviation.tolist())
    return Measures(None, low, high, means, deviations, math.nan, columns)


def _whole(rows: Tensor) -> bool:
    return bool((rows == rows.round()).all())


class Columns:
    """Mean, variance and range of columns (D,) over pieces of any size, in float64."""

    def __init__(self) -> None:
        self.n, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())
        self.low, self.high = torch.tensor(math.inf), torch.tensor(-math.inf)

    def add(self, rows: Tensor) -> None:
        """Add rows (k, D)."""
        self.low = torch.minimum(self.low, rows.amin(0))
        self.high = torch.maximum(self.high, rows.amax(0))
        rows, k = rows.double(), len(rows)
        mean = rows.mean(0)
        delta, n = mean - self.mean, self.n + k
        self.squares = self.squares + (rows - mean).square().sum(0) + delta**2 * (self.n * k / n)
        self.mean, self.n = self.mean + delta * (k / n), n

    @property
    def variance(self) -> Tensor:
        """Var over all rows, (D,)."""
        return self.squares / self.n

    @property
    def deviation(self) -> Tensor:
        """σ over all rows, (D,); 1 for a column that is always the same."""
        sigma = self.variance.sqrt()
        return torch.where((self.high == self.low) | (sigma == 0), 1.0, sigma)


def _contrast(mean: float, variance: float) -> float:
    """Var(x) / (E x (1 − E x)) for x in [0, 1]; nan if all of x is at one end."""
    return variance / (mean * (1 - mean)) if 0 < mean < 1 else math.nan
