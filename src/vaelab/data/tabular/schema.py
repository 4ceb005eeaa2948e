"""Rows of numbers from a table: the kind of each column, found or given, and its values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vaelab.data.schema_fields import KINDS, NUMBERS, Column
from vaelab.data.spec import DataSpec
from vaelab.data.splits import FEWEST, SourceData
from vaelab.data.tabular.column_text import TextColumn
from vaelab.data.tabular.date_text import Dates
from vaelab.data.tabular.diagnostics import OUT, REST, first_gap, usable, wanted
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
) -> SourceData:
    """The rows of a table, with kinds of columns as its cells suggest or as they are given.

    Args:
        table: as it was read.
        kinds: by name: `"real"`, `"positive"`, `"binary"`, `"counts"`, `"categories"`, or `"out"`
            to leave the column out; under `"*"` for all that are not named.
        label: the column that holds labels, and is not modelled.
        skip: leave out rows without a value somewhere, rather than refuse.
        told: numeric columns that are the condition of each row, and not modelled.

    Raises:
        ValueError: for columns that are not there or have no values of their kind; names the place.
    """
    said = dict(kinds or {})
    beside = (*((label,) if label else ()), *told)
    _check_said(table, said, label, told)
    if len(table) < FEWEST:  # before columns of so few rows are judged
        raise ValueError(f"{table.name}: rows seen: {len(table)}; a data set needs {FEWEST}")
    table, skipped = usable(table, said, beside, skip)
    read = wanted(table, said, beside)
    modelled = {name: column for name, column in read.items() if name not in beside}
    chosen = {n: said.get(n, said.get(REST)) or column.kind() for n, column in modelled.items()}
    x = np.stack([_values(table, name, read[name], kind) for name, kind in chosen.items()], 1)
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
        *_marked(read, chosen),
        *_skewed(found, chosen),
        *_scaled(found, chosen),
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


def like(table: Table, spec: DataSpec) -> tuple[Array, tuple[str, ...]]:
    """The rows of a table (N, D), float32, laid out as a run's data; and notes.

    Columns go by their names, whatever their order; those that the run's data lack are passed by.

    Raises:
        ValueError: if a column is missing, or a value is not one the run's data can have.
    """
    if missing := [h.name for h in spec.headings if h.name not in table.names]:
        raise ValueError(
            f"{table.name} has no column {abbreviate_names(missing)}; the run's data have "
            f"{abbreviate_names([h.name for h in spec.headings], 20)}, and this has "
            f"{abbreviate_names(table.names, 20)}"
        )
    kinds = {h.name: "categories" if h.values else None for h in spec.headings}
    named = {h.name: kinds[h.name] if any(map(_marker, h.values)) else None for h in spec.headings}
    if gap := first_gap(table, named):
        raise ValueError(f"{gap}. Fill it in, or leave such rows out")
    rows = [
        _like_column(table, heading, table.column(heading.name, named[heading.name]))
        for heading in spec.headings
    ]
    others = [name for name in table.names if name not in kinds]
    notes = (
        (f"columns that the run does not know are passed by: {abbreviate_names(others)}",)
        if others
        else ()
    )
    return np.stack(rows, 1).astype(np.float32), (*table.notes, *notes)


def _like_column(table: Table, heading: Heading, column: TextColumn) -> Array:
    """(N,), the cells of a column as the numbers of a heading."""
    if heading.dates is not None:
        found = _days(column, heading.dates)
        if np.isnan(found).any() and column.dates is not None:  # of another format, all of them
            found = _days(column, column.dates._replace(origin=heading.dates.origin))
        if (row := column.first(np.isnan(found))) is not None:
            raise ValueError(
                f"{table.at(row, heading.name)}: {column.text(row)!r} is no date written as "
                f"{heading.written(0.0)}"
            )
        return found
    if not heading.values:
        if heading.marks.decimal != column.marks.decimal and heading.marks != PLAIN:
            again = TextColumn(column.cells, heading.marks.decimal, column.markers)
            column = column if np.isnan(again.values).any() else again
        return _numbers(table, heading.name, column, "numbers")
    given = TextColumn(heading.values)
    by_number = given.quantity and column.numeric
    names: Sequence[Any] = given.values.tolist() if by_number else heading.values
    places = {key: i for i, key in enumerate(names)}
    if heading.dtype == "bool" and not by_number:  # true, True and TRUE are one value
        places |= {form: i for i, name in enumerate(names) for form in _spellings(name)}
    if by_number:
        found = np.array([places.get(value, -1) for value in column.values.tolist()])
    else:
        found = column.spread(lambda text: places.get(text or "", -1))
    if (row := column.first(found < 0)) is not None:
        raise ValueError(
            f"{table.at(row, heading.name)}: {column.text(row)!r} is none of the "
            f"values of the run's data: {abbreviate_names(heading.values, 20)}"
        )
    return found


def _days(column: TextColumn, dates: Dates) -> Array:
    """(N,), the cells of a column of dates as days; nan for a cell that is none."""
    texts = column.by_text
    return dates.days([text or "" for text in texts.distinct])[texts.codes]


def _spellings(name: str) -> tuple[str, ...]:
    return name, name.lower(), name.upper(), name.capitalize()


def _marker(name: str) -> bool:
    """True for a category called as missing values are in a text file."""
    return bool(TextColumn([name], markers=True).lacking.any())


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


def _values(table: Table, name: str, column: TextColumn, kind: str) -> Array:
    """(N,), checked to be of the kind."""
    if kind in (*NUMBERS, "counts"):
        if kind == "real" and column.dates is not None:
            return _days(column, column.dates)
        numbers = _numbers(table, name, column, kind)
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


def _numbers(table: Table, name: str, column: TextColumn, expected: str) -> Array:
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


def _marked(read: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> tuple[str, ...]:
    """Notes on numbers that are written with marks, on dates, and on digits that are names."""
    numbers = [n for n, kind in chosen.items() if kind not in ("binary", "categories")]
    marked = [
        f"{n} ({read[n].text(i)} as {read[n].values[i]:.12g})"
        for n in numbers
        if read[n].marks not in (PLAIN, PLAIN._replace(decimal=","))
        for i in [int(np.nanargmax(read[n].values))]
    ]
    dates = [f"{n} ({read[n].text(0)})" for n in numbers if read[n].dates is not None]
    names = [n for n, k in chosen.items() if k == "categories" and read[n].coded]
    notes = []
    if marked:
        notes.append(f"read as numbers, and written so in a .csv: {abbreviate_names(marked)}")
    if dates:
        notes.append(f"read as dates, days since the first: {abbreviate_names(dates)}")
    if names:
        real = option("columns", {names[0]: "real"})
        notes.append(
            f"digits taken for names: {abbreviate_names(names)}; {real} takes them for numbers"
        )
    return tuple(notes)


def _skewed(found: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> tuple[str, ...]:
    """Notes on columns that are skewed."""
    positive = [name for name in found if chosen[name] == "positive"]
    zeros = {
        name: int((column.values == 0).sum())
        for name, column in found.items()
        if chosen[name] == "real"
        and column.dates is None
        and column.values.min() == 0
        and column.skewed
    }
    notes = []
    if positive:
        real = option("columns", {positive[0]: "real"})
        notes.append(
            f"above 0 and skewed: {abbreviate_names(positive)}, so taken as log-normal; {real} "
            "takes them as they are, and samples of these may be below 0"
        )
    if zeros:
        told = abbreviate_names([f"{name} ({n:,})" for name, n in zeros.items()])
        notes.append(
            f"skewed, and 0 in some rows: {told}; taken as real, samples of which may be below 0"
        )
    return tuple(notes)


def _scaled(found: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> tuple[str, ...]:
    """A note on columns that are whole multiples of one number, as counts of one factor are."""
    factors = {}
    for name, column in found.items():
        if chosen[name] in NUMBERS and column.dates is None:
            factor = common_factor(column.distinct, len(column))
            if factor is not None:
                factors[name] = factor
    if not factors:
        return ()
    told = abbreviate_names([f"{name} ({factor:.6g})" for name, factor in factors.items()])
    counts = option("columns", {next(iter(factors)): "counts"})
    return (
        f"whole multiples of one number: {told}; divided by it, they are counts, which {counts} "
        "models as such",
    )


def common_factor(different: Array, rows: int) -> float | None:
    """The step of which all values are whole multiples, if they look like scaled counts.

    Values have at least three different multiples, 0 among them or next to it, and the step is
    neither a whole number nor a power of ten, which are resolutions of measurements.

    Args:
        different: the different values in order, float64.
        rows: the number of rows.

    >>> common_factor(np.array([0, 0.35, 0.7, 1.05, 2.1]), 100)
    0.35
    """
    if len(different) < 4 or different[0] < 0 or len(different) > rows // 4:
        return None
    step = float(np.diff(different).min())
    multiples = different / step
    exact = np.abs(multiples - np.rint(multiples)) < 1e-4 * np.maximum(1, np.rint(multiples))
    tens = math.log10(step)
    if not exact.all() or multiples[-1] > 10_000 or abs(tens - round(tens)) < 1e-6:
        return None
    whole = abs(step - round(step)) < 1e-6 * step
    return None if whole else float(f"{step:.6g}")


def _labelled(label: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    return (
        (f"labels: column {label}, {len(names)} classes: {abbreviate_names(names)}",)
        if label
        else ()
    )


def left_out(spec: DataSpec) -> dict[str, str]:
    """The kinds that make a table be read as it was for a run: only its own columns."""
    # Without kinds, counts are modelled as numbers like others.
    columns = spec.columns or (Column("real"),)
    kinds = {h.name: columns[j % len(columns)].kind for j, h in enumerate(spec.header)}
    return {REST: OUT, **kinds}
