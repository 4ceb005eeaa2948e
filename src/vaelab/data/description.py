"""Figures of the splits of a data set, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Raw
from vaelab.utils.tables import Tabular

if TYPE_CHECKING:
    import pandas as pd

ROWS = 4096
"""Rows that are read at a time, since data may be larger than memory."""


@dataclass(frozen=True)
class Description(Tabular):
    """One row for each split: number of examples, range, mean, spread, examples of each class.

    Attributes:
        rows: figures by name, for train, valid and test. Values are raw.
    """

    rows: tuple[dict[str, Any], ...]

    def to_frame(self) -> pd.DataFrame:
        """Data frame with a line per split."""
        import pandas as pd

        return pd.DataFrame(list(self.rows))

    def __repr__(self) -> str:
        """The table as text."""
        return str(self.to_frame().to_string(index=False, float_format="{:.4g}".format))


def described(name: str, x: Raw, y: Tensor | None, classes: Sequence[str]) -> dict[str, Any]:
    """Figures of one split, in one pass over its rows x (N, …)."""
    count, total, square = 0, 0.0, 0.0
    low, high = float("inf"), float("-inf")
    shift: float | None = None  # without it, squares of large values cancel
    for start in range(0, len(x), ROWS):
        part = x[start : start + ROWS].double()
        shift = float(part.mean()) if shift is None else shift
        count += part.numel()
        total += float((part - shift).sum())
        square += float(((part - shift) ** 2).sum())
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    n = max(1, count)
    mean = total / n
    figures: dict[str, Any] = {
        "split": name,
        "rows": len(x),
        "min": low,
        "max": high,
        "mean": (shift or 0.0) + mean,
        "std": max(0.0, square / n - mean**2) ** 0.5,
    }
    if y is not None:
        counts = torch.bincount(y, minlength=len(classes)).tolist()
        figures |= {f"n[{label}]": k for label, k in zip(classes, counts, strict=False)}
    return figures
