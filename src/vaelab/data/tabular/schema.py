"""From the text of a table to numbers: what each column is, found or said, and its values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from vaelab.data.schema_fields import KINDS, NUMBERS, Column
from vaelab.data.spec import DataSpec
from vaelab.data.splits import FEWEST, SourceData

from .column_text import TextColumn
from .diagnostics import OUT, REST, first_gap, usable, wanted
from .header import Heading, abbreviate_names, listed
from .reader import Table

Array = np.ndarray[Any, Any]

_NAMED = 4


def as_rows(
    table: Table,
    kinds: Mapping[str, str] | None = None,
    label: str | None = None,
    skip: bool = False,
    told: Sequence[str] = (),
) -> SourceData:
    """The rows of a table, its columns found for what they are or as they are said to be.

    Args:
        table: cells as text.
        kinds: by name: `"real"`, `"positive"`, `"binary"`, `"counts"`, `"categories"`, or `"out"`
            to leave the column out; under `"*"` for all that are not named.
        label: the column that holds labels, and is not modelled.
        skip: leave out rows without a value somewhere, rather than refuse.
        told: columns of numbers that are known of each row, and not modelled: its vectors.

    Raises:
        ValueError: for columns that are not there or have no values of their kind; says where.
    """
    said = dict(kinds or {})
    beside = (*((label,) if label else ()), *told)
    _check_said(table, said, label, told)
    if len(table) < FEWEST:  # before columns of so few rows are judged
        raise ValueError(f"{table.name}: rows seen: {len(table)}; a data set needs {FEWEST}")
    table, skipped = usable(table, said, beside, skip)
    read = {
        n: TextColumn.of(column, table.comma) for n, column in wanted(table, said, beside).items()
    }
    modelled = {name: cells for name, cells in read.items() if name not in beside}
    chosen = {n: said.get(n, said.get(REST)) or cells.kind() for n, cells in modelled.items()}
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
    found = {
        name: cells for name, cells in modelled.items() if name not in said and REST not in said
    }
    notes = (
        *table.notes,
        *skipped,
        _told(read, chosen),
        *_skewed(found, chosen),
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
    """The rows of a table (N, D), float32, as those that a run was trained on; and notes.

    Columns go by their names, whatever their order; those the run does not know are passed by.

    Raises:
        ValueError: where a column is missing, or a value is not one the run's data can have.
    """
    if missing := [h.name for h in spec.headings if h.name not in table.names]:
        raise ValueError(
            f"{table.name} has no column {abbreviate_names(missing)}; the run's data have "
            f"{abbreviate_names([h.name for h in spec.headings], 20)}, and this has "
            f"{abbreviate_names(table.names, 20)}"
        )
    known = [heading.name for heading in spec.headings]
    if gap := first_gap(table, known):
        raise ValueError(f"{gap}. Fill it in, or take such rows out of the file")
    rows = []
    for heading in spec.headings:
        cells = TextColumn.of(table.cells[table.names.index(heading.name)], table.comma)
        if not heading.values:
            rows.append(_numbers(table, heading.name, cells, "numbers"))
            continue
        given = TextColumn.of(heading.values)
        by_number = given.numeric and cells.numeric
        keys = cells.numbers if by_number else cells.texts
        places = {key: i for i, key in enumerate(given.numbers if by_number else heading.values)}
        row = cells.first(np.array([key not in places for key in keys]))
        if row is not None:
            raise ValueError(
                f"{table.at(row, heading.name)}: {cells.texts[cells.index[row]]!r} is none of the "
                f"values of the run's data: {abbreviate_names(heading.values, 20)}"
            )
        rows.append(np.array([places[key] for key in keys])[cells.index])
    others = [name for name in table.names if name not in known]
    notes = (
        (f"columns that the run does not know are passed by: {abbreviate_names(others)}",)
        if others
        else ()
    )
    return np.stack(rows, 1).astype(np.float32), (*table.notes, *notes)


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
            f"column {twice[0]} is to be told of each row, as --condition-columns says; it "
            "cannot be "
            "named there twice, or be the label or of a kind as well"
        )
    if not any(name not in beside for name in wanted(table, said, beside)):
        raise ValueError(f"{table.name}: no column is left to be modelled")


def _values(table: Table, name: str, cells: TextColumn, kind: str) -> Array:
    """(N,), checked to be of the kind."""
    if kind in (*NUMBERS, "counts"):
        numbers = _numbers(table, name, cells, kind)
        row = cells.first(cells.numbers.astype(np.float32) <= 0)
        if kind == "positive" and row is not None:
            raise ValueError(
                f"{table.at(row, name)}: positive numbers are above 0, and this is "
                f"{cells.texts[cells.index[row]]}; {name}=real takes any number"
            )
        row = cells.first((cells.numbers < 0) | (cells.numbers != np.rint(cells.numbers)))
        if kind == "counts" and row is not None:
            raise ValueError(
                f"{table.at(row, name)}: counts are 0, 1, 2, …, and this is "
                f"{cells.texts[cells.index[row]]}; {name}=real takes any number"
            )
        return numbers
    names, index = cells.categories
    if len(names) < 2 or (kind == "binary" and len(names) != 2):
        raise ValueError(
            f"{table.name}: column {name} is said to be {kind} and has {len(names):,} different "
            f"values: {abbreviate_names(names)}; expected "
            f"{'2' if kind == 'binary' else '2 or more'}"
        )
    return index


def _numbers(table: Table, name: str, cells: TextColumn, expected: str) -> Array:
    row = cells.first(np.isnan(cells.numbers))
    if row is not None:
        raise ValueError(
            f"{table.at(row, name)}: expected {expected}, and {cells.texts[cells.index[row]]!r} is "
            f"no number; mend it, or say {name}=categories where these are names"
        )
    return cells.values


def _told_numbers(
    table: Table, told: Sequence[str], read: Mapping[str, TextColumn]
) -> torch.Tensor:
    """(N, C), float32, the columns that are told."""
    for name in told:
        row = read[name].first(np.isnan(read[name].numbers))
        if row is not None:
            raise ValueError(
                f"{table.at(row, name)}: a column that is told holds numbers, and "
                f"{read[name].texts[read[name].index[row]]!r} is none; names are told as labels, "
                f"--label {name} --condition labels"
            )
    numbers = np.stack([read[name].values for name in told], 1)
    return torch.from_numpy(numbers.astype(np.float32))


def _heading(name: str, cells: TextColumn, kind: str) -> Heading:
    if kind in ("binary", "categories"):
        return Heading(name, cells.categories[0])
    return Heading(name, (), 0 if kind == "counts" else cells.decimals)


def _told(read: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> str:
    """What was found, in a line."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name, kind in chosen.items():
        names = read[name].categories[0] if kind in ("binary", "categories") else ()
        more = f" ({abbreviate_names(names, _NAMED)})" if names else ""
        by_kind[kind].append(name + more)
    return f"columns: {listed(by_kind)} (--columns NAME=KIND says otherwise)"


def _skewed(found: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> tuple[str, ...]:
    """What follows for columns that were found to be skewed."""
    positive = [name for name in found if chosen[name] == "positive"]
    zeros = {
        name: int((cells.values == 0).sum())
        for name, cells in found.items()
        if chosen[name] == "real" and cells.values.min() == 0 and cells.skewed
    }
    notes = []
    if positive:
        notes.append(
            f"above 0 and skewed: {abbreviate_names(positive)}, so taken as log-normal; "
            "NAME=real takes them "
            "as they are, and samples of these may be below 0"
        )
    if zeros:
        told = abbreviate_names([f"{name} ({n:,})" for name, n in zeros.items()])
        notes.append(
            f"skewed, and 0 in some rows: {told}; taken as real, samples of which may be below 0"
        )
    return tuple(notes)


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
