"""Whether data are still the ones a run was trained on, though shape and range are the same."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from .rows import Raw, pieces

_WHOLE, _BLOCK, _BLOCKS = 2**26, 2**18, 64
"""Bytes up to which every row is looked at; size and number of the blocks beyond it."""


def fingerprint(x: Raw, *known: Tensor | None) -> str:
    """SHA-256 of raw rows, all up to 64 MiB, else 64 blocks evenly apart, and of what is known.

    So of data that are larger than memory little is read; what changed between the blocks is not
    seen.

    Args:
        x: (N, *shape).
        known: labels (N,), vectors (N, C), or None.
    """
    found = hashlib.sha256(f"{tuple(x.shape)} {x.dtype}".encode())
    for part in _some(x):
        found.update(part.contiguous().numpy().data)
    for one in known:
        if one is not None:
            found.update(one.contiguous().numpy().data)
    return found.hexdigest()


def _some(x: Raw) -> Iterator[Tensor]:
    if x.nbytes <= _WHOLE:
        yield from pieces(x)
        return
    rows = max(1, _BLOCK * len(x) // x.nbytes)
    for start in torch.linspace(0, len(x) - rows, _BLOCKS, dtype=torch.float64).long().tolist():
        yield x[torch.arange(start, start + rows)]
