"""From raw values to the numbers of a `DataSpec`: levels, range, offset, scale, contrast."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .spec import DataSpec

# Integers up to this are their own scale (16 for scikit-learn's digits); beyond it, 8-bit grey.
_SMALL = 31


class Measures(NamedTuple):
    """The measured fields of a `DataSpec`."""

    levels: int | None
    low: float
    high: float
    offset: tuple[float, ...]
    scale: tuple[float, ...]


def measure(every: Tensor, train: Tensor) -> Measures:
    """Where values can lie is read from every row; statistics from the training rows alone.

    Args:
        every: (N, *shape), raw rows of all splits, uint8 or float32.
        train: (M, *shape), the training rows among them.

    >>> measure(torch.tensor([[0, 1]]).byte(), torch.tensor([[0, 1]]).byte()).levels
    2
    """
    low, high = float(train.min()), float(train.max())
    if every.dtype == torch.uint8:
        top = int(every.max())
        levels = 256 if top > _SMALL else max(top, 1) + 1
        return Measures(levels, low, high, (0.0,), (float(levels - 1),))
    least, most = float(every.min()), float(every.max())
    if least >= 0 and most <= 1:
        return Measures(None, low, high, (0.0,), (1.0,))
    image = every.ndim == 4
    if image and least >= -1 and most <= 1:
        return Measures(None, low, high, (-1.0,), (2.0,))
    columns = (train.reshape(-1, 1) if image else train).double()
    spread = columns.std(0, correction=0)
    flat = columns.amax(0) == columns.amin(0)
    scale = torch.where(flat | (spread == 0), 1.0, spread)
    return Measures(None, low, high, tuple(columns.mean(0).tolist()), tuple(scale.tolist()))


def contrast(spec: DataSpec, train: Tensor) -> float:
    """Var(x) / (E x (1 − E x)), pooled over all values: 1 for pure black and white.

    Args:
        spec: how to scale.
        train: (M, *shape), raw training rows.

    Returns:
        In [0, 1]; nan where x is not in [0, 1] or is constant at an end of it.
    """
    if spec.domain == "real":
        return math.nan
    total = squares = 0.0
    for raw in torch.split(train, 4096):
        x = spec.prepare(raw).double()
        total += float(x.sum())
        squares += float(x.square().sum())
    mean = total / train.numel()
    variance = max(squares / train.numel() - mean**2, 0.0)
    return variance / (mean * (1 - mean)) if 0 < mean < 1 else math.nan
