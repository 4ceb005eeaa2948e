"""Rows of numbers from a table: the kind of each column, found or given, and its values."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from vaelab.data.schema_fields import KINDS, NUMBERS, Column
from vaelab.data.splits import FEWEST, SourceData
from vaelab.data.tabular.column_notes import marked, scaled, skewed
from vaelab.data.tabular.column_text import TextColumn
from vaelab.data.tabular.date_text import Dates
from vaelab.data.tabular.diagnostics import OUT, REST, usable, wanted
from vaelab.data.tabular.header import Heading, abbreviate_names, listed
from vaelab.data.tabular.number_text import PLAIN
from vaelab.data.tabular.reader import Table
from vaelab.utils.options import argument, option

Array = np.ndarray[Any, Any]

_NAMED = 4


def as_rows(
    table: Table,
    kinds: Mapping[str, str] | None = None,
    label: str | None = None,
    skip: bool = False,
    told: Sequence[str] = (),
    gaps: bool = False,
) -> SourceData:
    """The rows of a table, with kinds of columns as its cells suggest or as they are given.

    Args:
        table: as it was read.
        kinds: by name: `"real"`, `"positive"`, `"binary"`, `"counts"`, `"categories"`, or `"out"`
            to leave the column out; under `"*"` for all that are not named.
        label: the column that holds labels, and is not modelled.
        skip: leave out rows without a value somewhere, rather than refuse.
        told: numeric columns that are the condition of each row, and not modelled.
        gaps: modelled columns may have missing cells, which are NaN.

    Raises:
        ValueError: for columns that are not there or have no values of their kind; names the place.
    """
    said = dict(kinds or {})
    beside = (*((label,) if label else ()), *told)
    _check_said(table, said, label, told)
    if len(table) < FEWEST:  # before columns of so few rows are judged
        raise ValueError(f"{table.name}: rows seen: {len(table)}; a data set needs {FEWEST}")
    table, skipped = usable(table, said, beside, skip, gaps)
    whole = wanted(table, said, beside)
    read = {name: column.where(~column.missing) for name, column in whole.items()}
    modelled = {name: column for name, column in read.items() if name not in beside}
    chosen = {n: said.get(n, said.get(REST)) or column.kind() for n, column in modelled.items()}
    x = np.stack(
        [
            with_gaps(table, whole[n], partial(_values, name=n, kind=kind))
            for n, kind in chosen.items()
        ],
        1,
    )
    columns = tuple(
        Column(kind, len(read[name].categories[0]) if kind == "categories" else 0)
        for name, kind in chosen.items()
    )
    names, y = read[label].categories if label else ((), None)
    if label and len(names) < 2:
        raise ValueError(
            f"{table.name}: column {label} is no label: all rows are {abbreviate_names(names)}"
        )
    found = {n: column for n, column in modelled.items() if n not in said and REST not in said}
    notes = (
        *table.notes,
        *skipped,
        _summary(read, chosen),
        *marked(read, chosen),
        *skewed(found, chosen),
        *scaled(found, chosen),
        *_labelled(label, names),
        *((f"known of each row, and not modelled: {abbreviate_names(told)}",) if told else ()),
    )
    return SourceData(
        torch.from_numpy(x.astype(np.float32)),
        None if y is None else torch.from_numpy(y.astype(np.int64)),
        (len(x), 0, 0),
        names,
        notes=notes,
        columns=columns,
        header=tuple(_heading(name, read[name], kind) for name, kind in chosen.items()),
        label=label or "",
        vectors=_told_numbers(table, told, read) if told else None,
    )


def with_gaps(
    table: Table, column: TextColumn, values: Callable[[Table, TextColumn], Array]
) -> Array:
    """(N,), the values of the cells that are not missing, and NaN for those that are.

    Args:
        table: for the places of the rows.
        column: N cells.
        values: numbers of cells without gaps, in their places.
    """
    observed = ~column.missing
    if observed.all():
        return values(table, column)
    x = np.full(len(column), np.nan)
    if observed.any():
        x[observed] = values(table.at_rows(observed), column.where(observed))
    return x


def days_of(column: TextColumn, dates: Dates) -> Array:
    """(N,), the cells of a column of dates as days; nan for a cell that is none."""
    texts = column.by_text
    return dates.days([text or "" for text in texts.distinct])[texts.codes]


def _check_said(
    table: Table, said: Mapping[str, str], label: str | None, told: Sequence[str]
) -> None:
    beside = (*((label,) if label else ()), *told)
    named = [*said, *beside]
    if unknown := [name for name in named if name not in (*table.names, REST)]:
        raise ValueError(
            f"{table.name} has no column {abbreviate_names(unknown)}; it has "
            f"{abbreviate_names(table.names, 20)}"
        )
    if wrong := {name: kind for name, kind in said.items() if kind not in (*KINDS, OUT)}:
        name, kind = next(iter(wrong.items()))
        raise ValueError(
            f"column {name} is said to be {kind!r}; expected one of {', '.join(KINDS)}, or {OUT} "
            "to leave it out"
        )
    if label and said.get(label, "categories") != "categories":
        raise ValueError(f"column {label} is the label, and cannot be {said[label]} as well")
    if twice := [name for name in told if name in said or beside.count(name) > 1]:
        raise ValueError(
            f"column {twice[0]} is a condition of each row, as {argument('vectors')} says; it "
            "cannot be named there twice, or be the label or of a kind as well"
        )
    if not any(name not in beside for name in wanted(table, said, beside)):
        raise ValueError(f"{table.name}: no column is left to be modelled")


def _values(table: Table, column: TextColumn, name: str, kind: str) -> Array:
    """(N,), checked to be of the kind."""
    if kind in (*NUMBERS, "counts"):
        if kind == "real" and column.dates is not None:
            return days_of(column, column.dates)
        numbers = numbers_of(table, name, column, kind)
        row = column.first(numbers.astype(np.float32) <= 0)
        if kind == "positive" and row is not None:
            raise ValueError(
                f"{table.at(row, name)}: positive numbers are above 0, and this is "
                f"{column.text(row)}; {option('columns', {name: 'real'})} takes any number"
            )
        row = column.first((numbers < 0) | (numbers != np.rint(numbers)))
        if kind == "counts" and row is not None:
            raise ValueError(
                f"{table.at(row, name)}: counts are 0, 1, 2, …, and this is "
                f"{column.text(row)}; {option('columns', {name: 'real'})} takes any number"
            )
        return numbers
    names, index = column.categories
    if len(names) < 2 or (kind == "binary" and len(names) != 2):
        raise ValueError(
            f"{table.name}: column {name} is to be {kind} and has {len(names):,} different "
            f"values: {abbreviate_names(names)}; expected 2{' or more' * (kind != 'binary')}"
        )
    return index


def numbers_of(table: Table, name: str, column: TextColumn, expected: str) -> Array:
    row = column.first(np.isnan(column.values))
    if row is not None:
        either = f"{option('decimal', ',')} or {option('decimal', '.')}"
        doubt = f" ({column.doubt}; {either} says which)"
        raise ValueError(
            f"{table.at(row, name)}: expected {expected}, and {column.text(row)!r} is "
            f"no number{doubt if column.doubt else ''}; mend it, or give "
            f"{option('columns', {name: 'categories'})} if these are names"
        )
    return column.values


def _told_numbers(
    table: Table, told: Sequence[str], read: Mapping[str, TextColumn]
) -> torch.Tensor:
    """(N, C), float32, the columns that are conditions."""
    for name in told:
        row = read[name].first(np.isnan(read[name].values))
        if row is not None:
            raise ValueError(
                f"{table.at(row, name)}: a column of condition values holds numbers, and "
                f"{read[name].text(row)!r} is none; names are labels, "
                f"{option('label', name)} and {option('condition', 'labels')}"
            )
    numbers = np.stack([read[name].values for name in told], 1)
    return torch.from_numpy(numbers.astype(np.float32))


def _heading(name: str, column: TextColumn, kind: str) -> Heading:
    if kind in ("binary", "categories"):
        return Heading(name, column.categories[0], None, _dtype(column))
    if column.dates is not None and kind == "real":
        return Heading(name, (), None, column.dtype, PLAIN, column.dates)
    decimals = 0 if kind == "counts" else column.decimals
    plain = column.marks._replace(decimal=".") == PLAIN
    return Heading(name, (), decimals, column.dtype, PLAIN if plain else column.marks)


def _dtype(column: TextColumn) -> str:
    """The type of a column of categories in a data frame."""
    if column.dtype:
        return column.dtype
    plain = column.marks._replace(decimal=".") == PLAIN and not column.zeros
    if plain and not np.isnan(column.values).any():
        return "int64" if column.whole else "float64"
    names = {name.lower() for name in column.categories[0]}
    return "bool" if names <= {"true", "false"} else ""


def _summary(read: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> str:
    """The kinds of the columns, in a line."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name, kind in chosen.items():
        names = read[name].categories[0] if kind in ("binary", "categories") else ()
        more = f" ({abbreviate_names(names, _NAMED)})" if names else ""
        by_kind[kind].append(name + more)
    otherwise = option("columns", {"NAME": "KIND"})
    return f"columns: {listed(by_kind)} ({otherwise} sets others)"


def _labelled(label: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    return (
        (f"labels: column {label}, {len(names)} classes: {abbreviate_names(names)}",)
        if label
        else ()
    )
