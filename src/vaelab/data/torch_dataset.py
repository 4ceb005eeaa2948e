"""A map-style `torch.utils.data.Dataset` as rows: every item is taken once, in order."""

from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from vaelab.data.images.decode import Picture, Size, as_size, gather

from .arrays import as_numpy, from_arrays, label, refuse_size
from .splits import SourceData


def from_dataset(dataset: "Dataset[Any]", image_size: int | Size | None) -> SourceData:
    """The items of a data set: x or (x, y), with x a PIL image, a tensor or an array.

    Args:
        dataset: with `__len__` and `__getitem__`; random transforms are frozen at one draw.
        image_size: for PIL images only.

    Raises:
        TypeError: for a stream, or items of another kind.
        ValueError: where items differ in shape.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise TypeError(
            f"{type(dataset).__name__} is a stream; a data set with __len__ and __getitem__ is "
            "expected. Collect its items first: np.stack(list(...))"
        )
    items = [_pair(dataset[i]) for i in range(len(dataset))]
    labelled = [y is not None for _, y in items]
    if any(labelled) and not all(labelled):
        raise ValueError(f"{sum(labelled):,} of {len(items):,} items have labels; expected all")
    y = np.asarray([_plain(y) for _, y in items]) if any(labelled) else None
    if items and all(isinstance(x, Image.Image) for x, _ in items):
        pictures = [
            Picture(f"item {i}", partial(nullcontext, x))  # type: ignore[arg-type]
            for i, (x, _) in enumerate(items)
        ]
        gathered = gather(pictures, as_size(image_size))
        if gathered.unreadable:
            raise ValueError(f"items that cannot be read: {gathered.unreadable[0]}")
        raw = torch.from_numpy(gathered.x)
        labels, classes = (None, ()) if y is None else label(y, len(raw))
        return SourceData(
            raw, labels, (len(raw), 0, 0), classes, gathered.resize, notes=gathered.notes
        )
    refuse_size(image_size, "tensors and arrays")
    arrays = [as_numpy(x, f"item {i}") for i, (x, _) in enumerate(items)]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise ValueError(f"items of different shapes were seen: {sorted(shapes)[:5]}")
    return from_arrays(np.stack(arrays) if arrays else np.empty(0), y)


def _pair(item: object) -> tuple[object, object]:
    if isinstance(item, tuple | list):
        if len(item) not in (1, 2):
            raise TypeError(f"items of {len(item)} parts were seen; expected x or (x, y)")
        return item[0], item[1] if len(item) == 2 else None
    return item, None


def _plain(y: object) -> object:
    return y.item() if isinstance(y, torch.Tensor) else y
