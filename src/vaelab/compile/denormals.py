"""Subnormal numbers flushed to 0, in the calling thread and in the threads that work for it.

A processor takes a hundred times as long with numbers too small to be normal. As a network learns,
its activations and gradients hold ever more of them, and convolutions slow down several times.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_HALF = 0.5

_SOFT = 1
"""`omp_pause_soft` of OpenMP 5.0: threads end, and settings stay."""


def flushes_denormals() -> bool:
    """Return True if this thread's processor flushes subnormal numbers to 0."""
    # torch sets the flag and cannot read it; Python's own division is done by the same unit.
    return sys.float_info.min * _HALF == 0


@contextmanager
def flush_denormals(device: torch.device) -> Iterator[None]:
    """Flush subnormal numbers to 0 inside the context, and restore the caller's setting after it.

    >>> with flush_denormals(torch.device("cpu")):
    ...     flushes_denormals()
    True

    Args:
        device: device of the computation; nothing changes unless it is a CPU.
    """
    if device.type != "cpu":
        yield
        return
    for dtype in (np.float32, np.float64):
        np.finfo(dtype)  # kept by numpy, which would warn if it measured subnormals when flushed
    before = flushes_denormals()
    _set(True)
    try:
        yield
    finally:
        _set(before)


def _set(flush: bool) -> None:
    """Set the flag of this thread and of torch's worker threads, which inherit it at their start.

    OpenMP keeps the threads of one parallel region for the next; ended here, they start anew.
    """
    torch.set_flush_denormal(flush)
    # The library that torch itself is linked to; a build without OpenMP 5.0 keeps its threads, and
    # only the calling thread flushes.
    pause = getattr(ctypes.CDLL(torch._C.__file__), "omp_pause_resource_all", None)
    if pause is not None:
        pause(_SOFT)
