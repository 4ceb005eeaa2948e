"""Tables in files and in memory: columns of cells, and the place of every row."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.data.tabular.cells import Cell, NumberTexts
from vaelab.data.tabular.column_text import TextColumn
from vaelab.data.tabular.csv_text import read_columns, with_first
from vaelab.data.tabular.header import abbreviate_names
from vaelab.data.tabular.number_text import number

SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True, eq=False)
class Table:
    """A table as it was read.

    Args:
        name: name of the file, for messages.
        names: names of the columns.
        columns: one for each name, of N cells.
        places: the line of each row in its file; None: rows are counted from 1.
        notes: on how it was read.
    """

    name: str
    names: tuple[str, ...]
    columns: tuple[TextColumn, ...]
    places: Sequence[int] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def place(self, row: int) -> str:
        """The place of a row."""
        return f"row {row + 1}" if self.places is None else f"line {self.places[row]}"

    def at(self, row: int, column: str) -> str:
        """The place of a cell, as a message begins."""
        return f"{self.name}: {self.place(row)}, column {column}"

    def column(self, name: str, kind: str | None = None) -> TextColumn:
        """A column by name; its cells are names if it is to be of categories."""
        column = self.columns[self.names.index(name)]
        return replace(column, names=True) if kind == "categories" else column

    def without(self, rows: np.ndarray[Any, Any]) -> "Table":
        """The table without the rows where `rows` (N,) is true."""
        kept = np.flatnonzero(~rows).tolist()
        places = range(1, len(self) + 1) if self.places is None else self.places
        columns = tuple(column.where(~rows) for column in self.columns)
        return replace(self, columns=columns, places=[places[i] for i in kept])


def read_table(path: Path, decimal: str = "") -> Table:
    """The table of a `.csv`, `.tsv` or `.parquet` file.

    Args:
        path: path of the file.
        decimal: the mark of its numbers, "." or ","; "" to find it out.

    Raises:
        ValueError: if the file is no table; names the line.
    """
    parquet = path.suffix.lower() == ".parquet"
    table = _named(_parquet(path, decimal) if parquet else _of_text(path, decimal))
    if not len(table):
        raise ValueError(f"{path} has no rows, only the names {abbreviate_names(table.names)}")
    return table


def _of_text(path: Path, decimal: str) -> Table:
    """The table of a text file; a first line of numbers names the columns if unlike the rows."""
    read = read_columns(path, decimal)
    names, cells, lines = read.names, read.cells, read.lines
    notes: tuple[str, ...] = ()
    if all(number(name, read.decimal or ".") is not None for name in names):
        if _is_numbered_header(names, cells):
            notes = (f"line {lines[0]} holds numbers only, unlike the rows: it names the columns",)
        else:
            notes = (
                f"line {lines[0]} holds numbers only: the columns have no names but their places",
            )
            cells = [with_first(name, column) for name, column in zip(names, cells, strict=True)]
            names, lines = [str(j) for j in range(len(names))], [0, *lines]
    made = tuple(TextColumn(column, read.decimal, markers=True) for column in cells)
    return Table(str(path), tuple(names), made, lines[1:], notes)


def _is_numbered_header(names: Sequence[str], cells: Sequence[Sequence[Cell]]) -> bool:
    """True if a first line of numbers names the columns: they count up, or are unlike the rows."""
    if not len(cells[0]) or len(set(names)) < len(names) or not all(map(str.isdigit, names)):
        return False
    steps = {int(b) - int(a) for a, b in itertools.pairwise(names)}
    if len(names) > 2 and len(steps) == 1:
        return True
    return all(_unlike(int(name), column) for name, column in zip(names, cells, strict=True))


def _unlike(name: int, cells: Sequence[Cell]) -> bool:
    """True if no cell is a number of the name's form and range."""
    column = TextColumn(cells, markers=True)
    x = column.values[~np.isnan(column.values)]
    if not len(x):
        return True
    return bool((x != np.rint(x)).mean() > 0.5 or not x.min() <= name <= x.max())


def is_frame(source: object) -> bool:
    """True for a data frame of pandas."""
    return all(hasattr(source, name) for name in ("columns", "isna", "iloc", "itertuples"))


def from_frame(frame: Any, decimal: str = "") -> Table:
    """The table of a pandas data frame, without its index.

    Raises:
        ValueError: if two columns have one name, or there are no rows.
    """
    columns = tuple(_of_series(frame.iloc[:, j], decimal) for j in range(frame.shape[1]))
    names = tuple(str(name).strip() for name in frame.columns)
    table = _named(Table("the data frame", names, columns))
    if not len(table):
        raise ValueError("the data frame has no rows")
    return table


def _of_series(series: Any, decimal: str) -> TextColumn:
    """A column of a data frame; only what pandas calls missing is missing."""
    dtype, missing = str(series.dtype), series.isna().to_numpy()
    kind = getattr(series.dtype, "kind", "O")
    if kind == "M":
        moments = [None if gone else value for value, gone in zip(series, missing, strict=True)]
        return TextColumn(_moments(moments), dtype=dtype)
    if kind == "m":
        days = (series / np.timedelta64(1, "D")).to_numpy(np.float64, na_value=np.nan)
        return TextColumn(NumberTexts(days, False), dtype=dtype)
    if kind in "iuf" and dtype != "category":
        values = series.to_numpy(np.float64, na_value=np.nan)
        plain = "" if dtype in ("int64", "float64") else dtype
        exact = kind == "f" or not len(values) or np.nanmax(np.abs(values), initial=0) < 2**53
        if exact:
            return TextColumn(NumberTexts(values, kind in "iu", dtype == "float32"), dtype=plain)
    cells = [None if gone else str(v).strip() for v, gone in zip(series, missing, strict=True)]
    if dtype == "category":
        order = tuple(str(name).strip() for name in series.cat.categories)
        dtype = f"category[{series.cat.categories.dtype}]" + " ordered" * series.cat.ordered
        return TextColumn(cells, decimal, dtype=dtype, order=order)
    special = dtype in ("bool", "boolean") or kind in "iu"
    return TextColumn(cells, decimal, dtype=dtype if special else "")


def _moments(moments: Sequence[Any]) -> list[Cell]:
    """Dates and times as pandas writes them, without a clock if all are at midnight."""
    naive = [m if m is None else m.replace(tzinfo=None) for m in moments]
    there = [m for m in naive if m is not None]
    if all(m == m.replace(hour=0, minute=0, second=0, microsecond=0) for m in there):
        return [None if m is None else m.strftime("%Y-%m-%d") for m in naive]
    form = "%Y-%m-%d %H:%M:%S" + (".%f" if any(m.microsecond for m in there) else "")
    return [None if m is None else m.strftime(form) for m in naive]


def _parquet(path: Path, decimal: str) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            f"{path}: reading Parquet takes pyarrow, which is not installed: "
            "pip install pandas pyarrow, or save the table as .csv"
        ) from None
    try:
        found = pyarrow.parquet.read_table(path)
        columns = tuple(_of_arrow(column, decimal) for column in found.columns)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as a Parquet table: {error}") from None
    return Table(str(path), tuple(name.strip() for name in found.column_names), columns)


def _of_arrow(column: Any, decimal: str) -> TextColumn:
    """A column of a Parquet file; only nulls are missing."""
    from pyarrow import types

    kind = column.type
    if types.is_timestamp(kind) or types.is_date(kind):
        moments = column.cast("timestamp[us]").to_pylist()
        return TextColumn(_moments(moments), dtype="datetime64[us]")
    whole = types.is_integer(kind)
    if whole or types.is_floating(kind):
        plain = (
            "" if str(kind) in ("int64", "double") else str(kind).replace("halffloat", "float16")
        )
        values = np.array([np.nan if v is None else v for v in column.to_pylist()], np.float64)
        if not whole or np.nanmax(np.abs(values), initial=0) < 2**53:
            texts = NumberTexts(values, whole, types.is_float32(kind))
            return TextColumn(texts, dtype="float32" if types.is_float32(kind) else plain)
    if types.is_dictionary(kind) or types.is_duration(kind):
        return _of_series(column.to_pandas(), decimal)
    dtype = "bool" if types.is_boolean(kind) else ""
    cells = [None if value is None else str(value).strip() for value in column.to_pylist()]
    return TextColumn(cells, decimal, dtype=dtype)


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
