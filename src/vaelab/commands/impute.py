"""`vaelab impute RUN INPUT`: fill the missing cells of a table, and change no other."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from torch import Tensor
from tyro.conf import Positional, arg

from vaelab.commands.arguments import Device
from vaelab.commands.generate import Class, Count, Overwrite, RunFolder, Seed, load_told
from vaelab.commands.output_files import check_output_path
from vaelab.data import admit
from vaelab.data.arrays import pick, read_arrays
from vaelab.data.tabular.csv_text import read_records
from vaelab.data.tabular.reader import Table, read_table
from vaelab.runs.impute import Imputation, check_imputable
from vaelab.runs.impute import impute as fill
from vaelab.runs.run import Run
from vaelab.utils import atomic_files
from vaelab.utils.progress import counted, say

Input = Positional[
    Annotated[
        Path,
        arg(metavar="INPUT", help="a table (.csv, .tsv, .parquet) or an array (.npy, .npz)."),
    ]
]
TEXTS, ARRAYS = (".csv", ".tsv"), (".npy", ".npz")


def impute(
    run: RunFolder,
    input: Input,
    n: Count = 0,
    out: Path = Path("filled.csv"),
    intervals: Path | None = None,
    samples: int = 500,
    interval: float = 0.9,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Fill the missing cells of a table by importance sampling given the observed ones.

    All other cells, columns that the run does not model among them, stay as they are written.

    Args:
        n: draws of each row, written one after another with their number in a first column,
            imputation; 0 for single values: the conditional mean of a number, the most probable
            category.
        out: file to write: .csv for a table, .npy for an array.
        intervals: .csv file to write with a line per missing number: its row, its column, its
            single value, and the ends of its interval.
        samples: importance samples per row.
        interval: probability that an interval holds the value.
    """
    model = load_told(run, label, device)
    check_imputable(model)
    kind = input.suffix.lower()
    check_output_path(out, overwrite, ".npy" if kind in ARRAYS else ".csv")
    if intervals is not None:
        check_output_path(intervals, overwrite, ".csv")
    source, table = _read(input, model)
    rows, notes, changes = admit(source if table is None else table, model.spec, input.name)
    for note in (*notes, *changes):
        say(note)
    found = fill(model, rows, source, n, samples, interval, seed)
    copies = list(found.draws) if n else [found.single]
    if table is not None and kind in TEXTS:
        content: str | bytes = _texts(input, table, found, copies, n)
    else:
        content = _array(found, n) if kind in ARRAYS else _frames(found, n)
    atomic_files.write(out, content)
    if intervals is not None:
        atomic_files.write(intervals, _intervals(found, table))
    filled = int(found.missing.sum())
    rows_filled = int(found.missing.any(1).sum())
    few = float(found.effective_draws.min())
    print(
        f"{out}  {counted(filled, 'missing cell')} in {rows_filled:,} of {len(rows):,} rows filled"
        + (f", {counted(n, 'draw')} of each row" if n else "")
        + f"; at least {few:.0f} effective draws of {samples} a row"
    )


def _read(path: Path, run: Run) -> tuple[Any, Table | None]:
    """The source, and its table if it has named columns."""
    if path.suffix.lower() in ARRAYS:
        return pick(read_arrays(path))[0], None
    table = read_table(path, run.spec.decimal)
    if path.suffix.lower() in TEXTS:
        return None, table
    import pandas

    return pandas.read_parquet(path), table


def _texts(path: Path, table: Table, found: Imputation, copies: list[Tensor], n: int) -> str:
    """The text of the input with the missing cells of each copy filled."""
    separator, records = read_records(path)
    assert table.places is not None
    rows = {line: i for i, line in enumerate(table.places)}
    headings = found.run.spec.headings
    columns = [table.names.index(heading.name) for heading in headings]
    text = io.StringIO(newline="")
    lines = csv.writer(text, delimiter=separator, lineterminator="\n")
    first = ["imputation"] * bool(n)
    lines.writerows([*first, *record] for line, record in records if line not in rows)
    for number, copy in enumerate(copies, 1):
        for line, record in records:
            if (row := rows.get(line)) is None:
                continue
            cells = list(record)
            for j in found.missing[row].nonzero().flatten().tolist():
                cells[columns[j]] = headings[j].written(float(copy[row, j]))
            lines.writerow([*([str(number)] * bool(n)), *cells])
    return text.getvalue()


def _array(found: Imputation, n: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.stack(found.multiple) if n else found.filled)
    return file.getvalue()


def _frames(found: Imputation, n: int) -> str:
    import pandas

    if not n:
        return str(found.filled.to_csv(index=False))
    numbered = pandas.concat(found.multiple, keys=range(1, n + 1), names=["imputation"])
    return str(numbered.reset_index("imputation").to_csv(index=False))


def _intervals(found: Imputation, table: Table | None) -> str:
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["row", "column", "value", "low", "high"])
    headings = found.run.spec.headings
    for i, j in (~found.low.isnan()).nonzero().tolist():
        numbers = (found.single[i, j], found.low[i, j], found.high[i, j])
        place = i if table is None else table.place(i)
        lines.writerow([place, headings[j].name, *(headings[j].written(float(v)) for v in numbers)])
    return text.getvalue()
