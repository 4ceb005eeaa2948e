"""Text files of comma-separated values to columns of cells, with the line of every row.

The separator (comma, semicolon, tab, bar) is found in the first line, which names the columns;
cells may be quoted, and hold newlines. pyarrow parses what is plain, and the csv module what takes
more care: both give the same cells.
"""

import csv
import gc
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaelab.data.tabular.cells import Cell, CodedTexts, NumberTexts, coded
from vaelab.data.tabular.header import abbreviate_names

_SEPARATORS = ",;\t|"
_SPELT = "[.eExX]|^[+-]?0[0-9]"
"""Whole numbers of which more counts than their value: 7.0, 1e3, 0x7, 007."""
_DECIMAL_COMMA = re.compile(r"(?:^|;)[+-]?\d*,\d+(?=;|$)", re.MULTILINE)
_HEAD = 2**20
"""Bytes that the first line is looked for in."""
_EXACT = 2**53
"""Beyond it not every whole number is a double."""


class TextColumns(NamedTuple):
    """Columns of a text file.

    Attributes:
        names: cells of the first line.
        cells: cells of each column.
        lines: on which the names and each row begin.
        decimal: the mark of the numbers, as given or as the separator suggests; "" if unknown.
    """

    names: list[str]
    cells: list[Sequence[Cell]]
    lines: Sequence[int]
    decimal: str = ""


def read_columns(path: Path, decimal: str = "") -> TextColumns:
    """The columns of a `.csv` or `.tsv` file.

    Raises:
        ValueError: if the file is no table or no UTF-8; names the line.
    """
    content = path.read_bytes()
    body = content.removeprefix(b"\xef\xbb\xbf")
    first = next((line for line in body[:_HEAD].splitlines() if line.strip()), b"")
    separator = (
        "\t" if path.suffix.lower() == ".tsv" else _separator(first.decode(errors="replace"))
    )
    if not decimal and separator == ";" and _DECIMAL_COMMA.search(_decoded(path, content)):
        decimal = ","
    fast = _columns_by_arrow(body, separator) if decimal != "," else None
    if fast is None:
        fast = _columns_by_csv(path, _decoded(path, content), separator)
    return fast._replace(decimal=decimal)


def with_first(cell: str, cells: Sequence[Cell]) -> Sequence[Cell]:
    """A column with one cell more at its head."""
    if isinstance(cells, NumberTexts):
        if cells.whole and re.search(_SPELT, cell):
            return [cell, *cells[:]]
        return NumberTexts(np.append(float(cell), cells.array), cells.whole)
    return [cell, *cells]


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} is not UTF-8 (byte {content[error.start]:#04x}); "
            "save the file as UTF-8, which Excel calls 'CSV UTF-8'"
        ) from None


def _columns_by_arrow(data: bytes, separator: str) -> TextColumns | None:
    """Columns parsed by pyarrow, numbers without a text for each; None if it cannot.

    It refuses what takes more care (rows of another length, blank lines, newlines in cells, odd
    quotation marks), which is left to `_columns_by_csv` with its lines for messages.
    """
    try:
        import pyarrow
        from pyarrow import csv as arrow
    except ImportError:
        return None
    quoted = b'"' in data
    if quoted and _is_oddly_quoted(data, separator):
        return None
    head, _, _ = data.partition(b"\n")
    try:
        (names,) = csv.reader([head.decode()], delimiter=separator, strict=True)
        keys = list(map(str, range(len(names))))

        def read(wanted: list[str], texts: bool) -> Any:
            return arrow.read_csv(
                pyarrow.py_buffer(data),
                arrow.ReadOptions(column_names=keys, skip_rows=1),
                arrow.ParseOptions(
                    delimiter=separator,
                    ignore_empty_lines=False,
                    quote_char='"' if quoted else False,
                ),
                arrow.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pyarrow.string()) if texts else None,
                    null_values=[""],
                    true_values=[],
                    false_values=[],
                    strings_can_be_null=False,
                    quoted_strings_can_be_null=False,
                    timestamp_parsers=[_NEVER],
                ),
            )

        table = read(keys, texts=False)
        fractions = {key: _fractions(table[key]) for key in keys}
        others = [key for key, column in fractions.items() if column is None]
        found = read(others, texts=True) if others else table
        cells = [
            _cells_of_arrow(found[key]) if column is None else column
            for key, column in fractions.items()
        ]
    except (ValueError, csv.Error, pyarrow.ArrowException):
        return None
    ends = data.count(b"\n") + (not data.endswith(b"\n"))
    if len(set(names)) < len(names) or table.num_rows + 1 != ends or b"\r" in head[:-1]:
        return None
    if np.all([_is_blank(column) for column in cells], 0).any():
        return None
    return TextColumns([n.strip() for n in names], cells, range(1, ends + 1))


_NEVER = "%Y never"
"""A format of no moment, so that dates stay texts."""


def _is_oddly_quoted(data: bytes, separator: str) -> bool:
    """True if quoted cells hold newlines, or go on after their closing mark, or may seem to."""
    start = rb"(?:^|[\n" + re.escape(separator.encode()) + rb'])"'
    inside = rb'(?:[^"\r\n]++|"")*+'
    ends = rb'(?:[\r\n]|"[^"\r\n' + re.escape(separator.encode()) + rb"]|$)"
    return re.search(start + inside + ends, data) is not None


def _is_blank(cells: Sequence[Cell]) -> np.ndarray[Any, Any]:
    """(N,), bool, the cells that are empty."""
    if isinstance(cells, NumberTexts):
        return np.isnan(cells.array)
    texts = coded(cells)
    return np.array([not text for text in texts.distinct], bool)[texts.codes]


def _fractions(column: Any) -> Sequence[Cell] | None:
    """A column of finite numbers, some of which are not whole; None for any other."""
    if str(column.type) != "double":
        return None
    values = _as_numpy(column)
    if np.isinf(values).any() or np.isnan(values).sum() != column.null_count:
        return None
    there = values[~np.isnan(values)]
    return None if bool((there == np.rint(there)).all()) else NumberTexts(values, False)


def _as_numpy(column: Any) -> np.ndarray[Any, Any]:
    """(N,), float64, nan for null; not by the column's own method, which imports pandas."""
    chunks = [chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(chunks).astype(np.float64) if chunks else np.empty(0)


def _cells_of_arrow(column: Any) -> Sequence[Cell]:
    """Cells of a column of texts; without the texts if all are whole numbers, spelt plainly."""
    found = column.combine_chunks().dictionary_encode()
    distinct, codes = found.dictionary, found.indices.to_numpy(zero_copy_only=False)
    values = _whole_numbers(distinct)
    if values is not None:
        return NumberTexts(values[codes], True)
    return CodedTexts([text.strip() for text in distinct.to_pylist()], codes)


def _whole_numbers(texts: Any) -> np.ndarray[Any, Any] | None:
    """(K,), float64, nan for an empty text; None unless all others are whole numbers.

    Plainly spelt, and small enough for float64 to tell them apart.
    """
    import pyarrow
    from pyarrow import compute

    there = texts.filter(compute.not_equal(texts, ""))
    if not len(there) or compute.any(compute.match_substring_regex(there, _SPELT)).as_py():
        return None
    try:
        found = compute.cast(there, pyarrow.int64()).to_numpy()
    except pyarrow.ArrowInvalid:
        return None
    if np.abs(found).max() >= _EXACT:
        return None
    values = np.full(len(texts), np.nan)
    values[compute.not_equal(texts, "").to_numpy(zero_copy_only=False)] = found
    return values


def _columns_by_csv(path: Path, text: str, separator: str) -> TextColumns:
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
    cells: list[Sequence[Cell]] = [column[1:] for column in columns]
    return TextColumns([column[0] for column in columns], cells, lines)


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
