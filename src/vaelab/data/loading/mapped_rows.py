"""Rows of an array that is too large to be read: they stay in its file until they are asked for.

The file is mapped into memory, never copied whole. However rows are asked for, they are read in the
order of the file, and the system is advised of a few MiB at a time: left to itself it fetches a
mapped file page by page, each when it is touched, which a disk does twenty times more slowly.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]

# Bytes that are looked at, or copied, at once.
_PIECE = 2**22

# Bytes that are fetched by one request at most, and that are fetched needlessly to make one of two.
_REQUEST, _GAP = 2**18, 2**14


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of an array, indexed like a tensor of them: an index returns a tensor.

    Args:
        array: (N, *shape), of any type of number; mapped from a file, or in memory.
        kind: the type that rows come out as, uint8 or float32.
        numbers: (M,), int64, which rows of the array these are; None: all, in order.
        clip: ends of the interval that values are clipped to as they are read; None: left alone.

    >>> rows = Rows(np.arange(12).reshape(4, 3), np.dtype(np.uint8)).take(torch.tensor([3, 1]))
    >>> rows.shape, rows[0]
    ((2, 3), tensor([ 9, 10, 11], dtype=torch.uint8))
    """

    array: Array
    kind: np.dtype[Any]
    numbers: Array | None = None
    clip: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.array) if self.numbers is None else len(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, *shape)."""
        return (len(self), *self.array.shape[1:])

    @property
    def ndim(self) -> int:
        """Axes, that of the rows included."""
        return self.array.ndim

    @property
    def dtype(self) -> torch.dtype:
        """The type that rows come out as."""
        return torch.uint8 if self.kind == np.uint8 else torch.float32

    @property
    def device(self) -> torch.device:
        """Device of the rows: the CPU."""
        return torch.device("cpu")

    @property
    def nbytes(self) -> int:
        """Bytes of all rows in memory."""
        return math.prod(self.shape) * self.kind.itemsize

    def take(self, which: Tensor) -> "Rows":
        """The rows of those positions, (K,) int64, not read yet."""
        places = which.numpy()
        numbers = places if self.numbers is None else self.numbers[places]
        return replace(self, numbers=numbers)

    def __getitem__(self, which: int | slice | Tensor) -> Tensor:
        """One row (*shape), or those of a slice or of positions (K,), (K, *shape)."""
        if isinstance(which, int):
            return self[torch.tensor([range(len(self))[which]])][0]
        if isinstance(which, slice):
            which = torch.arange(len(self))[which]
        chosen = self.take(which)
        return chosen.read(torch.empty(chosen.shape, dtype=self.dtype))

    def read(self, out: Tensor) -> Tensor:
        """Read every row into `out`, (M, *shape), and return it."""
        target = out.numpy()
        for places, found in self._forward():
            target[places] = self._clipped(found)
        return out

    def pieces(self) -> Iterator[Tensor]:
        """Every row once, a few MiB at a time, in the order of the file."""
        for _, found in self._forward():
            yield torch.from_numpy(self._clipped(found).astype(self.kind))

    def _clipped(self, found: Array) -> Array:
        return found if self.clip is None else found.clip(*self.clip)

    def _forward(self) -> Iterator[tuple[Array | slice, Array]]:
        """Positions and their rows, in the order of the file."""
        if self.numbers is None:
            for start, found in forward(self.array):
                yield slice(start, start + len(found)), found
            return
        order, step = np.argsort(self.numbers, kind="stable"), per_piece(self.array)
        fetch(self.array, self.numbers[order[:step]])
        for start in range(0, len(order), step):
            fetch(self.array, self.numbers[order[start + step : start + 2 * step]])
            places = order[start : start + step]
            yield places, np.asarray(self.array[self.numbers[places]])


def forward(array: Array) -> Iterator[tuple[int, Array]]:
    """An array a few MiB at a time, each part with the number of its first row."""
    step = per_piece(array)
    fetch(array, np.arange(step))
    for start in range(0, len(array), step):
        fetch(array, np.arange(start + step, start + 2 * step))
        yield start, np.asarray(array[start : start + step])


def fetch(array: Array, numbers: Array) -> None:
    """Ask the system to fetch rows (K,) of a mapped array, in ascending order; a hint, no more."""
    if not isinstance(array, np.memmap) or array.filename is None or len(numbers) == 0:
        return
    if not hasattr(os, "posix_fadvise"):  # macOS, Windows
        return
    row = array.strides[0]
    first = array.offset + numbers * row
    breaks = (np.diff(first) > row + _GAP) | (np.diff(first // _REQUEST) > 0)
    starts = np.concatenate([first[:1], first[1:][breaks]])
    ends = np.concatenate([first[:-1][breaks], first[-1:]]) + row
    with suppress(OSError):  # the file may have lost its name
        file = os.open(array.filename, os.O_RDONLY)
        try:
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                os.posix_fadvise(file, start, end - start, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)


Raw: TypeAlias = Tensor | Rows
"""Raw rows, in memory or in a file: both have len, shape, dtype and nbytes, and give tensors when
indexed."""


def pieces(x: Raw) -> Iterator[Tensor]:
    """Every row once, (k, *shape), a few MiB at a time; those of a file in its order."""
    return x.pieces() if isinstance(x, Rows) else iter(x.split(per_piece(x)))


def per_piece(x: Array | Raw) -> int:
    """Rows that make a few MiB, at least 1."""
    return max(1, _PIECE * len(x) // max(1, x.nbytes))
