"""Examples in the containers of other libraries, as what the door of a trained model takes.

A loader gives the items of its data set, a data set the x of every item, a mapping its x, a split
its rows, a batch its examples. Pictures of PIL are brought to the size and channels of the run's
data, as files are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from vaelab.data.images.decode import Picture, picture

from .splits import Data, Split
from .torch_dataset import is_dataset, is_pair, keyed, pair_of


def unpacked(raw: Any) -> Any:
    """Examples without the container that they come in.

    Raises:
        TypeError: for a loaded data set, which is three splits, a stream, or a mapping without x.
    """
    if isinstance(raw, Data):
        raise TypeError(
            "the data are three splits; name one, such as data.test, or rows of one, such as "
            "data.test.x[:16]"
        )
    if isinstance(raw, Split):
        return raw.x
    if isinstance(raw, tuple) and len(raw) == 2 and np.ndim(raw[0]) and _is_label(raw[1]):
        return raw[0]  # a row of a split, or of a data set
    if isinstance(raw, DataLoader):
        return unpacked(raw.dataset)
    if isinstance(raw, Mapping) and not hasattr(raw, "iloc"):
        found = keyed(raw)
        if found is None:
            raise TypeError(
                f"a mapping of {', '.join(map(str, raw))} has no examples; expected x, image, "
                "pixel_values or data among its names"
            )
        return unpacked(found[0])
    if isinstance(raw, list | tuple) and len(raw) == 2 and is_pair(*raw):
        return raw[0]
    if isinstance(raw, IterableDataset):
        raise TypeError("a stream has no rows; collect some first: list(itertools.islice(x, 100))")
    if is_dataset(raw) and not hasattr(raw, "convert") and hasattr(raw, "__len__"):
        return [pair_of(raw[i])[0] for i in range(len(raw))]
    return raw


def _is_label(value: Any) -> bool:
    return isinstance(value, int | np.integer | Tensor | np.ndarray) and np.ndim(value) == 0


def pictures(raw: Any) -> list[Picture]:
    """Pictures of PIL, one or a list of them, to be gathered; empty for anything else."""
    items = raw if isinstance(raw, list | tuple) else [raw]
    if not items or not all(isinstance(item, Image.Image) for item in items):
        return []
    return [picture(f"picture {i}", item) for i, item in enumerate(items)]
