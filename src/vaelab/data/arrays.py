"""Arrays and array files: checked, laid out as rows, and kept small.

(N, D) are vectors; (N, H, W), (N, H, W, C) and (N, C, H, W) are images and come out as
(N, C, H, W). Integers 0–255 and black-and-white values come out as uint8, everything else as
float32. Nothing here ever unpickles.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .splits import Found

Array = np.ndarray[Any, Any]

_PARTS = (("train", ("train",)), ("valid", ("valid", "val")), ("test", ("test",)))
_X = ("x", "data", "images", "image")
_Y = ("y", "labels", "label", "targets", "target")


def from_arrays(x: object, y: object = None, notes: tuple[str, ...] = ()) -> Found:
    """Rows, and labels if there are any, that are already in memory.

    Args:
        x: (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W); numpy or torch.
        y: (N,), integers or names.
        notes: to go before those made here.

    Raises:
        TypeError: for anything but arrays.
        ValueError: for a wrong rank, objects, NaN or infinity.
    """
    raw, made = rows(as_numpy(x, "the data"))
    labels, classes = (None, ()) if y is None else label(y, len(raw))
    return Found(torch.from_numpy(raw), labels, (len(raw), 0, 0), classes, notes=notes + made)


def from_file(path: Path) -> Found:
    """A `.npy` or `.npz` file; see `read_arrays` for the names an `.npz` may use."""
    arrays = read_arrays(path)
    try:
        parts = [
            next((n for n in (f"x_{name}" for name in names) if n in arrays), None)
            for _, names in _PARTS
        ]
        if parts[0] is None:
            x, y = pick(arrays)
            return from_arrays(x, y)
        kept = [name for name in parts if name is not None]
        rest = {arrays[name].shape[1:] for name in kept}
        if len(rest) > 1:
            raise ValueError(f"{', '.join(kept)} hold examples of different shapes: {rest}")
        labels = [arrays.get("y" + name[1:]) for name in kept]
        found = from_arrays(
            np.concatenate([arrays[name] for name in kept]),
            None if any(y is None for y in labels) else np.concatenate(labels),  # type: ignore[arg-type]
        )
        counts = [0 if name is None else len(arrays[name]) for name in parts]
        own = (counts[0], counts[1], counts[2])
        return Found(found.x, found.y, own, found.classes, notes=found.notes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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
        with open(path, "rb") as file:
            seen = np.load(file, allow_pickle=False)
            if isinstance(seen, np.ndarray):
                return {"x": seen}
            with seen:
                return {name.lower(): seen[name] for name in seen.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
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
            "x_train and y_train (and x_valid, x_test), or data (or images) and labels"
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


def rows(array: Array) -> tuple[Array, tuple[str, ...]]:
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
    array, notes = _lay_out(array)
    return np.ascontiguousarray(_small(array)), notes


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


def _small(array: Array) -> Array:
    """The same values in the smallest of uint8 and float32 that holds them."""
    if array.dtype == np.uint8:
        return array
    kind = array.dtype.kind
    if kind == "f":
        _check_finite(array, "in the array")
    low, high = array.min(), array.max()
    bytes_ = kind in "bui" and low >= 0 and high <= 255
    if kind == "f" and low >= 0 and high <= 255:
        # Floats that are really bytes: black and white anywhere, 0–255 in images.
        black_and_white = high <= 1 and bool(((array == 0) | (array == 1)).all())
        bytes_ = black_and_white or bool(
            array.ndim == 4 and high > 1 and (array == np.rint(array)).all()
        )
    if bytes_:
        return array.astype(np.uint8)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    _check_finite(narrow, "as 32-bit floats")
    return narrow


def _check_finite(array: Array, where: str) -> None:
    wrong = ~np.isfinite(array)
    count = int(wrong.sum())
    if count:
        nans = int(np.isnan(array).sum())
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
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
