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

import datetime
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Cell = str | None

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MISSING = {"", "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "nat", "<na>", "?", "-", "--"}
_INFINITE = {"inf", "infinity"}
_LARGEST = float(np.finfo(np.float32).max)

_FEW, _OFTEN = 12, 10
"""Whole numbers are names of categories if they are so few, and each occurs so often."""
_TEXTS, _MOST, _EACH = 20, 1000, 4
"""Texts are categories if there are so few; or more, up to that many, and each so often."""
_DECIMALS = 6
_GAIN = 0.1
"""Nats per row from which a column is skewed: of a log-normal, if s is above 0.37."""
_LONG = 10
"""Digits from which whole numbers of one length are names, as phone numbers and keys are."""

_MONEY = r"(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CNY|INR|kr|zł)"
_MARKED = re.compile(
    rf"(?P<minus>[+-]?)\s*(?P<before>{_MONEY})?\s*(?P<minus2>[+-]?)"
    r"(?P<digits>\d[\d.,'\u2019\u00a0\u202f ]*|[.,]\d+)\s*"
    rf"(?P<after>{_MONEY}|%)?"
)
"""A number as people write it: grouped digits, a currency before or after, or per cent."""

_DAY = datetime.timedelta(days=1)
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S.%f")
_LIKE_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?")


class Marks(NamedTuple):
    """Characters around and inside the numbers of a column.

    Attributes:
        before: a currency in front, as "$".
        thousands: between groups of three digits, as ",".
        decimal: "." or ",".
        after: behind, as "%" or " €".
    """

    before: str = ""
    thousands: str = ""
    decimal: str = "."
    after: str = ""


PLAIN = Marks()


class Dates(NamedTuple):
    """A column of dates as days since the first of them.

    Attributes:
        format: format string of `datetime.strftime`.
        origin: the first date, ISO 8601.
    """

    format: str
    origin: str

    def day(self, text: str) -> float:
        """Days since the origin; nan if the text is no such date."""
        try:
            moment = datetime.datetime.strptime(text, self.format)
        except ValueError:
            return math.nan
        return (moment - datetime.datetime.fromisoformat(self.origin)) / _DAY

    def date(self, days: float) -> datetime.datetime:
        """The moment so many days after the origin; whole days if the format has no clock."""
        days = days if "%H" in self.format else round(days)
        seconds = 0 if "%f" in self.format else 1  # no finer than the format writes
        moment = datetime.datetime.fromisoformat(self.origin) + days * _DAY
        if seconds and moment.microsecond:
            moment += datetime.timedelta(microseconds=500_000)
            moment = moment.replace(microsecond=0)
        return moment


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


def number(text: str, decimal: str = ".") -> float | None:
    """The number that a text is, or None.

    >>> number("1e3"), number("1,5", decimal=","), number("12a")
    (1000.0, 1.5, None)
    """
    if decimal == ",":
        text = text.replace(",", ".")
    return float(text) if _NUMBER.fullmatch(text) else None


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
        return replace(self, cells=[self.cells[i] for i in kept.tolist()])

    @cached_property
    def parsed(self) -> tuple[Array, Marks, str | None]:
        """(N,) float64, nan for cells that are no number; their marks; and a doubt about these."""
        if isinstance(self.cells, NumberTexts):
            return self.cells.array, PLAIN, None
        values, plain = _plain_numbers(self.cells, self.decimal), PLAIN
        if self.decimal == ",":
            plain = PLAIN._replace(decimal=",")
        blank = self._blank(values)
        points = self.decimal == "," and any("." in cell for cell in self.cells if cell)
        if not points and not (np.isnan(values) & ~blank).any():
            return values, plain, None
        texts = {self.text(i) for i in np.flatnonzero(~blank).tolist()}
        marks = _marks(texts, self.decimal)
        if not isinstance(marks, Marks):
            return values, PLAIN if points else plain, marks
        read = {text: _marked(text, marks) for text in texts}
        return np.array([read.get(self.text(i), math.nan) for i in range(len(self))]), marks, None

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
        blank = self._blank(self.values)
        with np.errstate(invalid="ignore"):
            too_large = ~(np.abs(self.values) <= _LARGEST) & ~np.isnan(self.values)
        infinite = {cell for cell in self._odd_texts() if cell.lower().lstrip("+-") in _INFINITE}
        if infinite:
            too_large |= np.array([cell in infinite for cell in self.cells])
        return blank | too_large

    def reason(self, row: int) -> str:
        """The reason why the cell of a row has no usable value."""
        cell = self.cells[row]
        if cell is None or cell.lower() in _MISSING:
            return "the value is missing" + (f" ({cell})" if cell else "")
        return f"{cell} is not finite as a 32-bit number"

    def _blank(self, values: Array) -> Array:
        """(N,), bool, the cells that are missing."""
        blank = np.zeros(len(self.cells), bool)
        for i in np.flatnonzero(np.isnan(values)).tolist():
            cell = self.cells[i]
            missing = {""} if self.names else _MISSING
            blank[i] = cell is None or (self.markers and cell.lower() in missing)
        return blank

    @property
    def doubt(self) -> str | None:
        """The reason why numbers or dates may be read in two ways, if they may."""
        return self.parsed[2] or self._dated[1]

    def _odd_texts(self) -> set[str]:
        """The texts that are no number."""
        if isinstance(self.cells, NumberTexts):
            return set()
        odd = np.flatnonzero(np.isnan(self.values)).tolist()
        return {cell for i in odd if (cell := self.cells[i]) is not None}

    @cached_property
    def coded(self) -> bool:
        """True if the digits are names: leading zeros, or long keys of one length."""
        if isinstance(self.cells, NumberTexts) and not self.cells.whole:
            return False
        if not self.whole:
            return False
        if not isinstance(self.cells, NumberTexts) and any(
            cell is not None and len(cell) > 1 and cell[0] == "0" and cell.isdigit()
            for cell in self.cells
        ):
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
        there = {self.text(i) for i in range(len(self.cells))}
        names = sorted(there)
        if there <= set(self.order):
            names = [name for name in self.order if name in there]
        places = {name: i for i, name in enumerate(names)}
        return tuple(names), np.array([places[self.text(i)] for i in range(len(self.cells))])

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
            return _decimals(self.cells)
        most = 0
        for cell in self.cells:
            if cell is None:
                continue
            if "e" in cell or "E" in cell:
                return None
            _, point, rest = cell.rpartition(self.marks.decimal)
            if point:
                most = max(most, sum(map(str.isdigit, rest)))
                if most > _DECIMALS:
                    return None
        return most

    @property
    def dates(self) -> Dates | None:
        """The format and first of the dates, if all cells are dates of one format."""
        return self._dated[0]

    @cached_property
    def _dated(self) -> tuple[Dates | None, str | None]:
        if isinstance(self.cells, NumberTexts) or self.names or self.numeric:
            return None, None
        texts = {cell for cell in self.cells if cell is not None}
        if not texts or not all(map(_LIKE_DATE.fullmatch, texts)):
            return None, None
        fits = [f for f in _formats(next(iter(texts))) if all(_is_date(t, f) for t in texts)]
        if len(fits) > 1:
            return (
                None,
                f"dates such as {min(texts)}, which may be day/month or month/day "
                "(write year-month-day)",
            )
        if not fits:
            return None, None
        first = min(datetime.datetime.strptime(text, fits[0]) for text in texts)
        return Dates(fits[0], first.isoformat()), None

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


def _plain_numbers(cells: Sequence[Cell], decimal: str) -> Array:
    """(N,) float64, nan for cells that are no plain number."""
    texts: Iterable[Any] = cells
    if decimal == ",":
        texts = [None if cell is None else cell.replace(",", ".") for cell in cells]
    try:
        values = np.fromiter(map(float, texts), np.float64, len(cells))
    except (TypeError, ValueError):
        values = np.fromiter(map(_float, texts), np.float64, len(cells))
    odd = ~np.isfinite(values)
    for i in np.flatnonzero(odd).tolist():  # of which "nan" and "inf" are no numbers
        cell = cells[i]
        found = None if cell is None else number(cell, decimal)
        values[i] = math.nan if found is None else found
    # float() also takes 1_000, which no file means as a number.
    for i, cell in enumerate(cells) if "_" in "".join(filter(None, cells)) else ():
        if cell is not None and "_" in cell:
            values[i] = math.nan
    return values


def _float(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _marks(texts: set[str], decimal: str) -> Marks | str | None:
    """The marks that make every text a number; None if there are none; a doubt, in words."""
    parts = []
    for text in texts:
        match = _MARKED.fullmatch(text)
        if match is None:
            return None
        parts.append(match)
    before = {m["before"] or "" for m in parts}
    after = {m["after"] or "" for m in parts}
    if len(before) > 1 or len(after) > 1 or (before != {""} and after != {""}):
        return None
    prefix, suffix = before.pop(), after.pop()
    digits = {m["digits"].strip() for m in parts}
    used = {c for d in digits for c in d if not c.isdigit()}
    fits = []
    for point in [decimal] if decimal else [".", ","]:
        if len(marks := used - {point}) <= 1 and all(
            _grouped(d, "".join(marks), point) for d in digits
        ):
            fits.append(("".join(marks), point))
    if not fits:
        return None
    if len(fits) > 1 and used:  # all marks are as in 1,234
        money = bool(prefix or suffix.strip("%"))  # no currency has three decimals
        if not money and all(any(c in d for c in used) for d in digits):
            return f"numbers such as {min(texts)} which may have a mark of thousands or of decimals"
        fits.sort(key=lambda fit: fit[0] == "")
    space = " " if suffix and any(m[0].removesuffix(suffix).endswith(" ") for m in parts) else ""
    return Marks(prefix, *fits[0], space + suffix)


def _grouped(digits: str, group: str, point: str) -> bool:
    """True if the digits are in groups of three and have at most one point."""
    whole, mark, fraction = digits.partition(point)
    if mark and not fraction.isdigit():
        return False
    if not group or group not in whole:
        return (whole.isdigit() or not whole) and not (group and len(whole) > 3)
    head, *groups = whole.split(group)
    return (
        len(head) <= 3
        and head.isdigit()
        and head[0] != "0"
        and all(len(part) == 3 and part.isdigit() for part in groups)
    )


def _marked(text: str, marks: Marks) -> float:
    plain = text
    for mark in (marks.before, marks.after.strip(), marks.thousands, " "):
        plain = plain.replace(mark, "") if mark else plain
    found = number(plain, marks.decimal)
    return math.nan if found is None else found


def _decimals(cells: NumberTexts) -> int | None:
    if cells.whole:
        return 0
    x = cells.array[~np.isnan(cells.array)]
    for places in range(_DECIMALS + 1):
        rounded = np.round(x, places)
        same = rounded.astype(np.float32) == x.astype(np.float32) if cells.single else rounded == x
        if same.all():
            return max(places, 1)
    return None


def _formats(text: str) -> Iterator[str]:
    for day in _DATES:
        for clock in _CLOCKS:
            if _is_date(text, day + clock):
                yield day + clock


def _is_date(text: str, form: str) -> bool:
    try:
        datetime.datetime.strptime(text, form)
    except ValueError:
        return False
    return True
