"""Arrays and array files: rows and labels under the names they go by.

A `.npy` file above 1 GiB is mapped, not read: it is looked at piece by piece, and its rows
stay on disk until they are used. Nothing here ever unpickles.
"""

import zipfile
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Array
from vaelab.utils.readers import reading

from .archive import Archive, check_claim, objects
from .factors import Table, factors, taken
from .layout import lay_out
from .splits import SourceData

_EXACT = 2**53
"""Beyond it not every whole number is a double."""

PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}
"""The splits, and what their arrays and folders are called."""

_X = ("x", "data", "images", "image", "features")
_Y = ("y", "labels", "label", "targets", "target")
_UNNAMED = ("arr_0", "arr_1")

MAPPED = 2**30
"""Bytes above which an array file is mapped instead of read."""


def from_arrays(
    x: object,
    y: object = None,
    notes: tuple[str, ...] = (),
    *,
    kind: str = "auto",
    background: str = "white",
) -> SourceData:
    """Rows, and labels if there are any, that are already in memory.

    Args:
        x: (N, D), (N, T, C), (N, H, W), (N, H, W, C) or (N, C, H, W); numpy, torch or scipy.sparse.
            An array that numpy has mapped from a file and that is above 1 GiB stays there.
        y: (N,), integers or names.
        notes: to go before those made here.
        kind: as for `lay_out`.
        background: as for `lay_out`.

    Raises:
        TypeError: for anything but arrays.
        ValueError: for a wrong rank, objects, NaN or infinity.
    """
    array = as_numpy(x, "the data")
    laid = lay_out(array, kind, background, is_mapped(array))
    labels, classes = (None, ()) if y is None else label(y, len(laid.x))
    return SourceData(
        laid.x,
        labels,
        (len(laid.x), 0, 0),
        classes,
        notes=notes + laid.notes,
        lost=laid.lost,
        ends=laid.ends,
    )


def from_file(path: Path, *, kind: str = "auto", background: str = "white") -> SourceData:
    """A `.npy` or `.npz` file; `pick` and `data.factors` know the names an `.npz` may use."""
    arrays = read_arrays(path)
    how: dict[str, Any] = {"kind": kind, "background": background}
    try:
        parts = [_of_part(arrays, names, _X) for names in PARTS.values()]
        made = take_factors(arrays)
        if parts[0] is None:
            found = from_arrays(*pick(arrays), **how)
        else:
            found = _in_parts(arrays, [name for name in parts if name is not None], parts, how)
        return found if made is None else replace(found, factors=factors(*made, len(found.x)))
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {error}") from None


def take_factors(arrays: MutableMapping[str, Array]) -> Table | None:
    """Remove and return the factors of variation among a file's arrays; None if it has none."""
    parts = [_of_part(arrays, names, _X) for names in PARTS.values()]
    if parts[0] is None:
        return taken(arrays, [""])
    kept = [name for name in parts if name is not None]  # factors belong to x_train, x_test
    return taken(arrays, [n[1:] for n in kept]) if all(n.startswith("x_") for n in kept) else None


def _of_part(arrays: Mapping[str, Array], parts: Sequence[str], names: Sequence[str]) -> str | None:
    """The array of a split: x_train, train_images, train_x, …, or train alone."""
    forms = [f"{n}_{part}" for part in parts for n in names]
    forms += [f"{part}_{n}" for part in parts for n in names]
    forms += parts if names is _X and len(arrays) > 1 else ()
    return next((form for form in forms if form in arrays), None)


def in_parts(arrays: Mapping[str, Array]) -> tuple[list[Array], Array | None] | None:
    """The rows of each split of an `.npz`, and the labels of all; None if it has no splits."""
    parts = [_of_part(arrays, names, _X) for names in PARTS.values()]
    if parts[0] is None:
        return None
    kept = [name for name in parts if name is not None]
    return [arrays[name] for name in kept], _labels(arrays, kept, parts)


def _in_parts(
    arrays: Mapping[str, Array], kept: list[str], parts: list[str | None], how: dict[str, Any]
) -> SourceData:
    rest = {arrays[name].shape[1:] for name in kept}
    if len(rest) > 1:
        raise ValueError(f"{', '.join(kept)} hold examples of different shapes: {rest}")
    labels = _labels(arrays, kept, parts)
    found = from_arrays(np.concatenate([arrays[n] for n in kept]), labels, **how)
    counts = [0 if name is None else len(arrays[name]) for name in parts]
    return replace(found, own=(counts[0], counts[1], counts[2]))


def _labels(
    arrays: Mapping[str, Array], kept: Sequence[str], parts: Sequence[str | None]
) -> Array | None:
    """The labels of all parts, (N,), each as long as its part; None if none of them has any.

    Raises:
        ValueError: names the array that is missing, or of another length or rank.
    """
    there = dict(zip(PARTS, parts, strict=True))
    names = {
        there[part]: _of_part(arrays, spellings, _Y)
        for part, spellings in PARTS.items()
        if there[part] is not None
    }
    if not any(names.values()):
        return None
    if missing := [part for part, name in names.items() if name is None]:
        seen = ", ".join(name for name in names.values() if name)
        wanted = ", ".join(
            f"y{part[1:]}" if part[:2] == "x_" else f"labels of {part}" for part in missing if part
        )
        raise ValueError(f"there is {seen}, but no {wanted}; label every part or none")
    return np.concatenate(
        [
            _flat(arrays[name], len(arrays[part]), name)
            for part, name in names.items()
            if part and name
        ]
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
        ValueError: if a size was asked for.
    """
    if image_size is not None:
        raise ValueError(
            f"image_size={image_size} is for pictures; {what} are used at the size they have"
        )


def read_arrays(path: Path) -> MutableMapping[str, Array]:
    """The arrays of a `.npy` (under the name "x") or `.npz` file, names in lower case.

    Those of an `.npz` are read when they are asked for.

    Raises:
        ValueError: for a file that is damaged, or that holds Python objects.
    """
    if not _is_npy(path):
        if not zipfile.is_zipfile(path):
            raise objects(path)
        return Archive(path)
    with reading(path, "array file"), open(path, "rb") as file:
        size = path.stat().st_size
        check_claim(file, size, path)
        if size > MAPPED:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            if mapped.flags.c_contiguous:  # else a row lies all over the file
                return {"x": mapped}
        file.seek(0)
        return {"x": np.load(file, allow_pickle=False)}


def pick(arrays: Mapping[str, Array]) -> tuple[Array, Array | None]:
    """The rows and labels among the arrays of one file.

    Raises:
        ValueError: if no name says which array holds the rows.
    """
    x = [name for name in _X if name in arrays]
    y = [name for name in _Y if name in arrays]
    if set(arrays) == set(_UNNAMED):  # np.savez(file, x, y)
        first, second = (arrays[name] for name in _UNNAMED)
        if first.ndim > 1 and second.shape in (first.shape[:1], (len(first), 1)):
            return first, second
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
    """A numpy array, torch tensor or sparse matrix as numpy.

    Raises:
        TypeError: for anything else.
        ValueError: for a masked array some of whose values are missing.
    """
    if isinstance(values, np.ma.MaskedArray):
        if not values.mask.any():
            return np.asarray(values.data)
        if values.ndim != 2 or values.dtype.kind not in "buif":
            raise ValueError(
                f"{int(values.mask.sum()):,} values of {what} are masked, which only numbers of a "
                "table may be; leave their rows out or fill them in, as by values.filled(0)"
            )
        return np.ma.filled(values.astype(np.result_type(values.dtype, np.float32)), np.nan)
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "toarray") and hasattr(values, "tocsr"):  # scipy.sparse
        return np.asarray(values.toarray())
    raise TypeError(f"{what} should be a numpy array or a torch tensor, not {described(values)}")


def described(values: object) -> str:
    """The type of a value, and the way from it to an array, if there is one."""
    name = type(values).__name__
    if hasattr(values, "__iter__") and hasattr(values, "dataset"):
        return f"a {name}; give its .dataset"
    if isinstance(values, dict):
        return f"a {name} with {', '.join(map(str, list(values)[:5]))}; give one of its values"
    if hasattr(values, "to_pandas"):
        return f"a {name}; give .to_pandas()"
    if hasattr(values, "to_numpy"):
        return f"a {name}; give .to_numpy()"
    if hasattr(values, "__array__"):
        return f"a {name}; give numpy.asarray(…)"
    return f"a {name}"


def is_mapped(array: Array) -> bool:
    """True for an array whose rows stay in its file."""
    return isinstance(array, np.memmap) and array.nbytes > MAPPED


def _is_npy(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX


def label(y: object, count: int) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as 0..K−1 and the names of the K classes, in sorted order.

    Args:
        y: (N,) or (N, 1), integers, booleans, whole floats or names; numpy, torch or pandas.
        count: N.

    Raises:
        ValueError: for another length, rank or type.
    """
    names = _flat(_label_array(y), count, "labels")
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
    if names.dtype.kind == "U":
        order = in_order(map(str, classes))
        places = {name: i for i, name in enumerate(order)}
        index = np.array([places[str(name)] for name in classes])[index]
        return torch.from_numpy(index.astype(np.int64)), order
    return torch.from_numpy(index.astype(np.int64)), tuple(str(name) for name in classes)


def _label_array(y: object) -> Array:
    """Labels as an array of numbers or texts; those of objects as what all of them are.

    Raises:
        ValueError: for labels that are missing, or are neither numbers nor texts.
    """
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    names = as_numpy(y, "the labels")
    if names.dtype.kind == "S":
        return np.char.decode(names, "utf-8")
    if names.dtype.kind != "O":
        return names
    for row, name in enumerate(names.ravel()):
        if not isinstance(name, str | bool | int | float | np.generic):
            raise ValueError(
                f"labels should be whole numbers or names; that of row {row} is {name!r}. Leave "
                "such rows out, or give them a class of their own"
            )
    return np.array(names.tolist())


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in order: whole numbers by value, texts by letter.

    >>> in_order(["10", "9"]), in_order(["10", "9", "a"])
    (('9', '10'), ('10', '9', 'a'))
    """
    names = set(names)
    numbers = all(name.lstrip("-").isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numbers else 0, name)))
