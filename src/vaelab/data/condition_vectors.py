"""Condition vectors, known for every row: an array in memory or in the file, or columns.

They are an array beside the rows, an array of the same file, or some columns, which are then no
longer among what is modelled; those of a table with names are taken as it is read, in `kinds`. A
model reads them standardised, (c − μ) / σ, with the mean and deviation of the training rows.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Array, Raw, Rows

from .arrays import as_numpy, read_arrays
from .schema_fields import Vectors
from .splits import SourceData

_COLUMNS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_PARTS = ("train", "valid", "val", "test")


def add(found: SourceData, vectors: object, source: object) -> tuple[SourceData, str]:
    """The same rows with condition vectors, and the description that finds these again.

    Args:
        found: rows; those of an array lose the columns that are named.
        vectors: the name of an array in the source; columns of the array, `"0,3-5"` from 0, ends
            included; or an array (N, C) or (N,) in memory.
        source: source of the rows.

    Raises:
        TypeError: for anything else.
        ValueError: if there is no such array or there are no such columns, or if it has another
            shape, no numbers, or values that are not finite.
    """
    if not isinstance(vectors, str):
        return replace(found, vectors=_checked(as_numpy(vectors, "the vectors"), found)), "array"
    if _COLUMNS.fullmatch(vectors):
        x, taken = _columns(found.x, vectors)
        return replace(found, x=x, vectors=_checked(taken, found)), vectors
    return replace(found, vectors=_checked(_in_file(source, vectors), found)), vectors


def describe(vectors: Tensor, source: str) -> Vectors:
    """The source of the vectors of training rows (N, C), with their mean and deviation."""
    rows = vectors.double()
    mean, spread = rows.mean(0), rows.std(0, unbiased=False)
    flat = spread <= 1e-6 * mean.abs()
    return Vectors(source, tuple(mean.tolist()), tuple(torch.where(flat, 1.0, spread).tolist()))


def _in_file(source: object, name: str) -> Array:
    """The array of a name in an .npz, or those of the parts that its rows are in."""
    if not isinstance(source, str | Path) or Path(source).suffix.lower() != ".npz":
        raise ValueError(
            f"vectors are to be {name}: an array of that name is looked for in an .npz, and the "
            "data are none. Give columns of an array by their numbers, as 0,3-5, or in Python "
            "load_data(x, vectors=c)"
        )
    arrays = read_arrays(Path(os.path.expanduser(source)))
    wanted = [f"{name.lower()}_{part}" for part in _PARTS if f"x_{part}" in arrays]
    wanted = wanted or [name.lower()]
    if missing := [one for one in wanted if one not in arrays]:
        raise ValueError(
            f"vectors are to be {name}, and {source} has no array {', '.join(missing)}; it has "
            f"{', '.join(arrays)}"
        )
    return np.concatenate([arrays[one] for one in wanted])


def _columns(x: Raw, text: str) -> tuple[Tensor, Array]:
    if isinstance(x, Rows) or x.ndim != 2:
        kind = "stay in their file" if isinstance(x, Rows) else "are no table (N, D)"
        raise ValueError(
            f"columns {text} are to be told, but rows of shape {tuple(x.shape)} {kind}; give the "
            "vectors as an array of their own, beside the rows in an .npz"
        )
    width = x.shape[1]
    numbers: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        low, high = (min(int(end), width) for end in (first, last or first))  # 0-10⁹ is no list
        numbers += range(low, high + 1)
    rest = [j for j in range(width) if j not in numbers]
    if not numbers or max(numbers) >= width or not rest:
        raise ValueError(
            f"columns {text} are to be told of rows with {width} columns, 0 to "
            f"{width - 1}; name some of these, and leave at least one to be modelled"
        )
    return x[:, rest].contiguous(), x[:, numbers].numpy()


def _checked(array: Array, found: SourceData) -> Tensor:
    count = len(found.x)
    array = array[:, None] if array.ndim == 1 else array
    if array.dtype.kind not in "buif" or array.ndim != 2 or len(array) != count or not array.size:
        raise ValueError(
            f"vectors of shape {array.shape} and type {array.dtype} were given for {count:,} rows; "
            f"expected numbers, a vector a row, ({count}, C)"
        )
    vectors = torch.from_numpy(array.astype(np.float32))
    if len(wrong := (~vectors.isfinite()).any(1).nonzero()):
        raise ValueError(
            f"the vector of row {int(wrong[0])} is not finite; fill it in or leave the row out"
        )
    return vectors
