"""What the columns of a table are called, and how their values are written: kept with every run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_FULL = 7
"""Digits of a 32-bit float: what a value is written with where nothing says how fine it is."""


class Heading(NamedTuple):
    """A column's name, and how its values are written.

    Attributes:
        name: as the file has it.
        values: of a column of categories or of two values, their names by number; empty for
            numbers.
        decimals: of numbers, how many the file has; None where it has more than a 32-bit float.
    """

    name: str
    values: tuple[str, ...] = ()
    decimals: int | None = None

    def meant(self, value: float) -> str | float:
        """What a raw value stands for: a name, or a number as fine as the file has them.

        >>> Heading("city", ("Oslo", "Rome")).meant(1.0), Heading("age", (), 0).meant(37.4)
        ('Rome', 37)
        """
        if self.values:
            return self.values[min(max(round(value), 0), len(self.values) - 1)]
        if self.decimals is None:
            return float(f"{value:.{_FULL}g}")
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
        return f"{meant:.{_FULL}g}" if self.decimals is None else f"{meant:.{self.decimals}f}"


def read(record: Sequence[Sequence[Any]]) -> tuple[Heading, ...]:
    """A header from JSON values that `is_header` holds for."""
    return tuple(Heading(name, tuple(values), decimals) for name, values, decimals in record)


def is_header(value: object) -> bool:
    """Whether a JSON value is a header: [[name, [names of values], decimals or null], …]."""
    return isinstance(value, list | tuple) and all(map(_is_heading, value))


def _is_heading(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return False
    name, values, decimals = value
    texts = [name, *values] if isinstance(values, list | tuple) else [None]
    return all(isinstance(t, str) for t in texts) and (decimals is None or type(decimals) is int)


def difference(then: Sequence[Heading], now: Sequence[Heading]) -> str | None:
    """In words, how two headers differ; None where they do not."""
    before, after = ([heading.name for heading in header] for header in (then, now))
    if before != after:
        return f"its columns were {', '.join(before)} and are {', '.join(after) or 'unnamed'}"
    for a, b in zip(then, now, strict=True):
        if a != b:
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
        ValueError: where a part is no NAME=KIND.
    """
    import csv

    kinds: dict[str, str] = {}
    for part in next(csv.reader([text], skipinitialspace=True), []):
        name, equals, kind = part.rpartition("=")
        if not equals or not name.strip() or not kind.strip():
            raise ValueError(
                f"columns are given as NAME=KIND with commas between them, as in "
                f"age=real,children=counts; {part!r} is not that"
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
