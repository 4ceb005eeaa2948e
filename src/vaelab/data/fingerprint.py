"""Fingerprints that tie a run to its data, even if shape and range stay the same."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Raw, pieces

OF_FILES = "files:"
"""Prefix of the fingerprint of rows that were decoded from files."""
_WHOLE, _BLOCK, _BLOCKS = 2**26, 2**18, 64
"""Bytes up to which every row is looked at; size and number of the blocks beyond it."""


def fingerprint(x: Raw, *known: Tensor | None, files: Tensor | None = None) -> str:
    """SHA-256 of raw rows (all up to 64 MiB, else 64 blocks evenly apart) and of their conditions.

    So of data that are larger than memory little is read; what changed between the blocks is not
    seen. Of pictures the files count, not their pixels: another version of a decoder gives others.

    Args:
        x: (N, *shape).
        known: labels (N,), vectors (N, C), or None.
        files: (N, 32), uint8, digests of the files of the rows; None if they have none.
    """
    if files is not None:
        return OF_FILES + fingerprint(files, *known)
    found = hashlib.sha256(f"{tuple(x.shape)} {x.dtype}".encode())
    for part in _some(x):
        found.update(part.contiguous().numpy().data)
    for one in known:
        if one is not None:
            found.update(one.contiguous().numpy().data)
    return found.hexdigest()


def alike(then: str, now: str) -> bool | None:
    """Return True if two fingerprints are of the same data; None if they cannot be compared.

    Of pictures, earlier runs have one of the pixels, or none.
    """
    comparable = then and then.startswith(OF_FILES) == now.startswith(OF_FILES)
    return then == now if comparable else None


def _some(x: Raw) -> Iterator[Tensor]:
    if x.nbytes <= _WHOLE:
        yield from pieces(x)
        return
    rows = max(1, _BLOCK * len(x) // x.nbytes)
    for start in torch.linspace(0, len(x) - rows, _BLOCKS, dtype=torch.float64).long().tolist():
        yield x[torch.arange(start, start + rows)]
