"""Parts of a data specification: kinds of columns, and vectors known of every row."""

import math
from typing import NamedTuple

from torch import Tensor

KINDS = ("real", "positive", "binary", "counts", "categories")
NUMBERS = KINDS[:2]
"""Those that need not be whole."""


class Column(NamedTuple):
    """Kind of the values of a column.

    Attributes:
        kind: `"real"`, `"positive"` (above 0, and of a scale without ends, as incomes and prices
            are), `"binary"` {0, 1}, `"counts"` {0, 1, 2, …} or `"categories"` {0, …, n−1}, which
            have no order.
        categories: n, at least 2; 0 for the other kinds.
    """

    kind: str
    categories: int = 0


class Vectors(NamedTuple):
    """Condition vectors of every row: C numbers, with their scaling.

    Attributes:
        source: the name of an array in the file, the numbers of columns, or `"array"`.
        offset: their means over the training rows.
        scale: their deviations, positive.
    """

    source: str
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def check(self) -> None:
        """Refuse means and deviations that are none.

        Raises:
            ValueError: names their kind.
        """
        numbers, lengths = (*self.offset, *self.scale), {len(self.offset), len(self.scale)}
        if len(lengths) > 1 or 0 in lengths or not all(map(math.isfinite, numbers)):
            raise ValueError(
                "vectors have as many means as deviations, at least 1 and all finite, not "
                f"{self.offset} and {self.scale}"
            )
        if min(self.scale) <= 0:
            raise ValueError(f"deviations of vectors are above 0, not {self.scale}")

    def standard(self, rows: Tensor | None) -> Tensor:
        """Vectors (N, C) as a model reads them, standardised, float32.

        Raises:
            ValueError: if there are none, or they have another shape.
        """
        numbers = len(self.offset)
        if rows is None or rows.ndim != 2 or rows.shape[1] != numbers:
            seen = "come without" if rows is None else f"have vectors of {tuple(rows.shape)}"
            raise ValueError(
                f"this model is told {in_words(numbers)} of every row, and these {seen}; "
                f"expected (N, {numbers})"
            )
        offset, scale = rows.new_tensor(self.offset), rows.new_tensor(self.scale)
        return ((rows - offset) / scale).float()


def in_words(numbers: int) -> str:
    """A condition of so many numbers, in words."""
    return "one number" if numbers == 1 else f"a vector of {numbers} numbers"
