"""What is wrong with the columns of a table, all of it said at once, and how it can be read yet.

What is proposed leaves out columns that tell nothing, then, of the others, those with the most
gaps until half of the rows have none, then these rows.
"""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaelab.data.splits import FEWEST

from .column_text import TextColumn, unusable
from .reader import Table

Array = np.ndarray[Any, Any]

OUT, REST = "out", "*"
"""The kind of a column that is left out; the name that stands for all columns not named."""
_LISTED = 20
_WHOLE = 0.5
"""The share of rows that must have no gaps."""
_KEY = re.compile(r"(?i:(.*[\W_])?(uu)?id)|.*[a-z]I[Dd]")
"""Names of columns that name the row."""


def wanted(
    table: Table, said: Mapping[str, str], beside: Sequence[str]
) -> dict[str, Sequence[str]]:
    """The cells of the columns that are read, by name."""
    pairs = zip(table.names, table.cells, strict=True)
    return {n: c for n, c in pairs if n in beside or said.get(n, said.get(REST)) != OUT}


def usable(
    table: Table, said: Mapping[str, str], beside: Sequence[str], skip: bool
) -> tuple[Table, tuple[str, ...]]:
    """The table without the rows that lack a value, where that is asked for; and notes.

    Args:
        table: cells as text.
        said: kinds by name.
        beside: columns that are read and not modelled, which cannot be left out.
        skip: whether rows may be left out.

    Raises:
        ValueError: where a column tells nothing or lacks values; says all of it, and the flags
            that read the table all the same.
    """
    read = {
        n: TextColumn.of(column, table.comma) for n, column in wanted(table, said, beside).items()
    }
    judged = [n for n in read if n not in beside and n not in said and REST not in said]
    lacking = {name: _lacking(cells, table.comma) for name, cells in read.items()}
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
    lines += [f"column {n} lacks a value {_where(table, n, read, r)}" for n, r in gaps.items()]
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
    """Columns that are wrong, with why; all that are better left out; and then the rows (N,).

    Args:
        table: the cells.
        read: of its columns, by name.
        lacking: rows (N,) in which each has no value.
        judged: columns that may be wrong.
        beside: columns that cannot be left out.
        least: rows that are to be kept.
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


def first_gap(table: Table, names: Sequence[str]) -> str | None:
    """Where the first of some columns that has one lacks a value, in words."""
    for name in names:
        cells = TextColumn.of(table.cells[table.names.index(name)], table.comma)
        if (rows := _lacking(cells, table.comma)).any():
            row = int(rows.argmax())
            return f"{table.at(row, name)}: {unusable(cells.texts[cells.index[row]], table.comma)}"
    return None


def _lacking(cells: TextColumn, comma: bool) -> Array:
    """(N,), where a column has no value."""
    return np.array([unusable(text, comma) is not None for text in cells.texts])[cells.index]


def _wrong(table: Table, name: str, read: Mapping[str, TextColumn], rows: Array) -> str | None:
    """Why a column had better be left out, going by some rows (N,) of it, where it had."""
    if not rows.any():
        return "holds no values"
    cells = read[name].of_rows(rows)
    number = ~np.isnan(cells.values)
    if 0.5 < number.mean() < 1 and len(cells.categories[0]) > 2:
        row = int(np.flatnonzero(rows)[number.argmin()])
        odd = f"{read[name].texts[read[name].index[row]]!r} on {table.place(row)}"
        return f"holds numbers in most rows and in {(~number).sum():,} none, first {odd}"
    if why := cells.tells_nothing():
        return why
    once = cells.numeric and cells.whole and len(cells.texts) == len(cells.index)
    return "only names the rows" if once and _KEY.fullmatch(name) else None


def _where(table: Table, name: str, read: Mapping[str, TextColumn], lacking: Array) -> str:
    row, count = int(lacking.argmax()), int(lacking.sum())
    reason = unusable(read[name].texts[read[name].index[row]], table.comma)
    first = f"{table.place(row)}: {reason}"
    return f"on {first}" if count == 1 else f"in {count:,} rows, first on {first}"


def _remedy(
    read: Mapping[str, TextColumn],
    said: Mapping[str, str],
    beside: Sequence[str],
    out: set[str],
    holes: Array,
    skip: bool,
) -> str:
    """The flags that read the table all the same, beside those that were given."""
    yours = "end the file, or say what a column is, as in --columns NAME=categories"
    if not set(read) - out - {*beside} or (~holes).sum() < FEWEST:
        return f"Without these, too little is left to be modelled. M{yours}"
    kinds = {**said, **dict.fromkeys(sorted(out, key=list(read).index), OUT)}
    flags = ["--columns", shlex.quote(",".join(map(_quoted, kinds, kinds.values())))] if out else []
    flags += ["--skip-unreadable"] if holes.any() and not skip else []
    left = [f"{len(out):,} column{'s' * (len(out) > 1)}"] if out else []
    left += [f"{int(holes.sum()):,} of {len(holes):,} rows"] if holes.any() else []
    return f"To leave out {' and '.join(left)}, give\n  {' '.join(flags)}\nor m{yours}"


def _quoted(name: str, kind: str) -> str:
    plain = not set(name) & set(',"')
    return f"{name}={kind}" if plain else '"{}={}"'.format(name.replace('"', '""'), kind)
