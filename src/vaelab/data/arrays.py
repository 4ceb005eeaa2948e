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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Array, Raw, Rows, forward

from .factors import factors, taken
from .splits import SourceData

MAPPED = 2**30
"""Bytes above which an array file is mapped instead of read."""

_EXACT = 2**53
"""Beyond it not every whole number is a double."""

_PARTS = (("train", ("train",)), ("valid", ("valid", "val")), ("test", ("test",)))
_DAMAGED = (
    *(ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error),
    # A header may claim more than there is memory for, a member be encrypted or packed oddly.
    *(MemoryError, OverflowError, RuntimeError),
)
"""What reading an array file may raise."""

_X = ("x", "data", "images", "image")
_Y = ("y", "labels", "label", "targets", "target")


def from_arrays(x: object, y: object = None, notes: tuple[str, ...] = ()) -> SourceData:
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
    raw, made, lost = rows(as_numpy(x, "the data"))
    labels, classes = (None, ()) if y is None else label(y, len(raw))
    return SourceData(raw, labels, (len(raw), 0, 0), classes, notes=notes + made, lost=lost)


def from_file(path: Path) -> SourceData:
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


def _in_parts(arrays: dict[str, Array], kept: list[str], parts: list[str | None]) -> SourceData:
    rest = {arrays[name].shape[1:] for name in kept}
    if len(rest) > 1:
        raise ValueError(f"{', '.join(kept)} hold examples of different shapes: {rest}")
    found = from_arrays(np.concatenate([arrays[n] for n in kept]), _labels(arrays, kept))
    counts = [0 if name is None else len(arrays[name]) for name in parts]
    return replace(found, own=(counts[0], counts[1], counts[2]))


def _labels(arrays: dict[str, Array], parts: Sequence[str]) -> Array | None:
    """The labels of all parts, (N,), each as long as its part; None where none of them has any.

    Raises:
        ValueError: names the array that is missing, or of another length or rank.
    """
    names = {part: f"y{part[1:]}" for part in parts}
    missing = [name for name in names.values() if name not in arrays]
    if len(missing) == len(parts):
        return None
    if missing:
        there = ", ".join(name for name in names.values() if name in arrays)
        raise ValueError(f"there is {there}, but no {', '.join(missing)}; label every part or none")
    return np.concatenate(
        [_flat(arrays[name], len(arrays[part]), name) for part, name in names.items()]
    )


def _flat(names: Array, count: int, what: str) -> Array:
    """Labels as (N,), one a row."""
    flat = names[:, 0] if names.ndim == 2 and names.shape[1] == 1 else names
    if flat.shape != (count,):
        raise ValueError(f"{what} of shape {names.shape} were seen; expected one a row: ({count},)")
    return flat


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
                return {name.lower(): _member(seen, name) for name in seen.files}
    except _DAMAGED as error:
        if any(word in str(error) for word in ("allow_pickle", "pickled", "Python objects")):
            raise ValueError(
                f"{path} holds Python objects (or is no array file at all); these are never "
                "unpickled. Save a plain array: np.save(file, np.stack(rows))"
            ) from None
        raise ValueError(f"{path} cannot be read as an array file: {error}") from None


def _member(archive: Any, name: str) -> Array:
    found = archive[name]
    if not isinstance(found, np.ndarray):
        raise ValueError(f"its member {name} is no array; expected arrays alone, as by np.savez")
    return found


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
        ValueError: for a masked array some of whose values are missing.
    """
    if isinstance(values, np.ma.MaskedArray):
        if missing := int(values.mask.sum()):
            raise ValueError(
                f"{missing:,} values of {what} are masked; leave their rows out or fill them in, "
                "as by values.filled(0)"
            )
        return np.asarray(values.data)
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


class Laid(NamedTuple):
    """Rows as they are laid out.

    Attributes:
        x: (N, D) or (N, C, H, W), uint8 or float32.
        notes: what was changed.
        lost: whether values are whole that had fractions as they were given.
    """

    x: Raw
    notes: tuple[str, ...]
    lost: bool


def rows(array: Array) -> Laid:
    """Checked rows, and what there is to say of them.

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
    kind, lost, more = _kind(array)
    notes += more
    if mapped:
        notes += (f"its {array.nbytes / 1e9:.1f} GB stay in the file, read as they are needed",)
        return Laid(Rows(array, kind), notes, lost)
    array = np.ascontiguousarray(array, kind)
    x = torch.from_numpy(array if array.flags.writeable else array.copy())
    return Laid(x, notes, lost)


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


def _kind(array: Array) -> tuple[np.dtype[Any], bool, tuple[str, ...]]:
    """uint8 for what has levels, else float32; whether it loses fractions; what to know of it."""
    byte, real = np.dtype(np.uint8), np.dtype(np.float32)
    if array.dtype == byte:
        return byte, False, ()
    low, high, binary, whole, lost = np.inf, -np.inf, True, True, False
    for _, piece in forward(array):
        # Of numpy, these keep a nan; the built-in min and max lose it.
        low, high = np.minimum(low, piece.min()), np.maximum(high, piece.max())
        binary = binary and bool(((piece == 0) | (piece == 1)).all())
        fractions = piece[piece != np.rint(piece)]
        whole = whole and not fractions.size
        with np.errstate(over="ignore"):
            lost = lost or bool((np.rint(fractions.astype(real)) == fractions.astype(real)).any())
    if not (np.isfinite(low) and np.isfinite(high)):
        _check_finite(array, array.dtype, "in the array")
    bytes_too = low >= 0 and high <= 255 and whole
    if binary or (bytes_too and array.ndim == 4):
        return byte, False, ()
    with np.errstate(over="ignore"):
        if not np.isfinite(np.array([low, high]).astype(real)).all():
            _check_finite(array, real, "as 32-bit floats")
    if bytes_too and array.dtype.kind in "iu":
        return (
            real,
            lost,
            (
                f"the whole numbers of this {array.dtype} table are taken for counts; if they are "
                "levels, such as grey values, save them as uint8",
            ),
        )
    return real, lost, ()


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
    names = _flat(as_numpy(y, "the labels"), count, "labels")
    if names.dtype.kind == "f":
        wrong = names[~((np.abs(names) < _EXACT) & (names == np.rint(names)))]
        if len(wrong):
            raise ValueError(
                "labels should be whole numbers or names, and numbers below 2⁵³; "
                f"{len(wrong):,} are not, the first {wrong[0]}"
            )
        names = names.astype(np.int64)
    if names.dtype.kind not in "buiU":
        raise ValueError(f"labels should be whole numbers or names, not {names.dtype}")
    classes, index = np.unique(names, return_inverse=True)
    return torch.from_numpy(index.astype(np.int64)), tuple(str(name) for name in classes)
