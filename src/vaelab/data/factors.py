"""A table of one's own factors of variation: what made each row, one column a factor.

In an `.npz` file beside its rows: `factors` (N, F), and if wanted `names` (F,), their names,
and `ordered` (F,), whether a factor's values follow one another as positions do and kinds do not.
Beside x_train, x_valid and x_test: factors_train and so on.
"""

from collections.abc import MutableMapping

import numpy as np
import torch

from vaelab.data.loading.mapped_rows import Array

from .splits import Factors

KINDS, SHARE = 50, 0.25
"""Values of one factor, and values for each row, beyond both of which it is a measurement."""


Table = tuple[Array, Array | None, Array | None]


def taken(arrays: MutableMapping[str, Array], parts: list[str]) -> Table | None:
    """Remove and return the factors, their names and order among a file's arrays; None if absent.

    Args:
        arrays: arrays of the file by name; those returned are removed.
        parts: suffixes of the names of its parts: "" for one, or "_train", "_test" ….

    Raises:
        ValueError: if some parts have factors and others none, or others.
    """
    tables = [arrays.pop(f"factors{part}", None) for part in parts]
    there = [table for table in tables if table is not None]
    if not there:
        return None
    if len(there) < len(parts) or len({table.shape[1:] for table in there}) > 1:
        seen = [None if table is None else table.shape for table in tables]
        raise ValueError(f"factors of shapes {seen} were seen; expected the same for every part")
    return np.concatenate(there), arrays.pop("names", None), arrays.pop("ordered", None)


def factors(values: Array, names: Array | None, ordered: Array | None, count: int) -> Factors:
    """Factors as class indices from 0, each column's values in sorted order.

    Args:
        values: (N, F), or (N,) for one factor: whole numbers, a few numbers or words.
        names: (F,), words; factor 1, factor 2, … if None.
        ordered: (F,), booleans; none is ordered if None.
        count: N, the rows that were made.

    Raises:
        ValueError: for another length, a column of measurements, or names that do not fit.
    """
    table = values[:, None] if values.ndim == 1 else values
    if table.ndim != 2 or len(table) != count or table.shape[1] < 1:
        raise ValueError(
            f"factors of shape {values.shape} were seen; expected a row for each of the {count:,} "
            f"of x and a column for each factor: ({count}, F)"
        )
    if table.dtype.kind not in "buifU":
        raise ValueError(f"factors should be numbers or words, not {table.dtype}")
    if table.dtype.kind == "f" and not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(f"factor {column + 1} of row {row} is {table[row, column]}")
    width = table.shape[1]
    called = tuple(f"factor {f + 1}" for f in range(width)) if names is None else _words(names)
    follow = (False,) * width if ordered is None else tuple(bool(o) for o in ordered.ravel())
    for what, given in (("names", called), ("ordered", follow)):
        if len(given) != width:
            raise ValueError(
                f"{what} has {len(given)} entries for {width} factors; expected one each"
            )
    indices = []
    for name, column in zip(called, table.T, strict=True):
        kinds, index = np.unique(column, return_inverse=True)
        if len(kinds) > max(KINDS, SHARE * count):
            raise ValueError(
                f"{name} has {len(kinds):,} values in {count:,} rows; a factor has a few, each "
                "seen many times. Bring a measurement to steps first, with numpy.digitize say"
            )
        indices.append(torch.from_numpy(index.reshape(-1).astype(np.int64)))
    return Factors(called, follow, torch.stack(indices, dim=1))


def _words(names: Array) -> tuple[str, ...]:
    if names.dtype.kind != "U":
        raise ValueError(f"names should be words, not {names.dtype}")
    return tuple(str(name) for name in names.ravel())
