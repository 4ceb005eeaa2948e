"""Epochs over one split that lies whole on the device.

Raw rows stay as they are (uint8 costs a quarter of float32); a batch is gathered by index and only
then cast and scaled. Dynamic binarization draws b ~ Bernoulli(x): afresh in `epoch`, once and for
all in `fixed`, so that a figure computed on a split is a figure of one stated data set.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .spec import DataSpec

# Rows drawn at a time in `fixed`; part of its definition, never of the caller's batch size.
_CHUNK = 1024


class Batches:
    """The rows of one split on a device, as batches at model scale.

    Args:
        x: (N, *spec.shape), raw rows.
        spec: how to scale and binarize them.
        device: where the rows are kept and the batches come out.

    Raises:
        ValueError: where `x` has no rows or rows of another shape.

    >>> spec = DataSpec("array", (2,), "uint8", 256, 0, 255, (0.0,), (255.0,))
    >>> rows = Batches(torch.zeros(10, 2, dtype=torch.uint8), spec)
    >>> [len(batch) for batch in rows.epoch(4)]
    [4, 4, 2]
    """

    def __init__(self, x: Tensor, spec: DataSpec, device: str | torch.device = "cpu") -> None:
        if x.shape[1:] != spec.shape or len(x) == 0:
            raise ValueError(f"rows of shape (N, *{spec.shape}) are expected, not {tuple(x.shape)}")
        self.spec = spec
        self.x = x.to(device)
        self._drawn: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        """Rows, not batches."""
        return len(self.x)

    def epoch(self, batch_size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Every row once, in a fresh order; the last batch may be short.

        Args:
            batch_size: rows in a batch, at least 1.
            generator: of the order and of the binarization; on this object's device.

        Yields:
            x: (B, *shape), float32.
        """
        _check(batch_size)
        order = torch.randperm(len(self.x), generator=generator, device=self.x.device)
        for index in torch.split(order, batch_size):
            x = self.spec.prepare(self.x[index])
            if self.spec.binarize == "dynamic":
                x = torch.bernoulli(x, generator=generator)
            yield x

    def fixed(self, batch_size: int, seed: int) -> Iterator[Tensor]:
        """Every row once, in order; binarized from `seed` alone.

        The draws are made on the CPU in chunks of their own, so the same seed gives the same black
        and white images on every device and at every batch size.

        Args:
            batch_size: rows in a batch, at least 1.
            seed: of the binarization.

        Yields:
            x: (B, *shape), float32.
        """
        _check(batch_size)
        if self.spec.binarize == "dynamic":
            for drawn in torch.split(self._binarized(seed), batch_size):
                yield drawn.float()
        else:
            for raw in torch.split(self.x, batch_size):
                yield self.spec.prepare(raw)

    def _binarized(self, seed: int) -> Tensor:
        if self._drawn is None or self._drawn[0] != seed:
            generator = torch.Generator().manual_seed(seed)
            chunks = []
            for raw in torch.split(self.x, _CHUNK):
                u = torch.rand(raw.shape, generator=generator)
                chunks.append(u.to(raw.device) < self.spec.prepare(raw))
            self._drawn = seed, torch.cat(chunks)
        return self._drawn[1]


def _check(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size should be at least 1, not {batch_size}")
