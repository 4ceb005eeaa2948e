"""Validate the columns of a table and report every problem at once, with the options that fix it.

The proposed options leave out columns that tell nothing, then, of the others, those with the most
gaps until half of the rows have none, then these rows.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaelab.data.splits import FEWEST
from vaelab.data.tabular.column_text import TextColumn
from vaelab.data.tabular.reader import Table
from vaelab.utils.options import on_command_line, option

Array = np.ndarray[Any, Any]

OUT, REST = "out", "*"
"""The kind of a column that is left out; the name that stands for all columns not named."""
_LISTED = 20
_WHOLE = 0.5
"""The share of rows that must have no gaps."""
_KEY = re.compile(r"(?i:(.*[\W_])?(uu)?id)|.*[a-z]I[Dd]")
"""Names of columns that name the row."""


def wanted(table: Table, said: Mapping[str, str], beside: Sequence[str]) -> dict[str, TextColumn]:
    """The columns that are read, by name; those in `beside` are read and not modelled."""
    rest = said.get(REST)
    kinds = {n: said.get(n, None if n in beside else rest) for n in table.names}
    return {n: table.column(n, kind) for n, kind in kinds.items() if n in beside or kind != OUT}


def usable(
    table: Table, said: Mapping[str, str], beside: Sequence[str], skip: bool
) -> tuple[Table, tuple[str, ...]]:
    """The table, without the rows that lack a value if that is asked for; and notes.

    Args:
        table: as it was read.
        said: kinds by name.
        beside: columns that are read and not modelled, which cannot be left out.
        skip: leave such rows out.

    Raises:
        ValueError: if a column is uninformative or lacks values; says all of it, and the options
            that read the table all the same.
    """
    read = wanted(table, said, beside)
    judged = [n for n in read if n not in beside and n not in said and REST not in said]
    lacking = {name: column.lacking for name, column in read.items()}
    least = FEWEST if skip else max(FEWEST, math.ceil(_WHOLE * len(table)))
    wrong, out, holes = _left_out(table, read, lacking, judged, beside, least)
    gaps = {name: rows for name, rows in lacking.items() if rows.any() and name not in wrong}
    if not gaps and not wrong:
        return table, ()
    if not out and skip and (~holes).sum() >= least:
        counts = ", ".join(f"{name} {int(rows.sum()):,}" for name, rows in gaps.items())
        told = f"{int(holes.sum()):,} of {len(table):,} rows lack a value ({counts})"
        return table.without(holes), (f"{told} and were left out",)
    lines = [f"column {name} {why}" for name, why in wrong.items()]
    lines += [f"column {n} lacks a value {_where(table, read[n], r)}" for n, r in gaps.items()]
    if len(lines) > _LISTED:
        lines = [*lines[:_LISTED], f"and {len(lines) - _LISTED:,} columns more"]
    raise ValueError(
        "\n  ".join([f"{table.name} cannot be modelled as it is:", *lines])
        + f"\n{_remedy(read, said, beside, out, holes, skip)}"
    )


def _left_out(
    table: Table,
    read: Mapping[str, TextColumn],
    lacking: Mapping[str, Array],
    judged: Sequence[str],
    beside: Sequence[str],
    least: int,
) -> tuple[dict[str, str], set[str], Array]:
    """Columns that are wrong, with the reason; all that are better left out; then the rows (N,).

    Args:
        table: as it was read.
        read: its columns by name.
        lacking: rows (N,) in which each has no value.
        judged: columns that may be wrong.
        beside: columns that cannot be left out.
        least: rows to keep.
    """
    wrong = {name: why for name in judged if (why := _wrong(table, name, read, ~lacking[name]))}
    out = set(wrong)
    while True:  # a column that is left out gives rows back; rows that are may make a column wrong
        gaps = {name: rows for name, rows in lacking.items() if rows.any() and name not in out}
        holes = np.any([np.zeros(len(table), bool), *gaps.values()], 0)
        if (~holes).sum() < least and (some := [name for name in gaps if name not in beside]):
            out.add(max(some, key=lambda name: gaps[name].sum()))
            continue
        left = [name for name in judged if name not in out and 0 < holes.sum() < len(holes)]
        late = {name: why for name in left if (why := _wrong(table, name, read, ~holes))}
        if not late:
            return wrong, out, holes
        wrong |= {name: f"{why}, in rows without gaps" for name, why in late.items()}
        out |= set(late)


def first_gap(table: Table, kinds: Mapping[str, str | None]) -> str | None:
    """The place and reason of the first missing value of some columns, by their kinds."""
    for name, kind in kinds.items():
        column = table.column(name, kind)
        if (rows := column.lacking).any():
            row = int(rows.argmax())
            return f"{table.at(row, name)}: {column.reason(row)}"
    return None


def _wrong(table: Table, name: str, read: Mapping[str, TextColumn], rows: Array) -> str | None:
    """The reason to leave a column out, by some rows (N,) of it, if there is one."""
    if not rows.any():
        return "holds no values"
    column = read[name].where(rows)
    numbers = ~np.isnan(column.values)
    if 0.5 < numbers.mean() < 1 and column.different > 2 and not column.doubt:
        row = int(np.flatnonzero(rows)[numbers.argmin()])
        odd = f"{read[name].text(row)!r} on {table.place(row)}"
        return f"holds numbers in most rows and in {(~numbers).sum():,} none, first {odd}"
    if (undated := column.undated) is not None:
        row = int(np.flatnonzero(rows)[undated.argmax()])
        odd = f"{read[name].text(row)!r} on {table.place(row)}"
        return f"holds dates in most rows and in {undated.sum():,} none, first {odd}"
    if why := column.uninformative():
        return why
    once = column.whole and column.different == len(column)
    return "only names the rows" if once and (column.coded or _KEY.fullmatch(name)) else None


def _where(table: Table, column: TextColumn, lacking: Array) -> str:
    row, count = int(lacking.argmax()), int(lacking.sum())
    first = f"{table.place(row)}: {column.reason(row)}"
    return f"on {first}" if count == 1 else f"in {count:,} rows, first on {first}"


def _remedy(
    read: Mapping[str, TextColumn],
    said: Mapping[str, str],
    beside: Sequence[str],
    out: set[str],
    holes: Array,
    skip: bool,
) -> str:
    """The options that read the table all the same, beside those that were given."""
    doubtful = [name for name in out if read[name].doubt]
    numbers = any("numbers" in (read[name].doubt or "") for name in doubtful)
    either = f"{option('decimal', ',')} or {option('decimal', '.')}"
    how = f"{either} tells which mark it is. " * numbers
    yours = f"end the file, or say the kind of a column, as in {option('columns', _EXAMPLE)}"
    if not set(read) - out - {*beside} or (~holes).sum() < FEWEST:
        return f"{how.strip()} Without these, too little is left to be modelled. M{yours}".strip()
    kinds = {**said, **dict.fromkeys(sorted(out, key=list(read).index), OUT)}
    options = [option("columns", kinds)] if out else []
    options += [option("skip_unreadable")] if holes.any() and not skip else []
    left = [f"{len(out):,} column{'s' * (len(out) > 1)}"] if out else []
    left += [f"{int(holes.sum()):,} of {len(holes):,} rows"] if holes.any() else []
    line = (" " if on_command_line() else ", ").join(options)
    return f"{how}To leave out {' and '.join(left)}, give\n  {line}\nor m{yours}".strip()


_EXAMPLE = {"NAME": "categories"}
