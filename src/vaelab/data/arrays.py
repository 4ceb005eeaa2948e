"""Arrays and array files: checked, laid out as rows, and kept small.

(N, D) are vectors; (N, H, W), (N, H, W, C) and (N, C, H, W) are images and come out as
(N, C, H, W). What has levels comes out as uint8, everything else as float32:

    uint8 of any shape          levels, for nobody keeps a table of measurements so
    0 and 1 of any type         two levels
    whole 0–255 in images       levels, whatever type they are kept in
    whole numbers in a table    numbers: counts where none is negative (see `measure`)

A `.npy` file above 1 GiB is mapped, not read: it is looked at piece by piece, and its rows
stay where they are until they are asked for. Nothing here ever unpickles.
"""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .factors import factors, taken
from .rows import Array, Raw, Rows, forward
from .splits import Found

MAPPED = 2**30
"""Bytes above which an array file is mapped instead of read."""

_PARTS = (("train", ("train",)), ("valid", ("valid", "val")), ("test", ("test",)))
_X = ("x", "data", "images", "image")
_Y = ("y", "labels", "label", "targets", "target")


def from_arrays(x: object, y: object = None, notes: tuple[str, ...] = ()) -> Found:
    """Rows, and labels if there are any, that are already in memory.

    Args:
        x: (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W); numpy or torch. An array that numpy
            has mapped from a file and that is above 1 GiB stays there.
        y: (N,), integers or names.
        notes: to go before those made here.

    Raises:
        TypeError: for anything but arrays.
        ValueError: for a wrong rank, objects, NaN or infinity.
    """
    raw, made = rows(as_numpy(x, "the data"))
    labels, classes = (None, ()) if y is None else label(y, len(raw))
    return Found(raw, labels, (len(raw), 0, 0), classes, notes=notes + made)


def from_file(path: Path) -> Found:
    """A `.npy` or `.npz` file; `pick` and `data.factors` know the names an `.npz` may use."""
    arrays = read_arrays(path)
    try:
        parts = [
            next((n for n in (f"x_{name}" for name in names) if n in arrays), None)
            for _, names in _PARTS
        ]
        kept = [name for name in parts if name is not None]
        made = taken(arrays, [name[1:] for name in kept] if parts[0] else [""])
        found = _in_parts(arrays, kept, parts) if parts[0] else from_arrays(*pick(arrays))
        return found if made is None else replace(found, factors=factors(*made, len(found.x)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _in_parts(arrays: dict[str, Array], kept: list[str], parts: list[str | None]) -> Found:
    rest = {arrays[name].shape[1:] for name in kept}
    if len(rest) > 1:
        raise ValueError(f"{', '.join(kept)} hold examples of different shapes: {rest}")
    labels = [arrays.get("y" + name[1:]) for name in kept]
    found = from_arrays(
        np.concatenate([arrays[name] for name in kept]),
        None if any(y is None for y in labels) else np.concatenate(labels),  # type: ignore[arg-type]
    )
    counts = [0 if name is None else len(arrays[name]) for name in parts]
    return replace(found, own=(counts[0], counts[1], counts[2]))


def refuse_size(image_size: int | tuple[int, int] | None, what: str) -> None:
    """Only pictures are resized.

    Raises:
        ValueError: where a size was asked for.
    """
    if image_size is not None:
        raise ValueError(
            f"image_size={image_size} is for pictures; {what} are used at the size they have"
        )


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a `.npy` (under the name "x") or `.npz` file, names in lower case.

    Raises:
        ValueError: for a file that is damaged, or that holds Python objects.
    """
    try:
        if path.stat().st_size > MAPPED and _is_npy(path):
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            if mapped.flags.c_contiguous:  # else a row lies all over the file
                return {"x": mapped}
        with open(path, "rb") as file:
            seen = np.load(file, allow_pickle=False)
            if isinstance(seen, np.ndarray):
                return {"x": seen}
            with seen:
                return {name.lower(): seen[name] for name in seen.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        if any(word in str(error) for word in ("allow_pickle", "pickled", "Python objects")):
            raise ValueError(
                f"{path} holds Python objects (or is no array file at all); these are never "
                "unpickled. Save a plain array: np.save(file, np.stack(rows))"
            ) from None
        raise ValueError(f"{path} cannot be read as an array file: {error}") from None


def pick(arrays: dict[str, Array]) -> tuple[Array, Array | None]:
    """The rows and labels among the arrays of one file.

    Raises:
        ValueError: where no name says which array holds the rows.
    """
    x = [name for name in _X if name in arrays]
    y = [name for name in _Y if name in arrays]
    if not x:
        x = [name for name in arrays if name not in y]
    if len(x) != 1 or len(y) > 1:
        listing = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise ValueError(
            f"the file holds {listing}; expected one array of rows, or the names x and y, "
            "x_train and y_train (and x_valid, x_test), or data (or images) and labels; "
            "and factors beside x"
        )
    return arrays[x[0]], arrays[y[0]] if y else None


def as_numpy(values: object, what: str) -> Array:
    """A numpy array or torch tensor as numpy.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, np.ndarray):
        return values
    raise TypeError(
        f"{what} should be a numpy array or a torch tensor, not {type(values).__name__}; "
        "try numpy.asarray(...)"
    )


def _is_npy(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX


def rows(array: Array) -> tuple[Raw, tuple[str, ...]]:
    """Checked rows, (N, D) or (N, C, H, W), uint8 or float32, and notes of what was changed.

    Raises:
        ValueError: for a wrong rank or type, no values at all, NaN or infinity.
    """
    if array.dtype.kind not in "buif":
        raise ValueError(
            f"numbers are expected, not an array of {array.dtype} (its first entry is "
            f"{array.ravel()[0] if array.size else None!r})"
        )
    if array.size == 0:
        raise ValueError(f"the array is empty: its shape is {array.shape}")
    mapped = isinstance(array, np.memmap) and array.nbytes > MAPPED
    array, notes = _lay_out(array)
    kind, more = _kind(array)
    notes += more
    if mapped:
        size = f"{array.nbytes / 1e9:.1f} GB"
        return Rows(array, kind), (*notes, f"its {size} stay in the file, read as they are needed")
    array = np.ascontiguousarray(array, kind)
    return torch.from_numpy(array if array.flags.writeable else array.copy()), notes


def _lay_out(array: Array) -> tuple[Array, tuple[str, ...]]:
    if array.ndim == 2:
        return array, ()
    if array.ndim == 3:
        return array[:, None], ()
    if array.ndim != 4:
        raise ValueError(
            f"an array of {array.ndim} axes, {array.shape}, was seen; expected (N, D) vectors or "
            "(N, H, W), (N, H, W, C) or (N, C, H, W) images"
        )
    notes: tuple[str, ...] = ()
    first, last = array.shape[1] in (1, 3, 4), array.shape[3] in (1, 3, 4)
    if not first and not last:
        raise ValueError(
            f"images of shape {array.shape} were seen; expected 1, 3 or 4 channels on the second "
            "axis (N, C, H, W) or the last (N, H, W, C)"
        )
    if first and last:
        notes += (f"{array.shape} was read as (N, C, H, W): {array.shape[1]} channels",)
    if not first:
        array = array.transpose(0, 3, 1, 2)
    if array.shape[1] == 4:
        array = array[:, :3]
        notes += ("the fourth channel (alpha) was left out",)
    return array, notes


def _kind(array: Array) -> tuple[np.dtype[Any], tuple[str, ...]]:
    """uint8 for what has levels, else float32; and what to know of the choice."""
    byte, real = np.dtype(np.uint8), np.dtype(np.float32)
    if array.dtype == byte:
        return byte, ()
    low, high, binary, whole = np.inf, -np.inf, True, True
    for _, piece in forward(array):
        # Of numpy, these keep a nan; the built-in min and max lose it.
        low, high = np.minimum(low, piece.min()), np.maximum(high, piece.max())
        binary = binary and bool(((piece == 0) | (piece == 1)).all())
        whole = whole and bool((piece == np.rint(piece)).all())
    if not (np.isfinite(low) and np.isfinite(high)):
        _check_finite(array, array.dtype, "in the array")
    bytes_too = low >= 0 and high <= 255 and whole
    if binary or (bytes_too and array.ndim == 4):
        return byte, ()
    with np.errstate(over="ignore"):
        if not np.isfinite(np.array([low, high]).astype(real)).all():
            _check_finite(array, real, "as 32-bit floats")
    if bytes_too and array.dtype.kind in "iu":
        return real, (
            f"the whole numbers of this {array.dtype} table are taken for counts; if they are "
            "levels, such as grey values, save them as uint8",
        )
    return real, ()


def _check_finite(array: Array, kind: np.dtype[Any], where: str) -> None:
    count = nans = 0
    first: tuple[int, ...] = ()
    for start, piece in forward(array):
        values = piece.astype(kind)
        wrong = ~np.isfinite(values)
        if wrong.any() and not first:
            row, *place = (int(i) for i in np.argwhere(wrong)[0])
            first = (start + row, *place)
        count, nans = count + int(wrong.sum()), nans + int(np.isnan(values).sum())
    if count:
        raise ValueError(
            f"{nans:,} NaN and {count - nans:,} infinite values {where}, the first in row "
            f"{first[0]} at {first[1:]}; leave these rows out or fill the values in"
        )


def label(y: object, count: int) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as 0..K−1 and the names of the K classes, in sorted order.

    Args:
        y: (N,) or (N, 1), integers, booleans, whole floats or names; numpy or torch.
        count: N.

    Raises:
        ValueError: for another length, rank or type.
    """
    names = as_numpy(y, "the labels")
    names = names[:, 0] if names.ndim == 2 and names.shape[1] == 1 else names
    if names.shape != (count,):
        raise ValueError(f"labels of shape {names.shape} were seen; expected one a row: ({count},)")
    if names.dtype.kind == "f" and bool((names == np.rint(names)).all()):
        names = names.astype(np.int64)
    if names.dtype.kind not in "buiU":
        raise ValueError(f"labels should be whole numbers or names, not {names.dtype}")
    classes, index = np.unique(names, return_inverse=True)
    return torch.from_numpy(index.astype(np.int64)), tuple(str(name) for name in classes)
