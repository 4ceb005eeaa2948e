"""The cells of one column of a table: their numbers, their categories and the kind they suggest.

two different values                            binary
numbers                                         real, but
    whole, of 0, 1, 2, …                        counts
    whole, a few that are no such sequence      categories
    above 0, and log-normal rather than normal  positive
dates                                           real, as days since the first of them
text, and digits that are names (007)           categories

A column is log-normal rather than normal if its log-likelihood gains over a normal, both with the
moments of the column, in nats per row: for values of deviation σ, whose logarithms have the mean m
and the deviation s,

    log σ − log s − m
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from vaelab.data.tabular.cells import (
    DECIMALS,
    Array,
    Cell,
    CodedTexts,
    NumberTexts,
    coded,
    decimals_of,
)
from vaelab.data.tabular.date_text import (
    EARLIEST,
    LATEST,
    Dates,
    find_compact_dates,
    find_dates,
    find_odd_dates,
)
from vaelab.data.tabular.number_text import (
    PLAIN,
    Marks,
    find_marks,
    marked_numbers,
    number,
    plain_numbers,
    shapes,
)

_MISSING = {"", "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "nat", "<na>", "?", "-", "--"}
_INFINITE = {"inf", "infinity"}
_LARGEST = float(np.finfo(np.float32).max)

_FEW, _OFTEN = 12, 10
"""Whole numbers are names of categories if they are so few, and each occurs so often."""
_TEXTS, _MOST, _EACH = 20, 1000, 4
"""Texts are categories if there are so few; or more, up to that many, and each so often."""
_GAIN = 0.1
"""Nats per row from which a column is skewed: of a log-normal, if s is above 0.37."""
_LONG = 10
"""Digits from which whole numbers of one length are names, as phone numbers and keys are."""


@dataclass(frozen=True, eq=False)
class TextColumn:
    """The N cells of a column.

    Args:
        cells: N texts without space around them; None for a value that is missing.
        decimal: "." or ",", the mark of the numbers; "" to find it out.
        markers: texts such as "NA" and "" stand for a missing value, as in a text file.
        names: numbers are read as names of categories.
        dtype: the column's type in a typed source (a data frame, a Parquet file), if not plain.
        order: order of the categories, if the source has one.
    """

    cells: Sequence[Cell]
    decimal: str = ""
    markers: bool = False
    names: bool = False
    dtype: str = ""
    order: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells)

    def where(self, rows: Array) -> "TextColumn":
        """The column at the rows where `rows` (N,) is true."""
        if rows.all():
            return self
        kept = np.flatnonzero(rows)
        if isinstance(self.cells, NumberTexts):
            texts = self.cells
            return replace(self, cells=NumberTexts(texts.array[kept], texts.whole, texts.single))
        return replace(self, cells=self.by_text.take(kept))

    @cached_property
    def by_text(self) -> CodedTexts:
        """The cells by their distinct texts."""
        return coded(self.cells)

    def spread(self, function: Callable[[Cell], Any]) -> Array:
        """(N,), a function of each cell, called once for each distinct text."""
        return np.array([function(cell) for cell in self.by_text.distinct])[self.by_text.codes]

    @cached_property
    def _parsed_texts(self) -> tuple[Array, Marks, str | None]:
        """(K,), the numbers of the distinct texts; their marks; and a doubt about these."""
        cells = self.by_text.distinct
        values, plain = plain_numbers(cells, self.decimal), PLAIN
        if self.decimal == ",":
            plain = PLAIN._replace(decimal=",")
        blank = self._blank_texts(values)
        points = self.decimal == "," and any("." in cell for cell in cells if cell)
        if not points and not (np.isnan(values) & ~blank).any():
            return values, plain, None
        texts = {cells[i] or "" for i in np.flatnonzero(~blank).tolist()}
        marks = find_marks(texts, self.decimal)
        if not isinstance(marks, Marks):
            return values, PLAIN if points else plain, marks
        there = np.flatnonzero(~blank).tolist()
        values = np.full(len(cells), math.nan)
        values[there] = marked_numbers([cells[i] or "" for i in there], marks)
        return values, marks, None

    @cached_property
    def parsed(self) -> tuple[Array, Marks, str | None]:
        """(N,) float64, nan for cells that are no number; their marks; and a doubt about these."""
        if isinstance(self.cells, NumberTexts):
            return self.cells.array, PLAIN, None
        values, marks, doubt = self._parsed_texts
        return values[self.by_text.codes], marks, doubt

    @property
    def values(self) -> Array:
        """(N,), the numbers; nan for cells that are none."""
        return self.parsed[0]

    @property
    def marks(self) -> Marks:
        """The marks around and inside the numbers."""
        return self.parsed[1]

    @cached_property
    def lacking(self) -> Array:
        """(N,), bool, the cells without a usable value."""
        if isinstance(self.cells, NumberTexts):
            blank = np.isnan(self.values)
            with np.errstate(invalid="ignore"):
                return blank | ~(np.abs(self.values) <= _LARGEST)
        values = self._parsed_texts[0]
        lacking = self._blank_texts(values)
        with np.errstate(invalid="ignore"):
            lacking |= ~(np.abs(values) <= _LARGEST) & ~np.isnan(values)
        for i in np.flatnonzero(np.isnan(values)).tolist():
            cell = self.by_text.distinct[i]
            lacking[i] |= cell is not None and cell.lower().lstrip("+-") in _INFINITE
        return lacking[self.by_text.codes]

    @cached_property
    def missing(self) -> Array:
        """(N,), bool, the cells that stand for a missing value."""
        if isinstance(self.cells, NumberTexts):
            return np.isnan(self.values)
        return self._blank_texts(self._parsed_texts[0])[self.by_text.codes]

    def without(self, codes: Sequence[str]) -> "TextColumn":
        """The column, with cells missing that equal one of some codes, as texts or as numbers."""
        numbers = {value for code in codes if (value := number(code)) is not None}
        if isinstance(self.cells, NumberTexts):
            texts = self.cells
            coded = np.isin(texts.array, list(numbers))
            array = np.where(coded, math.nan, texts.array)
            return replace(self, cells=NumberTexts(array, texts.whole, texts.single))
        distinct = [
            None if cell in codes or number(cell or "") in numbers else cell
            for cell in self.by_text.distinct
        ]
        return replace(self, cells=CodedTexts(distinct, self.by_text.codes))

    def reason(self, row: int) -> str:
        """The reason why the cell of a row has no usable value."""
        cell = self.cells[row]
        if cell is None or cell.lower() in _MISSING:
            return "the value is missing" + (f" ({cell})" if cell else "")
        return f"{cell} is not finite as a 32-bit number"

    def _blank_texts(self, values: Array) -> Array:
        """(K,), bool, the distinct texts that stand for a missing value."""
        blank = np.zeros(len(values), bool)
        for i in np.flatnonzero(np.isnan(values)).tolist():
            cell = self.by_text.distinct[i]
            missing = {""} if self.names else _MISSING
            blank[i] = cell is None or (self.markers and cell.lower() in missing)
        return blank

    @property
    def doubt(self) -> str | None:
        """The reason why numbers or dates may be read in two ways, if they may."""
        return self.parsed[2] or self._dated[1]

    @cached_property
    def zeros(self) -> bool:
        """True if digits have leading zeros."""
        return not isinstance(self.cells, NumberTexts) and any(
            cell is not None and len(cell) > 1 and cell[0] == "0" and cell.isdigit()
            for cell in self.by_text.distinct
        )

    @cached_property
    def coded(self) -> bool:
        """True if the digits are names: leading zeros, or long keys of one length."""
        if isinstance(self.cells, NumberTexts) and not self.cells.whole:
            return False
        if not self.whole:
            return False
        if self.zeros:
            return True
        low, high = self.values.min(), self.values.max()
        return bool(low >= 10 ** (_LONG - 1) and len(str(int(low))) == len(str(int(high))))

    @cached_property
    def numeric(self) -> bool:
        """True if all cells are numbers."""
        return not self.names and not bool(np.isnan(self.values).any())

    @cached_property
    def quantity(self) -> bool:
        """True if all cells are numbers that measure or count something."""
        return self.numeric and not self.coded and not self.dtype.startswith("category")

    @cached_property
    def whole(self) -> bool:
        """True if all cells are whole numbers."""
        return not bool(np.isnan(self.values).any()) and bool(
            (self.values == np.rint(self.values)).all()
        )

    @cached_property
    def categories(self) -> tuple[tuple[str, ...], Array]:
        """The different values in order, and the number of each cell's, (N,)."""
        if self.quantity:  # 1 and 1.0 are one number
            _, first, index = np.unique(self.values, return_index=True, return_inverse=True)
            return tuple(self.text(int(i)) for i in first), index
        texts = self.by_text
        there = {cell or "" for cell in texts.distinct}
        names = sorted(there)
        if there <= set(self.order):
            names = [name for name in self.order if name in there]
        places = {name: i for i, name in enumerate(names)}
        return tuple(names), np.array([places[c or ""] for c in texts.distinct])[texts.codes]

    @cached_property
    def distinct(self) -> Array:
        """The different numbers, in order."""
        return np.unique(self.values)

    @cached_property
    def different(self) -> int:
        """The number of different values."""
        return len(self.distinct) if self.quantity else len(self.categories[0])

    def text(self, row: int) -> str:
        """The cell of a row; empty if it is missing."""
        cell = self.cells[row]
        return "" if cell is None else cell

    @cached_property
    def decimals(self) -> int | None:
        """The most decimals of the numbers; None for more than a 32-bit float keeps."""
        if isinstance(self.cells, NumberTexts):
            return decimals_of(self.cells)
        most = 0
        for cell in shapes(filter(None, self.by_text.distinct)):
            if "e" in cell or "E" in cell:
                return decimals_of(NumberTexts(self.values, self.whole))
            _, point, rest = cell.rpartition(self.marks.decimal)
            if point:
                most = max(most, sum(map(str.isdigit, rest)))
                if most > DECIMALS:
                    return None
        return most

    @property
    def dates(self) -> Dates | None:
        """The format and first of the dates, if all cells are dates of one format."""
        return self._dated[0]

    @cached_property
    def _dated(self) -> tuple[Dates | None, str | None]:
        if self.names:
            return None, None
        if self.numeric:
            low, high = self.distinct[0], self.distinct[-1]
            days = low >= EARLIEST and high <= LATEST and self.whole
            if not days or self.dtype.startswith("category"):
                return None, None
            return find_compact_dates([cell or "" for cell in self.by_text.distinct]), None
        if isinstance(self.cells, NumberTexts):
            return None, None
        return find_dates({cell for cell in self.by_text.distinct if cell is not None})

    @property
    def undated(self) -> Array | None:
        """(N,), bool, the cells that are no dates, if most are dates of one format."""
        if isinstance(self.cells, NumberTexts) or self.names or self.numeric or self.dates:
            return None
        texts = self.by_text
        odd = find_odd_dates([cell or "" for cell in texts.distinct])
        return None if odd is None else odd[texts.codes]

    def first(self, wrong: Array) -> int | None:
        """The first row where `wrong` (N,) is true, if there is one."""
        return int(wrong.argmax()) if wrong.any() else None

    def kind(self) -> str:
        """The kind the cells suggest: real, positive, binary, counts or categories."""
        if self.different == 2:
            return "binary"
        if self.dates is not None:
            return "real"
        if not self.quantity:
            return "categories"
        least, most = self.values.min(), self.values.max()
        follow = least == 0 and most == self.different - 1
        if self.whole and not follow and self.different <= min(_FEW, len(self) // _OFTEN):
            return "categories"
        if self.whole and least == 0:
            return "counts"
        # Rows are kept in 32 bits, in which smaller values, as p-values may be, are 0 or nearly so.
        return "positive" if least >= np.finfo(np.float32).tiny and self.skewed else "real"

    @cached_property
    def skewed(self) -> bool:
        """True if the values above 0 are more like a log-normal than a normal."""
        x = self.values[self.values > 0]
        if not len(x) or not ((x != x[0]) & (x != x.max())).any():
            return False
        logs = np.log(x)
        return bool(np.log(x.std()) - np.log(logs.std()) - logs.mean() > _GAIN)

    def uninformative(self) -> str | None:
        """The reason to leave the column out, if there is one."""
        rows = len(self)
        if self.different == 1:
            return f"holds nothing but {self.categories[0][0]}"
        if self.doubt:
            return f"holds {self.doubt}"
        if self.dates is not None:
            return None
        if self.quantity:
            span = self.values.max() - self.values.min()
            counting = self.whole and self.different == rows and span == rows - 1
            return "only counts the rows" if counting else None
        if self.different > max(_TEXTS, min(_MOST, rows // _EACH)):
            what = "numbers that are names" if self.coded and not self.names else "texts"
            return f"holds {self.different:,} different {what} in {rows:,} rows"
        return None
