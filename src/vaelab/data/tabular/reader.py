"""Tables in files and in memory: columns of cells, and the place of every row.

The separator (comma, semicolon, tab, bar) is found in the first line, which names the columns;
cells may be quoted, and hold newlines. The decimal mark of a column is a point or a comma, as its
cells prove.
"""

import csv
import gc
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.data.tabular.column_text import Cell, NumberTexts, TextColumn, number
from vaelab.data.tabular.header import abbreviate_names

SUFFIXES = (".csv", ".tsv", ".parquet")
_SEPARATORS = ",;\t|"
_SPELT = "[.eE]|^[+-]?0[0-9]"
"""Whole numbers of which more counts than their value: 7.0, 1e3, 007."""
_DECIMAL_COMMA = re.compile(r"(?:^|;)[+-]?\d*,\d+(?=;|$)", re.MULTILINE)


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
    table = _named(_parquet(path, decimal) if parquet else _text(path, decimal))
    if not len(table):
        raise ValueError(f"{path} has no rows, only the names {abbreviate_names(table.names)}")
    return table


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
    """Dates and times as ISO texts, without a clock if all are at midnight."""
    naive = [m if m is None else m.replace(tzinfo=None) for m in moments]
    there = [m for m in naive if m is not None]
    if all(m == m.replace(hour=0, minute=0, second=0, microsecond=0) for m in there):
        return [None if m is None else m.strftime("%Y-%m-%d") for m in naive]
    form = "%Y-%m-%dT%H:%M:%S" + (".%f" if any(m.microsecond for m in there) else "")
    return [None if m is None else m.strftime(form) for m in naive]


def _text(path: Path, decimal: str) -> Table:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} is not UTF-8 (byte {content[error.start]:#04x}); "
            "save the file as UTF-8, which Excel calls 'CSV UTF-8'"
        ) from None
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(first)
    if not decimal and separator == ";" and _DECIMAL_COMMA.search(text):
        decimal = ","
    fast = _columns_by_arrow(content, separator) if decimal != "," else None
    names, cells, lines = fast or _columns_by_csv(path, text, separator)
    notes: tuple[str, ...] = ()
    if all(number(name, decimal or ".") is not None for name in names):
        if _is_numbered_header(names, cells):
            notes = (f"line {lines[0]} holds numbers only, unlike the rows: it names the columns",)
        else:
            notes = (
                f"line {lines[0]} holds numbers only: the columns have no names but their places",
            )
            if fast is not None:
                names, cells, lines = _columns_by_csv(path, text, separator)
            cells = [[name, *column] for name, column in zip(names, cells, strict=True)]
            names, lines = [str(j) for j in range(len(names))], [0, *lines]
    made = tuple(TextColumn(column, decimal, markers=True) for column in cells)
    return Table(str(path), tuple(names), made, lines[1:], notes)


Columns = tuple[list[str], list[Sequence[Cell]], Sequence[int]]
"""Names, the cells of each column, and the lines of the names and of each row."""


def _columns_by_arrow(content: bytes, separator: str) -> Columns | None:
    """Columns parsed by pyarrow, numbers without a text for each; None if it cannot.

    It refuses what takes more care (missing cells, rows of another length, blank lines, quoted
    newlines), which is left to `_columns_by_csv` with its lines for messages.
    """
    try:
        import pyarrow
        from pyarrow import compute
        from pyarrow import csv as arrow
    except ImportError:
        return None
    if b'"' in content:  # it takes quotation marks that the strict reader refuses
        return None
    how = arrow.ParseOptions(delimiter=separator, ignore_empty_lines=False, quote_char=False)
    data = content.removeprefix(b"\xef\xbb\xbf")
    first, _, _ = data.partition(b"\n")
    try:
        (names,) = csv.reader([first.decode()], delimiter=separator, strict=True)
        kinds = dict.fromkeys(map(str, range(len(names))), pyarrow.string())
        table = arrow.read_csv(
            pyarrow.py_buffer(data),
            arrow.ReadOptions(column_names=list(kinds), skip_rows=1),
            how,
            arrow.ConvertOptions(column_types=kinds, quoted_strings_can_be_null=False),
        )
    except (ValueError, csv.Error, pyarrow.ArrowException):
        return None
    ends = data.count(b"\n") + (not data.endswith(b"\n"))
    if len(set(names)) < len(names) or table.num_rows + 1 != ends or b"\r" in first[:-1]:
        return None
    cells = [_cells_of_arrow(column, compute) for column in table.columns]
    return [name.strip() for name in names], cells, range(1, ends + 1)


def _cells_of_arrow(texts: Any, compute: Any) -> Sequence[Cell]:
    """Cells of a column of texts; without the texts if all are numbers, finite and plain."""
    import pyarrow

    try:
        values = compute.cast(texts, pyarrow.float64()).to_numpy()
    except pyarrow.ArrowInvalid:
        return [text.strip() for text in texts.to_pylist()]
    whole = bool((values == np.rint(values)).all())
    special = whole and compute.any(compute.match_substring_regex(texts, _SPELT)).as_py()
    if np.isfinite(values).all() and not special:
        return NumberTexts(values, whole)
    return [text.strip() for text in texts.to_pylist()]


def _columns_by_csv(path: Path, text: str, separator: str) -> Columns:
    """Columns of texts.

    Raises:
        ValueError: if the text is no table; names the line.
    """
    records, lines = _records(path, text, separator)
    if not records:
        raise ValueError(f"{path} is empty; expected a line of names, then a row a line")
    if odd := [(i, len(row)) for i, row in enumerate(records) if len(row) != len(records[0])]:
        wrong = abbreviate_names([f"line {lines[i]} has {size}" for i, size in odd])
        raise ValueError(
            f"{path}: the header has {len(records[0])} values, {wrong}; quote values that hold the "
            f"separator {separator!r}, and fill the others in"
        )
    columns = [list(map(str.strip, column)) for column in zip(*records, strict=True)]
    return [column[0] for column in columns], [column[1:] for column in columns], lines


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


def _records(path: Path, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """Records that are not blank, and the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    collects = gc.isenabled()
    gc.disable()  # it would go through the growing list again and again, and find nothing
    try:
        records = list(reader)
    except csv.Error:
        records = []
    finally:
        if collects:
            gc.enable()
    if not records or reader.line_num != len(records) or not all(map(any, records)):
        found = list(_one_by_one(path, text, separator))
        return [record for _, record in found], [line for line, _ in found]
    return records, list(range(1, len(records) + 1))


def _one_by_one(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    line = 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                yield line, record
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
    if types.is_dictionary(kind):
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
