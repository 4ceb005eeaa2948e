"""The names of a table's columns and the spelling of their values, kept with every run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vaelab.data.tabular.date_text import COMPACT, Dates
from vaelab.data.tabular.number_text import PLAIN, Marks


class Heading(NamedTuple):
    """The name of a column, and how its values are written.

    Attributes:
        name: as the file has it.
        values: names by number of a column of categories or of two values; empty for
            numbers.
        decimals: the most decimals of a number in the file; None for more than float32 keeps.
        dtype: the type of the values in a data frame, if no plain number or text: "bool", "int64"
            of categories, "category", "datetime64[ns]", …
        marks: characters around and inside the numbers.
        dates: how numbers of days stand for dates.
    """

    name: str
    values: tuple[str, ...] = ()
    decimals: int | None = None
    dtype: str = ""
    marks: Marks = PLAIN
    dates: Dates | None = None

    def meant(self, value: float) -> str | float:
        """The name, number or date that a raw value stands for, a number as fine as the file's.

        >>> Heading("city", ("Oslo", "Rome")).meant(1.0), Heading("age", (), 0).meant(37.4)
        ('Rome', 37)
        """
        if self.values:
            return self.values[min(max(round(value), 0), len(self.values) - 1)]
        if self.dates is not None:
            return self.dates.date(value).strftime(self.dates.format)
        if self.decimals is None:
            return float(str(np.float32(value)))
        number = round(value, self.decimals) + 0.0  # never −0
        return int(number) if self.decimals == 0 and math.isfinite(number) else number

    def written(self, value: float) -> str:
        """A raw value as the file would have it.

        >>> Heading("city", ("Oslo", "Rome")).written(1.0), Heading("age", (), 1).written(37.04)
        ('Rome', '37.0')
        """
        meant = self.meant(value)
        if isinstance(meant, str):
            return meant
        before, thousands, decimal, after, negative = self.marks
        text = str(np.float32(value)) if self.decimals is None else f"{meant:,.{self.decimals}f}"
        swap = {",": thousands, ".": decimal}
        number = before + "".join(swap.get(c, c) for c in text.removeprefix("-")) + after
        if text[0] != "-":
            return number
        return f"({number})" if negative == "()" else negative + number

    def typed(self, values: Iterable[float]) -> Any:
        """Raw values as a column of a data frame, a list or an array of the column's own type.

        >>> Heading("member", ("False", "True"), None, "bool").typed([0.2, 1.0])
        [False, True]
        """
        if self.dates is not None:
            moments = [self.dates.date(value) for value in values]
            if self.dates.format != COMPACT:
                return moments
            return [int(moment.strftime(COMPACT)) for moment in moments]
        meant = [self.meant(value) for value in values]
        kind = self.dtype.removesuffix(" ordered").removeprefix("category").strip("[]").lower()
        if self.values and kind.startswith("bool"):
            return [str(name).lower() == "true" for name in meant]
        if self.values and kind.lstrip("u").startswith("int"):
            return [int(name) if str(name).isdigit() else int(float(name)) for name in meant]
        if self.values and kind.startswith("float"):
            return [float(name) for name in meant]
        return meant


def difference(then: Sequence[Heading], now: Sequence[Heading]) -> str | None:
    """In words, how two headers differ; None if they do not."""
    before, after = ([heading.name for heading in header] for header in (then, now))
    if before != after:
        return f"its columns were {', '.join(before)} and are {', '.join(after) or 'unnamed'}"
    for a, b in zip(then, now, strict=True):
        if a._replace(dtype=b.dtype) != b:
            return f"column {a.name} {_values(a, 'had')} and {_values(b, 'has')}"
    return None


def _values(heading: Heading, verb: str) -> str:
    if heading.values:
        return f"{verb} the values {abbreviate_names(heading.values)}"
    return (
        f"{verb} numbers of {heading.decimals if heading.decimals is not None else 'many'} decimals"
    )


def abbreviate_names(names: Sequence[str], most: int = 8) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def as_kinds(text: str) -> dict[str, str]:
    """`"age=real,children=counts"` as a mapping; a name with a comma goes in quotation marks.

    >>> as_kinds('age=real,"height, m=real"')
    {'age': 'real', 'height, m': 'real'}

    Raises:
        ValueError: if a part is no NAME=KIND.
    """
    import csv

    kinds: dict[str, str] = {}
    for part in next(csv.reader([text], skipinitialspace=True), []):
        name, equals, kind = part.rpartition("=")
        if not equals or not name.strip() or not kind.strip():
            raise ValueError(
                f"columns are given as NAME=KIND with commas between them, as in "
                f"age=real,children=counts; {part!r} is not that (a name with a comma goes in "
                """quotation marks, '"height, m"=real')"""
            )
        kinds[name.strip()] = kind.strip()
    return kinds


def as_names(text: str) -> tuple[str, ...]:
    """`"age,income"` as names; one with a comma goes in quotation marks.

    >>> as_names('age, "height, m"')
    ('age', 'height, m')
    """
    import csv

    return tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))


def listed(kinds: Mapping[str, Sequence[str]]) -> str:
    """Names by kind, a few of each."""
    return "; ".join(f"{kind}: {abbreviate_names(names)}" for kind, names in kinds.items() if names)
