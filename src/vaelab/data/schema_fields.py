"""Parts of a data specification: kinds of columns, and vectors known of every row."""

import math
from typing import NamedTuple

from torch import Tensor

KINDS = ("real", "positive", "binary", "counts", "categories")
NUMBERS = KINDS[:2]
"""Those that need not be whole."""


class Column(NamedTuple):
    """What the values of a column are.

    Attributes:
        kind: `"real"`, `"positive"` (above 0, and of a scale without ends, as incomes and prices
            are), `"binary"` {0, 1}, `"counts"` {0, 1, 2, …} or `"categories"` {0, …, n−1}, which
            have no order.
        categories: n, at least 2; 0 for the other kinds.
    """

    kind: str
    categories: int = 0


class Vectors(NamedTuple):
    """What is known of every row besides its label: C numbers.

    Attributes:
        source: the name of an array in the file, the numbers of columns, or `"array"`.
        offset: their means over the training rows.
        scale: their deviations, positive.
    """

    source: str
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def check(self) -> None:
        """Refuses means and deviations that are none.

        Raises:
            ValueError: says what they are.
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
        """Vectors (N, C) as a model is told them, float32.

        Raises:
            ValueError: where there are none, or they have another shape.
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
    """What a model is told that is told so many numbers."""
    return "one number" if numbers == 1 else f"a vector of {numbers} numbers"
