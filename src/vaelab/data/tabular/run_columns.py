"""Tables at use: the rows of a table, laid out as the data of a run."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from vaelab.data.schema_fields import Column
from vaelab.data.spec import DataSpec
from vaelab.data.tabular.column_text import TextColumn
from vaelab.data.tabular.diagnostics import OUT, REST, first_gap
from vaelab.data.tabular.header import Heading, abbreviate_names
from vaelab.data.tabular.number_text import PLAIN
from vaelab.data.tabular.reader import Table
from vaelab.data.tabular.schema import Array, days_of, numbers_of, with_gaps
from vaelab.utils.options import option


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
    table = table.with_missing(spec.missing_codes)
    if gap := first_gap(table, named, missing_too=not spec.missing):
        expect = option("missing", "expect")
        hint = "" if spec.missing else f"; a run trained with {expect} takes them"
        raise ValueError(f"{gap}. Fill it in, or leave such rows out{hint}")
    rows = [
        with_gaps(
            table,
            table.column(heading.name, named[heading.name]),
            partial(_like_column, heading=heading),
        )
        for heading in spec.headings
    ]
    others = [name for name in table.names if name not in kinds]
    notes = (
        (f"columns that the run does not know are passed by: {abbreviate_names(others)}",)
        if others
        else ()
    )
    return np.stack(rows, 1).astype(np.float32), (*table.notes, *notes)


def _like_column(table: Table, column: TextColumn, heading: Heading) -> Array:
    """(N,), the cells of a column as the numbers of a heading."""
    if heading.dates is not None:
        found = days_of(column, heading.dates)
        if np.isnan(found).any() and column.dates is not None:  # of another format, all of them
            found = days_of(column, column.dates._replace(origin=heading.dates.origin))
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
        return numbers_of(table, heading.name, column, "numbers")
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


def _spellings(name: str) -> tuple[str, ...]:
    return name, name.lower(), name.upper(), name.capitalize()


def _marker(name: str) -> bool:
    """True for a category called as missing values are in a text file."""
    return bool(TextColumn([name], markers=True).lacking.any())


def left_out(spec: DataSpec) -> dict[str, str]:
    """The kinds that make a table be read as it was for a run: only its own columns."""
    # Without kinds, counts are modelled as numbers like others.
    columns = spec.columns or (Column("real"),)
    kinds = {h.name: columns[j % len(columns)].kind for j, h in enumerate(spec.header)}
    return {REST: OUT, **kinds}
