"""Tables whose columns are of different kinds: what each is, said by the user and checked.

Raw rows are numbers: real values, values above 0, 0 or 1, counts, and categories as their numbers
0, 1, …, n−1.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from vaelab.data.loading.mapped_rows import Raw, Rows, pieces
from vaelab.data.schema_fields import KINDS, NUMBERS, Column
from vaelab.data.spec import DataSpec
from vaelab.data.splits import Data
from vaelab.data.statistics import measure_columns


def with_columns(data: Data, kinds: Sequence[str]) -> Data:
    """The same table, with the kinds of its columns.

    Args:
        data: rows (N, D).
        kinds: one a column: `"real"`, `"positive"`, `"binary"`, `"counts"` or `"categories"`; of
            the last, the number is one above the largest that occurs.

    Raises:
        ValueError: for another number of kinds, an unknown one, or values that are not of theirs.

    >>> from vaelab.data import load
    >>> data = load(np.array([[0.5, 0], [1.5, 2], [2.5, 1]] * 10))
    >>> with_columns(data, ["real", "categories"]).spec.columns
    (Column(kind='real', categories=0), Column(kind='categories', categories=3))
    """
    if data.spec.is_image or len(kinds) != data.spec.dims:
        raise ValueError(
            f"{len(kinds)} kinds of columns were given for rows of shape {data.spec.shape}; "
            "expected a table (N, D) and one kind for each of its D columns"
        )
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise ValueError(f"unknown kinds of columns: {', '.join(unknown)}; {', '.join(KINDS)} are")
    train, valid, test = (
        replace(split, x=_real(split.x)) for split in (data.train, data.valid, data.test)
    )
    for split in (train, valid, test):
        check_columns(split.x, [Column(kind) for kind in kinds])
    tops = (
        torch.stack(
            [piece.nan_to_num(0.0).amax(0) for s in (train, valid, test) for piece in pieces(s.x)]
        )
        .amax(0)
        .tolist()
    )
    columns = [
        Column(kind, max(2, int(top) + 1)) if kind == "categories" else Column(kind)
        for kind, top in zip(kinds, tops, strict=True)
    ]
    header = tuple(
        h if column.kind in ("binary", "categories") else h._replace(values=())
        for h, column in zip(data.spec.header, columns, strict=False)
    )
    spec = DataSpec(
        source=data.spec.source,
        shape=data.spec.shape,
        dtype="float32",
        **measure_columns(train.x, columns)._asdict(),
        classes=data.spec.classes,
        sizes=data.spec.sizes,
        seed=data.spec.seed,
        header=header,
        label=data.spec.label,
        sha256=data.spec.sha256,
        vectors=data.spec.vectors,
        shares=data.spec.shares,
        missing=data.spec.missing,
        missing_codes=data.spec.missing_codes,
    )
    return Data(spec, train, valid, test, data.notes)


def check_columns(rows: Raw, columns: Sequence[Column], names: Sequence[str] = ()) -> None:
    """Refuse values that a column of its kind cannot have.

    Args:
        rows: (N, D), float32.
        columns: one each, or one for all; 0 categories are any number of them.
        names: names of the columns, for messages; their numbers by default.

    Raises:
        ValueError: names the column, the observed value and the expected one.
    """
    tops = {"binary": 1.0}
    top = torch.tensor(
        [c.categories - 1.0 if c.categories else tops.get(c.kind, math.inf) for c in columns]
    )
    whole = torch.tensor([c.kind not in NUMBERS for c in columns])
    positive = torch.tensor([c.kind == "positive" for c in columns])
    called = names or range(rows.shape[1])
    for piece in pieces(rows):
        low = positive & (piece <= 0)
        if low.any():
            row, j = low.nonzero()[0].tolist()
            raise ValueError(
                f"column {called[j]} holds {float(piece[row, j]):g}; it is of positive numbers, so "
                "values above 0 are expected"
            )
        off = (piece != piece.round()) & ~piece.isnan()
        wrong = whole & ((piece < 0) | (piece > top) | off)
        if wrong.any():
            row, j = wrong.nonzero()[0].tolist()
            kind, most = columns[j % len(columns)].kind, float(top[j % len(columns)])
            upper = f"to {most:g}" if math.isfinite(most) else "on"
            raise ValueError(
                f"column {called[j]} holds {float(piece[row, j]):g}; it is of {kind}, so whole "
                f"numbers from 0 {upper} are expected"
            )


def _real(x: Raw) -> Raw:
    return replace(x, kind=np.dtype(np.float32)) if isinstance(x, Rows) else x.float()
