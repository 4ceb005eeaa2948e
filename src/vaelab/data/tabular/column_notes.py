"""Notes on the columns of a table: marks, dates, names in digits, skewed and scaled numbers."""

import math
from collections.abc import Mapping

import numpy as np

from vaelab.data.schema_fields import NUMBERS
from vaelab.data.tabular.cells import Array
from vaelab.data.tabular.column_text import TextColumn
from vaelab.data.tabular.header import abbreviate_names
from vaelab.data.tabular.number_text import PLAIN
from vaelab.utils.options import option


def marked(read: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> tuple[str, ...]:
    """Notes on numbers that are written with marks, on dates, and on digits that are names."""
    numbers = [n for n, kind in chosen.items() if kind not in ("binary", "categories")]
    written = [
        f"{n} ({read[n].text(i)} as {read[n].values[i]:.12g})"
        for n in numbers
        if read[n].marks not in (PLAIN, PLAIN._replace(decimal=","))
        for i in [_telling(read[n])]
    ]
    dates = [f"{n} ({read[n].text(0)})" for n in numbers if read[n].dates is not None]
    names = [n for n, k in chosen.items() if k == "categories" and read[n].coded]
    equal = {n: _merged(read[n]) for n in numbers}
    notes = [
        f"{count:,} different numbers of column {n} become equal as 32-bit floats"
        for n, count in equal.items()
        if count
    ]
    if written:
        notes.append(f"read as numbers, and written so in a .csv: {abbreviate_names(written)}")
    if dates:
        notes.append(f"read as dates, days since the first: {abbreviate_names(dates)}")
    if names:
        real = option("columns", {names[0]: "real"})
        notes.append(
            f"digits taken for names: {abbreviate_names(names)}; {real} takes them for numbers"
        )
    return tuple(notes)


def _merged(column: TextColumn) -> int:
    """The different numbers that are equal to another as 32-bit floats."""
    if column.dates is not None:
        return 0
    return len(column.distinct) - len(np.unique(column.distinct.astype(np.float32)))


def _telling(column: TextColumn) -> int:
    """The row of a number that shows all marks of its column."""
    values = column.values
    return int(np.nanargmax(values if column.marks.negative == "-" else -values))


def skewed(found: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> tuple[str, ...]:
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


def scaled(found: Mapping[str, TextColumn], chosen: Mapping[str, str]) -> tuple[str, ...]:
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
