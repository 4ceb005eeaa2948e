r"""Estimates with standard errors, the return type of every metric.

    mean of items:   v̄ = 1/n Σ v_i,     se² = Σ (v_i − v̄)² / (n (n − 1))
    share of items:  p = hits / n,      se² = p̃ (1 − p̃) / (n + 4),   p̃ = (hits + 2) / (n + 4)

The standard error of a share is Agresti & Coull's (1998, The American Statistician 52): unlike
√(p(1 − p)/n) it does not claim certainty when none, or all, of the items were hit.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics.inputs import in_double


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error.

    Attributes:
        value: the figure.
        se: its standard error, one sigma; `inf` for a single item.
        n: how many independent items it was computed from.

    Example:
        >>> print(Estimate.share(torch.tensor([True, False, False, False])))
        0.25 ± 0.17
    """

    value: float
    se: float
    n: int

    @classmethod
    def mean(cls, values: Tensor) -> "Estimate":
        """The mean of `values` (N,), with the standard error of a mean of independent items.

        A mean that is infinite has no spread left: its `se` is 0.

        Raises:
            ValueError: there is no value, or one is not a number.
        """
        v = in_double(values)
        n = v.numel()
        if v.ndim != 1 or n == 0:
            raise ValueError(f"expected at least one value in a row (N,), got {tuple(v.shape)}")
        if bool(v.isnan().any()):
            raise ValueError(f"{int(v.isnan().sum())} of {n} values are not a number (nan)")
        value = float(v.mean())
        if math.isinf(value):
            return cls(value, 0.0, n)
        return cls(value, float(v.std()) / math.sqrt(n) if n > 1 else math.inf, n)

    @classmethod
    def share(cls, hits: Tensor) -> "Estimate":
        """The share of True among `hits` (N,), with Agresti & Coull's standard error.

        Raises:
            ValueError: there is no item.
        """
        n = hits.numel()
        if hits.ndim != 1 or n == 0:
            raise ValueError(f"expected at least one item in a row (N,), got {tuple(hits.shape)}")
        count = int(hits.sum())
        p = (count + 2) / (n + 4)
        return cls(count / n, math.sqrt(p * (1 - p) / (n + 4)), n)

    @property
    def is_any_share(self) -> bool:
        """True if two standard errors cover the whole range from 0 to 1 of a share."""
        return max(self.value, 1 - self.value) <= 2 * self.se

    def __str__(self) -> str:
        """Two digits of the standard error, and the figure to as many decimals, at most six."""
        if not (math.isfinite(self.value) and math.isfinite(self.se) and self.se > 0):
            return f"{self.value:g} ± {self.se:g}"
        places = min(max(0, 1 - math.floor(math.log10(self.se))), 6)
        return f"{self.value:.{places}f} ± {self.se:.{places}f}"


@dataclass(frozen=True)
class Threshold:
    """A limit that real data exceed with a known probability, `1 - level`.

    The limit is a quantile of n held-out distances and so itself uncertain: the share of real
    data above it varies by √(level (1 − level) / n). `low` and `high` are the quantiles one such
    standard error below and above, and carry that doubt into every share.

    Attributes:
        value: the quantile at `level`.
        low: the quantile one standard error of the level below.
        high: the quantile one standard error of the level above.
    """

    value: float
    low: float
    high: float

    @classmethod
    def calibrate(cls, heldout: Tensor, level: float = 0.95) -> "Threshold":
        """The threshold that held-out items exceed with probability `1 - level`.

        Args:
            heldout: distances of held-out items, (N,).
            level: in (0, 1).

        Raises:
            ValueError: `level` is outside (0, 1), or there are too few items for it.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie in (0, 1), got {level}")
        n = heldout.numel()
        if n * min(level, 1 - level) < 1:
            raise ValueError(
                f"{n} held-out items cannot place the {level:.0%} quantile; "
                f"give at least {math.ceil(1 / min(level, 1 - level))}"
            )
        se = math.sqrt(level * (1 - level) / n)
        levels = torch.tensor([level, max(level - se, 0.0), min(level + se, 1.0)])
        value, low, high = torch.quantile(in_double(heldout), levels.to(heldout.device).double())
        return cls(float(value), float(low), float(high))

    def share_above(self, distances: Tensor) -> Estimate:
        """The share of distances above the threshold.

        The standard error joins the sampling of the items (binomial; over rows for a matrix) and
        the doubt in the threshold, half the difference of the shares above `low` and `high`.

        Args:
            distances: (N,) for N independent items, or (P, S) for P independent rows of S
                distances which may depend on each other.
        """
        above = distances > self.value
        items = (
            Estimate.share(above) if above.ndim == 1 else Estimate.mean(above.double().mean(dim=1))
        )
        looser = float((distances > self.low).double().mean())
        tighter = float((distances > self.high).double().mean())
        return Estimate(items.value, math.hypot(items.se, (looser - tighter) / 2), items.n)
