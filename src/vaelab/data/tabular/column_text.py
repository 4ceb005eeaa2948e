"""The cells of a column of text: what they say, and what kind of column that makes.

two different values                            binary
numbers                                         real, but
    whole, of 0, 1, 2, …                        counts
    whole, a few that are no such sequence      categories
    above 0, and log-normal rather than normal  positive
text                                            categories

What is more like a log-normal is told by the log-likelihood that it gains over a normal, both with
the moments of the column, in nats a row: for values of deviation σ, whose logarithms have the mean
m and the deviation s,

    log σ − log s − m
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"(\d{4}([-/.])\d\d?\2\d\d?|\d\d?([-/.])\d\d?\3\d{2,4})([T ].*)?")
_MISSING = {"", "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "nat", "<na>", "?", "-", "--"}
_INFINITE = {"inf", "infinity"}
_LARGEST = float(np.finfo(np.float32).max)

_FEW, _OFTEN = 12, 10
"""Whole numbers are names of categories where they are so few, and each occurs so often."""
_TEXTS, _MOST, _EACH = 20, 1000, 4
"""Texts are categories where there are so few; or more, up to that many, and each so often."""
_DECIMALS = 6
_GAIN = 0.1
"""Nats a row from which a column is skewed: of a log-normal, where s is above 0.37."""


def number(text: str, comma: bool = False) -> float | None:
    """The number that a text is, or None.

    >>> number("1e3"), number("1,5", comma=True), number("12a")
    (1000.0, 1.5, None)
    """
    if comma:
        text = text.replace(",", ".")
    return float(text) if _NUMBER.fullmatch(text) else None


def unusable(text: str, comma: bool = False) -> str | None:
    """Why a cell holds no value, where it holds none."""
    plain = text.lower()
    if plain in _MISSING:
        return "the value is missing" + (f" ({text})" if text else "")
    value = number(text, comma)
    if plain.lstrip("+-") in _INFINITE or (value is not None and abs(value) > _LARGEST):
        return f"{text} is not finite as a 32-bit number"
    return None


@dataclass(frozen=True, eq=False)
class TextColumn:
    """The cells of a column, each of its K different texts once.

    Args:
        texts: the K, in the order they come.
        index: (N,), which of them each cell is.
        comma: whether numbers are written with a decimal comma.
    """

    texts: tuple[str, ...]
    index: Array
    comma: bool = False

    @classmethod
    def of(cls, column: Sequence[str], comma: bool = False) -> "TextColumn":
        """From N texts."""
        numbers: dict[str, int] = {}
        index = [numbers.setdefault(text, len(numbers)) for text in column]
        return cls(tuple(numbers), np.array(index, np.int64), comma)

    def of_rows(self, rows: Array) -> "TextColumn":
        """Those of the rows where `rows` (N,) is true."""
        if rows.all():
            return self
        used, index = np.unique(self.index[rows], return_inverse=True)
        return TextColumn(tuple(self.texts[i] for i in used), index, self.comma)

    @cached_property
    def numbers(self) -> Array:
        """What the K texts are as numbers, nan where they are none; float64."""
        found = (number(text, self.comma) for text in self.texts)
        return np.array([math.nan if value is None else value for value in found])

    @property
    def numeric(self) -> bool:
        """Whether all are numbers."""
        return not np.isnan(self.numbers).any()

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        return bool((self.numbers == np.rint(self.numbers)).all())

    @property
    def values(self) -> Array:
        """(N,), the numbers."""
        return self.numbers[self.index]

    @cached_property
    def categories(self) -> tuple[tuple[str, ...], Array]:
        """The different values in order, and which each cell is; 1 and 1.0 are one number."""
        keys = self.numbers if self.numeric else np.array(self.texts, object)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        return tuple(self.texts[i] for i in first), inverse[self.index]

    @property
    def decimals(self) -> int | None:
        """How many the numbers have at most; None for more than a 32-bit float keeps."""
        point = "," if self.comma else "."
        if any("e" in text.lower() for text in self.texts):
            return None
        most = max(len(text.partition(point)[2]) for text in self.texts)
        return most if most <= _DECIMALS else None

    def first(self, wrong: Array) -> int | None:
        """The first row whose text is `wrong` (K,), if there is one."""
        rows = wrong[self.index]
        return int(rows.argmax()) if rows.any() else None

    def kind(self) -> str:
        """What kind of column they make: real, positive, binary, counts or categories."""
        different, rows = len(self.categories[0]), len(self.index)
        if different == 2:
            return "binary"
        if not self.numeric:
            return "categories"
        least, most = self.numbers.min(), self.numbers.max()
        follow = least == 0 and most == different - 1
        if self.whole and not follow and different <= min(_FEW, rows // _OFTEN):
            return "categories"
        if self.whole and least == 0:
            return "counts"
        # Rows are kept in 32 bits, in which smaller values, as p-values may be, are 0 or nearly so.
        return "positive" if least >= np.finfo(np.float32).tiny and self.skewed else "real"

    @property
    def skewed(self) -> bool:
        """Whether what is above 0 is more like a log-normal than a normal."""
        x = self.values[self.values > 0]
        if len(np.unique(x)) <= 2:
            return False
        logs = np.log(x)
        return bool(np.log(x.std()) - np.log(logs.std()) - logs.mean() > _GAIN)

    def tells_nothing(self) -> str | None:
        """Why the column had better be left out, where it had."""
        names, rows = self.categories[0], len(self.index)
        if len(names) == 1:
            return f"holds nothing but {names[0]}"
        if self.numeric:
            span = self.numbers.max() - self.numbers.min()
            counting = self.whole and len(names) == rows and span == rows - 1
            return "only counts the rows" if counting else None
        if len(names) > max(_TEXTS, min(_MOST, rows // _EACH)):
            dates = sum(map(bool, map(_DATE.fullmatch, names))) > 0.5 * len(names)
            what = "dates, which are no numbers," if dates else "texts"
            return f"holds {len(names):,} different {what} in {rows:,} rows"
        return None
