"""Data in memory as rows: arrays, pairs with labels, lists, data sets, and splits of any of these.

A map-style data set (of torch, or of Hugging Face) gives every item once, in order; random
transforms are frozen at one draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from vaelab.data.images.decode import Size, as_size, gather, picture

from .arrays import (
    PARTS,
    as_numpy,
    described,
    from_arrays,
    label,
    refuse_size,
)
from .splits import SourceData

_X = ("x", "image", "images", "img", "pixel_values", "data", "input", "inputs", "features")
_Y = ("y", "label", "labels", "target", "targets", "class", "fine_label")


class How(NamedTuple):
    """Options of reading.

    Attributes:
        image_size: side of a square or (H, W), for pictures.
        kind: as for `lay_out`.
        background: as for `layout.opaque`.
    """

    image_size: int | Size | None = None
    kind: str = "auto"
    background: str = "white"


DEFAULT = How()


def from_memory(source: Any, how: How = DEFAULT) -> SourceData:
    """The rows of anything in memory that holds data.

    Args:
        source: an array, tensor or sparse matrix; (x, y); a list of pictures, arrays or vectors; a
            data set or a loader of one; or a tuple (train, test) or (train, valid, test), or a
            mapping by these names, of any of these.
        how: options of reading.

    Raises:
        TypeError: for anything else, with the way from that very type.
        ValueError: if items differ in shape.
    """
    if isinstance(source, Mapping):
        if parts := _named_parts(source):
            return _in_parts(parts, how)
        if pair := keyed(source):
            return from_memory(pair if pair[1] is not None else pair[0], how)
    if isinstance(source, DataLoader):
        return from_memory(source.dataset, how)
    if is_dataset(source):
        return _from_items(source, how)
    if isinstance(source, tuple):
        return _from_tuple(source, how)
    if isinstance(source, np.ndarray) and source.dtype == object and source.ndim == 1:
        source = list(source)
    if isinstance(source, list):
        if len(source) == 2 and is_pair(*source):
            return _from_tuple(tuple(source), how)
        if odd := [item for item in source if not _is_item(item)]:
            raise TypeError(
                f"a list of pictures, arrays or vectors is expected, not of {described(odd[0])}"
            )
        return _from_items(source, how)
    refuse_size(how.image_size, "arrays")
    return from_arrays(source, kind=how.kind, background=how.background)


def _named_parts(source: Mapping[Any, Any]) -> dict[str, Any]:
    """Splits by name; none if there is no training split."""
    parts = {
        part: source[name]
        for part, names in PARTS.items()
        for name in source
        if isinstance(name, str) and name.lower() in names
    }
    return parts if "train" in parts and len(parts) == len(source) else {}


def keyed(source: Mapping[Any, Any]) -> tuple[Any, Any] | None:
    """x and y of a mapping with one of the usual names; y is None without."""
    keys = {key.lower(): key for key in source if isinstance(key, str)}
    x = [keys[name] for name in _X if name in keys]
    y = [keys[name] for name in _Y if name in keys]
    return (source[x[0]], source[y[0]] if y else None) if x else None


def _from_tuple(source: tuple[Any, ...], how: How) -> SourceData:
    if len(source) == 1 and not np.isscalar(source[0]):
        return from_memory(source[0], how)
    if len(source) == 2 and is_pair(*source):
        refuse_size(how.image_size, "arrays")
        x, y = source
        if isinstance(x, list):
            found = _from_items(x, how)
            labels, classes = label(_as_labels(y), len(found.x))
            return replace(found, y=labels, classes=classes)
        return from_arrays(x, _as_labels(y), kind=how.kind, background=how.background)
    if len(source) in (2, 3) and all(map(_is_part, source)):
        names = ("train", "test") if len(source) == 2 else tuple(PARTS)
        return _in_parts(dict(zip(names, source, strict=True)), how)
    kinds = ", ".join(described(part) for part in source[:4])
    raise TypeError(
        f"a tuple of {len(source)} was given ({kinds}); expected (x, y), (train, test) or "
        "(train, valid, test)"
    )


def is_pair(x: Any, y: Any) -> bool:
    """True for rows and their labels, rather than two splits or two pictures."""
    if is_dataset(x) or is_dataset(y) or isinstance(x, tuple | dict | Image.Image):
        return False
    if not hasattr(x, "shape") and not isinstance(x, list):
        return False
    try:
        shape = np.shape(y) if isinstance(y, list | tuple) else tuple(y.shape)
    except (AttributeError, ValueError):
        return False
    rows = len(x) if isinstance(x, list) else x.shape[0] if x.shape else 0
    vector = hasattr(x, "shape") and len(x.shape) == 1
    if vector or (isinstance(x, list) and len(shape) != 1):
        return False
    same = hasattr(x, "shape") and len(shape) > 1 and shape[1:] == tuple(x.shape[1:])
    if same and not (len(shape) == 2 and shape[1] == 1 and shape[0] == rows):
        return False
    return len(shape) < 2 or shape[0] == rows or shape[1:] != tuple(getattr(x, "shape", ()))[1:]


def _is_part(source: Any) -> bool:
    return is_dataset(source) or isinstance(
        source, tuple | list | Mapping | DataLoader | np.ndarray | Tensor
    )


def _is_item(item: Any) -> bool:
    return hasattr(item, "shape") or isinstance(item, Image.Image | list | tuple | Mapping)


def is_dataset(source: Any) -> bool:
    """True for what has items by number and is no array, list or frame."""
    if isinstance(source, IterableDataset):
        return True
    plain = isinstance(source, list | tuple | str | bytes | Mapping | np.ndarray | Tensor)
    return not plain and not hasattr(source, "shape") and hasattr(source, "__getitem__")


def _as_labels(y: Any) -> Any:
    return np.asarray(y) if isinstance(y, list | tuple) else y


def _in_parts(parts: Mapping[str, Any], how: How) -> SourceData:
    """One set of rows from the splits that the source brings."""
    names = [name for name in PARTS if name in parts]
    found = [from_memory(parts[name], how) for name in names]
    first = found[0]
    for name, other in zip(names, found, strict=True):
        if other.x.shape[1:] != first.x.shape[1:] and first.resize is None:
            raise ValueError(
                f"examples of {name} have the shape {tuple(other.x.shape[1:])}, those of "
                f"{names[0]} {tuple(first.x.shape[1:])}"
            )
        if other.x.dtype != first.x.dtype:
            raise ValueError(
                f"values of {name} are {other.x.dtype}, those of {names[0]} {first.x.dtype}: "
                "bring all splits to one scale and type"
            )
    labelled = [name for name, part in zip(names, found, strict=True) if part.y is not None]
    if labelled and len(labelled) < len(names):
        raise ValueError(
            f"{', '.join(labelled)} has labels, the others have none; label every split or none"
        )
    y, classes = _joined_labels(found) if labelled else (None, ())
    sizes = {name: len(part.x) for name, part in zip(names, found, strict=True)}
    rows, valid, test = (sizes.get(name, 0) for name in PARTS)
    x = torch.cat([part.x[:] for part in found])
    notes = tuple(dict.fromkeys(note for part in found for note in part.notes))
    return replace(
        first, x=x, y=y, classes=classes, own=(rows, valid, test), notes=notes, shuffle=True
    )


def _joined_labels(found: Sequence[SourceData]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels of several splits as numbers of all their classes together."""
    names = [name for part in found for name in part.classes]
    numbers = [[part.classes[int(y)] for y in part.y] for part in found if part.y is not None]
    order = found[0].classes
    if set(names) - set(order):
        whole = all(name.lstrip("-").isdecimal() for name in names)
        order = tuple(sorted(set(names), key=lambda n: (int(n) if whole else 0, n)))
    places = {name: i for i, name in enumerate(order)}
    return torch.tensor([places[name] for part in numbers for name in part]), order


def _from_items(source: Any, how: How) -> SourceData:
    """The items of a data set or list: x, (x, y) or a mapping with x and y."""
    if isinstance(source, IterableDataset) or not hasattr(source, "__len__"):
        raise TypeError(
            f"{type(source).__name__} is a stream; a data set with __len__ and __getitem__ is "
            "expected. Collect its items first: np.stack(list(...))"
        )
    # Items of a list are examples; those of a data set may be pairs.
    split = (lambda item: (item, None)) if isinstance(source, list) else pair_of
    items = [split(source[i]) for i in range(len(source))]
    labelled = [y is not None for _, y in items]
    if any(labelled) and not all(labelled):
        raise ValueError(f"{sum(labelled):,} of {len(items):,} items have labels; expected all")
    y = np.asarray([_plain(y) for _, y in items]) if any(labelled) else None
    if y is not None and (names := _names(source)) is not None:
        whole = y.dtype.kind in "iu" and len(y) and y.min() >= 0 and y.max() < len(names)
        y = np.asarray(names)[y] if whole else y
    xs = [x for x, _ in items]
    if items and (all(isinstance(x, Image.Image) for x in xs) or _of_several_sizes(xs)):
        return _from_pictures(xs, y, how)
    refuse_size(how.image_size, "tensors and arrays")
    arrays = [
        np.asarray(x) if isinstance(x, list | tuple) else as_numpy(x, f"item {i}")
        for i, x in enumerate(xs)
    ]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise ValueError(
            f"items of different shapes were seen: {sorted(shapes)[:5]}; bring them to one"
        )
    stacked = np.stack(arrays) if arrays else np.empty(0)
    return from_arrays(stacked, y, kind=how.kind, background=how.background)


def _from_pictures(xs: Sequence[Any], y: Any, how: How) -> SourceData:
    images = [x if isinstance(x, Image.Image) else Image.fromarray(np.asarray(x)) for x in xs]
    read = [picture(f"item {i}", image) for i, image in enumerate(images)]
    gathered = gather(read, as_size(how.image_size), background=how.background)
    if gathered.unreadable:
        raise ValueError(f"items that cannot be read: {gathered.unreadable[0]}")
    raw = torch.from_numpy(gathered.x)
    labels, classes = (None, ()) if y is None else label(y, len(raw))
    own = (len(raw), 0, 0)
    return SourceData(
        raw, labels, own, classes, gathered.resize, notes=gathered.notes, ends=gathered.ends
    )


def _of_several_sizes(xs: Sequence[Any]) -> bool:
    """True for pictures of several sizes: arrays of bytes (H, W), (H, W, 3) or (H, W, 4)."""
    shapes = {np.shape(x) for x in xs if hasattr(x, "shape")}
    if len(shapes) < 2 or not all(isinstance(x, np.ndarray) and x.dtype == np.uint8 for x in xs):
        return False
    return all(len(s) == 2 or (len(s) == 3 and s[2] in (3, 4)) for s in shapes)


def _names(source: Any) -> list[str] | None:
    """Names of the classes that a data set of torchvision or Hugging Face has."""
    names = getattr(source, "classes", None)
    features = getattr(source, "features", None)
    if names is None and isinstance(features, Mapping):
        names = next((getattr(features[key], "names", None) for key in _Y if key in features), None)
    if isinstance(names, list | tuple) and all(isinstance(n, str) for n in names):
        return list(names) if len(set(names)) == len(names) else None
    return None


def pair_of(item: object) -> tuple[object, object]:
    """x and y of an item of a data set; y is None without a label."""
    if isinstance(item, Mapping):
        if (pair := keyed(item)) is None:
            raise TypeError(
                f"items with {', '.join(map(str, item))} were seen; expected one of "
                f"{', '.join(_X)}, and for labels one of {', '.join(_Y)}"
            )
        return pair
    if isinstance(item, tuple | list):
        if len(item) not in (1, 2):
            raise TypeError(
                f"items of {len(item)} parts were seen; expected x or (x, y): "
                "[(item[0], item[1]) for item in dataset]"
            )
        return item[0], item[1] if len(item) == 2 else None
    return item, None


def _plain(y: object) -> object:
    return y.item() if isinstance(y, Tensor) else y
