"""Tables in files and in memory: their cells as text, by column, with the place of every row.

Separators (comma, semicolon, tab, bar) are found in the first line, which names the columns; cells
may be quoted, and hold newlines. Numbers are written with a point, or with a comma where
semicolons separate.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .column_text import number
from .header import abbreviate_names

SUFFIXES = (".csv", ".tsv", ".parquet")
_SEPARATORS = ",;\t|"


@dataclass(frozen=True, eq=False)
class Table:
    """Cells as text.

    Args:
        name: of the file, for messages.
        names: of the columns.
        cells: of each column, its N cells, without space around them.
        places: where each row is, in the words of a message; None: counted as rows from 1.
        comma: whether numbers are written with a decimal comma.
        notes: what was done.
    """

    name: str
    names: tuple[str, ...]
    cells: tuple[Sequence[str], ...]
    places: Sequence[int] | None = None
    comma: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells[0]) if self.cells else 0

    def place(self, row: int) -> str:
        """Where a row is."""
        return f"row {row + 1}" if self.places is None else f"line {self.places[row]}"

    def at(self, row: int, column: str) -> str:
        """Where a cell is, as a message begins."""
        return f"{self.name}: {self.place(row)}, column {column}"

    def without(self, rows: np.ndarray[Any, Any]) -> "Table":
        """The table without the rows where `rows` (N,) is true."""
        kept = np.flatnonzero(~rows).tolist()
        cells = tuple([column[i] for i in kept] for column in self.cells)
        places = range(1, len(self) + 1) if self.places is None else self.places
        return replace(self, cells=cells, places=[places[i] for i in kept])


def read_table(path: Path) -> Table:
    """The table of a `.csv`, `.tsv` or `.parquet` file.

    Raises:
        ValueError: where it is none, names the line.
    """
    table = _named(_parquet(path) if path.suffix.lower() == ".parquet" else _text(path))
    if not len(table):
        raise ValueError(f"{path} has no rows, only the names {abbreviate_names(table.names)}")
    return table


def is_frame(source: object) -> bool:
    """Whether it is a data frame as pandas has them."""
    return all(hasattr(source, name) for name in ("columns", "isna", "iloc", "itertuples"))


def from_frame(frame: Any) -> Table:
    """The table of a pandas data frame; its index is not looked at.

    Raises:
        ValueError: where its columns have no names of their own, or it has no rows.
    """
    missing = frame.isna()
    cells = tuple(
        ["" if gone else str(value).strip() for value, gone in zip(column, absent, strict=True)]
        for column, absent in (
            (frame.iloc[:, j], missing.iloc[:, j]) for j in range(frame.shape[1])
        )
    )
    names = tuple(str(name).strip() for name in frame.columns)
    table = _named(Table("the data frame", names, cells))
    if not len(table):
        raise ValueError("the data frame has no rows")
    return table


def _text(path: Path) -> Table:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            separator = "\t" if path.suffix.lower() == ".tsv" else _separator(first)
            file.seek(0)
            records = list(_records(path, csv.reader(file, delimiter=separator, strict=True)))
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} or after is not UTF-8 (byte {error.object[error.start]:#04x}); "
            "save the file as UTF-8, which Excel calls 'CSV UTF-8'"
        ) from None
    if not records:
        raise ValueError(f"{path} is empty; expected a line of names, then a row a line")
    (begin, names), *rows = records
    comma = separator == ";"
    notes: tuple[str, ...] = ()
    if all(number(cell, comma) is not None for cell in names):
        rows, names = records, [str(j) for j in range(len(names))]
        notes = (f"line {begin} holds numbers only: the columns have no names but their places",)
    if odd := [f"line {line} has {len(row)}" for line, row in rows if len(row) != len(names)]:
        raise ValueError(
            f"{path}: the header has {len(names)} values, {abbreviate_names(odd)}; quote values "
            "that hold the "
            f"separator {separator!r}, and fill the others in"
        )
    columns = zip(*(row for _, row in rows), strict=True) if rows else ((),) * len(names)
    return Table(str(path), tuple(names), tuple(columns), [line for line, _ in rows], comma, notes)


def _records(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank, each with the line it begins on."""
    line = 1
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}: line {line} cannot be read as a row: {error}; a quotation mark in a value is "
            'written twice, "", and the value in quotation marks'
        ) from None


def _separator(line: str) -> str:
    """The one that parts the first line into the most cells."""

    def parts(separator: str) -> int:
        return max((len(row) for row in csv.reader([line], delimiter=separator)), default=0)

    return max(_SEPARATORS, key=parts)


def _parquet(path: Path) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            f"{path}: reading Parquet takes pyarrow, which is not installed: "
            "pip install 'vaelab[tables]', or save the table as .csv"
        ) from None
    try:
        found = pyarrow.parquet.read_table(path)
        texts = [column.cast(pyarrow.string()).to_pylist() for column in found.columns]
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as a Parquet table: {error}") from None
    cells = tuple(["" if cell is None else cell.strip() for cell in column] for column in texts)
    return Table(str(path), tuple(name.strip() for name in found.column_names), cells)


def _named(table: Table) -> Table:
    """The table, every column with a name of its own.

    An index that pandas wrote has none, and nor have the columns that a spreadsheet adds at its
    right.
    """
    names = tuple(name or f"unnamed-{j + 1}" for j, name in enumerate(table.names))
    for j, name in enumerate(names):
        if name in names[:j]:
            raise ValueError(
                f"{table.name}: columns {names.index(name) + 1} and {j + 1} are both called "
                f"{name}; give every column a name of its own"
            )
    return replace(table, names=names)
