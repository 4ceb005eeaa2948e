"""The cells of one column: texts, numbers without a text each, or numbers of distinct texts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Cell = str | None

DECIMALS = 6
"""Decimals that a 32-bit float keeps, at most."""
_LOOK = 1000
"""Numbers that are looked at first."""


class NumberTexts(Sequence[Cell]):
    """The cells of a column that a typed source holds as numbers, written only when asked for.

    Args:
        array: (N,), float64; nan for a missing value.
        whole: write whole numbers without a point.
        single: the numbers were 32-bit floats.
    """

    def __init__(self, array: Array, whole: bool, single: bool = False) -> None:
        self.array, self.whole, self.single = array, whole, single

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self._text(value) for value in self.array[i].tolist()]
        return self._text(float(self.array[i]))

    def _text(self, value: float) -> Cell:
        if math.isnan(value):
            return None
        if self.whole and math.isfinite(value):
            return str(int(value))
        return str(np.float32(value)) if self.single else str(value)


def decimals_of(cells: NumberTexts) -> int | None:
    """The decimals that all numbers are written with; None for more than a 32-bit float keeps."""
    if cells.whole:
        return 0
    x = cells.array[~np.isnan(cells.array)]
    if len(x) > _LOOK and decimals_of(NumberTexts(x[:_LOOK], False, cells.single)) is None:
        return None
    for places in range(DECIMALS + 1):
        rounded = np.round(x, places)
        same = rounded.astype(np.float32) == x.astype(np.float32) if cells.single else rounded == x
        if same.all():
            return max(places, 1)
    return None


class CodedTexts(Sequence[Cell]):
    """The cells of a column by their distinct texts.

    Args:
        distinct: texts (K,); None for a missing value.
        codes: (N,), the number of each cell's text.
    """

    def __init__(self, distinct: Sequence[Cell], codes: Array) -> None:
        self.distinct, self.codes = distinct, codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self.distinct[code] for code in self.codes[i].tolist()]
        return self.distinct[int(self.codes[i])]

    def take(self, rows: Array) -> "CodedTexts":
        """The cells of some rows, (K,)."""
        there, codes = np.unique(self.codes[rows], return_inverse=True)
        return CodedTexts([self.distinct[code] for code in there.tolist()], codes)


def coded(cells: Sequence[Cell]) -> CodedTexts:
    """Cells by their distinct texts.

    >>> coded(["b", None, "b"]).codes
    array([0, 1, 0])
    """
    if isinstance(cells, CodedTexts):
        return cells
    places: dict[Cell, int] = {}
    codes = np.fromiter(
        (places.setdefault(cell, len(places)) for cell in cells), np.intp, len(cells)
    )
    return CodedTexts(list(places), codes)
