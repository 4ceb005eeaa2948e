"""Stores for the rows of a split: on the device, or in a file read ahead on a thread.

Both give raw batches on the device, in order or shuffled. Rows of a file are shuffled in
two steps, so that a disk is read in long pieces and every row still comes once an epoch:

    blocks of neighbouring rows (64 KiB)   in random order
    pools of 640 such blocks (40 MiB)      every row of a pool in random order

A batch is drawn from the pool of its time, not from the whole: of a file sorted by class, the
shares of the classes vary from pool to pool like those of 640 random rows. Rows above 64 KiB are
blocks by themselves, and come in a wholly random order.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .mapped_rows import Raw, Rows

BLOCK, POOL = 2**16, 640 * 2**16
"""Bytes of neighbouring rows, and of rows that are shuffled with one another: above 32 MiB, glibc
gives memory back as soon as it is free."""

PIECE = 2**21
"""Bytes of rows gathered at a time from what lies on the device."""

SHARE = 0.25
"""Share of a device's memory that the rows of one split may take."""


def fits(x: Raw, device: torch.device) -> bool:
    """Return True to keep rows on a device whole: they are on it, or fit a quarter of its memory.

    The share is of the whole memory, not of what is free now: the order of an epoch differs
    between the two, and must not depend on what else the machine is doing.
    """
    if isinstance(x, Tensor) and x.device.type == device.type:
        return True
    return x.nbytes <= SHARE * memory(device)


def placing(x: Raw, device: torch.device) -> tuple[str, ...]:
    """A note for people if rows do not fit on the device that they are used on."""
    if fits(x, device):
        return ()
    return (
        f"training rows take {x.nbytes / 1e9:.1f} GB, more than a quarter of the memory of "
        f"{device}: they are read as they are needed, shuffled {POOL >> 20} MiB at a time",
    )


def memory(device: torch.device) -> float:
    """Bytes of memory of a device, within the limit that this process is held to."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    held = float("inf") if text == "max" else float(text)
    if not hasattr(os, "sysconf"):  # Windows does not say
        return min(held, 2.0**33)
    return min(held, float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))


Numbered = tuple[Tensor, Tensor]
"""Some rows (B, *shape), and which they are, (B,) int64 on their device."""


class Resident:
    """Rows that lie whole on the device.

    Args:
        x: (N, *shape).
        device: device that keeps them.
    """

    def __init__(self, x: Raw, device: torch.device) -> None:
        self.x = (x if isinstance(x, Tensor) else x[:]).to(device)

    def ordered(self, batch_size: int) -> Iterator[Tensor]:
        """Every row once, in order: (B, *shape)."""
        yield from self.x.split(batch_size)

    def shuffled(
        self, batch_size: int, generator: torch.Generator | None, start: int = 0
    ) -> Iterator[Numbered]:
        """Every row once, in a fresh order drawn from `generator`, but for the first batches."""
        order = torch.randperm(len(self.x), generator=generator, device=self.x.device)
        # Several batches at a time, where they are small: rows far apart are waited for together.
        size = max(1, PIECE * len(self.x) // max(1, self.x.nbytes) // batch_size) * batch_size
        done, within = divmod(start * batch_size, size)
        for piece in order.split(size)[done:]:
            rows = self.x.index_select(0, piece)
            numbered = zip(rows.split(batch_size), piece.split(batch_size), strict=True)
            yield from islice(numbered, within // batch_size, None)
            within = 0


class Streamed:
    """Rows that stay in a file, or in memory beside the device, read on a thread ahead of use.

    Takes the memory of a few pools, and of one number a row.

    Args:
        x: (N, *shape).
        device: device of the batches.
    """

    def __init__(self, x: Raw, device: torch.device) -> None:
        self.x = x if isinstance(x, Rows) else Rows(x.numpy(), x.numpy().dtype)
        self.device = device
        numbers = None if self.x.numbers is None else np.sort(self.x.numbers)
        self.forward = replace(self.x, numbers=numbers)
        order = np.arange(len(x)) if self.x.numbers is None else np.argsort(self.x.numbers)
        self.places = torch.from_numpy(order)
        row = max(1, x.nbytes // len(x))
        self.block, self.pool = max(1, BLOCK // row), max(1, POOL // row)

    def ordered(self, batch_size: int) -> Iterator[Tensor]:
        """Every row once, in order: (B, *shape)."""
        for rows, _ in self._ahead(self.x, self._cut(batch_size)):
            yield from rows.split(batch_size)

    def shuffled(
        self, batch_size: int, generator: torch.Generator | None, start: int = 0
    ) -> Iterator[Numbered]:
        """Every row once, in a fresh order drawn from `generator`, but for the first batches."""
        place = None if generator is None else generator.device
        seed = int(torch.randint(2**62, (), generator=generator, device=place))
        done, within = divmod(start * batch_size, self._pool_rows(batch_size))
        for rows, pool in self._ahead(
            self.forward, islice(self._pools(seed, batch_size), done, None)
        ):
            which = self.places[pool].to(self.device)
            numbered = zip(rows.split(batch_size), which.split(batch_size), strict=True)
            yield from islice(numbered, within // batch_size, None)
            within = 0

    def _pools(self, seed: int, batch_size: int) -> Iterator[Tensor]:
        n, draws = len(self.x), torch.Generator().manual_seed(seed)
        # Blocks begin anywhere, so that neighbours are not the same in every epoch; what remains at
        # the end is the last block, and the only short one.
        shift = int(torch.randint(n, (), generator=draws))
        whole = n // self.block
        starts = torch.cat([torch.randperm(whole, generator=draws), torch.tensor([whole])])
        for at in self._cut(batch_size):
            order = starts[at // self.block] * self.block + at % self.block
            yield (order[torch.randperm(len(at), generator=draws)] + shift) % n

    def _cut(self, batch_size: int) -> Iterator[Tensor]:
        """0…N−1 in pools of whole batches, so that only the last batch is short."""
        size = self._pool_rows(batch_size)
        for start in range(0, len(self.x), size):
            yield torch.arange(start, min(start + size, len(self.x)))

    def _pool_rows(self, batch_size: int) -> int:
        return max(1, self.pool // batch_size) * batch_size

    def _ahead(self, x: Rows, pools: Iterable[Tensor]) -> Iterator[Numbered]:
        """The rows of one pool, and the pool, while the next is being read."""
        with ThreadPoolExecutor(1, "vaelab-rows") as thread:
            waiting: deque[tuple[Future[Tensor], Tensor]] = deque()
            try:
                for pool in pools:
                    waiting.append((thread.submit(self._read, x.take(pool)), pool))
                    if len(waiting) == 2:
                        yield self._arrived(*waiting.popleft())
                yield self._arrived(*waiting.popleft())
            finally:  # also where whoever asked stops early; what is being read is waited for
                for job, _ in waiting:
                    job.cancel()

    def _read(self, x: Rows) -> Tensor:
        # Pinned, a copy to the device runs beside what the device is doing.
        pinned = self.device.type == "cuda"
        return x.read(torch.empty(x.shape, dtype=x.dtype, pin_memory=pinned))

    def _arrived(self, rows: Future[Tensor], pool: Tensor) -> Numbered:
        return rows.result().to(self.device, non_blocking=True), pool
