"""What a data specification is made of besides plain numbers, and how its JSON is checked."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from vaelab.data.tabular.header import is_header

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

    @classmethod
    def of(cls, record: Any) -> "Vectors":
        """From JSON values."""
        source, offset, scale = record
        return cls(source, tuple(offset), tuple(scale))

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


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_int(value) or isinstance(value, float)


def _all(test: Callable[[object], bool], count: int | None = None) -> Callable[[object], bool]:
    def fits(value: object) -> bool:
        return (
            isinstance(value, list | tuple)
            and all(map(test, value))
            and count in (None, len(value))
        )

    return fits


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_column(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and _is_text(value[0])
        and _is_int(value[1])
    )


def _is_vectors(value: object) -> bool:
    fits = isinstance(value, list | tuple) and len(value) == 3 and _is_text(value[0])
    return fits and all(map(_all(_is_number), value[1:]))  # type: ignore[index]


_PAIR, _INTS, _NUMBERS = _all(_is_int, 2), _all(_is_int), _all(_is_number)
TYPES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "source": ("text", _is_text),
    "location": ("text", _is_text),
    "background": ("text", _is_text),
    "decimal": ("text", _is_text),
    "shape": ("a list of integers", lambda v: _INTS(v) and v != []),
    "dtype": ("text", _is_text),
    "levels": ("an integer or null", lambda v: v is None or _is_int(v)),
    "low": ("a number", _is_number),
    "high": ("a number", _is_number),
    "offset": ("a list of numbers", _NUMBERS),
    "scale": ("a list of numbers", _NUMBERS),
    "contrast": ("a number or null", lambda v: v is None or _is_number(v)),
    "binarize": ("text", _is_text),
    "condition": ("text", _is_text),
    "classes": ("a list of names", _all(_is_text)),
    "shares": ("a list of numbers", _NUMBERS),
    "sizes": ("three integers", _all(_is_int, 3)),
    "seed": ("an integer", _is_int),
    "resize": ("two integers or null", lambda v: v is None or _PAIR(v)),
    "columns": ("a list of kinds with their categories", _all(_is_column)),
    "sha256": ("text", _is_text),
    "header": ("a list of names with those of their values and their decimals", is_header),
    "label": ("text", _is_text),
    "vectors": (
        "a source with two lists of numbers, or null",
        lambda v: v is None or _is_vectors(v),
    ),
}
