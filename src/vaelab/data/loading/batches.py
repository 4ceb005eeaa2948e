"""Epochs over one split, as batches on a device at the scale of a model.

Raw rows stay as they are (uint8 costs a quarter of float32), on the device if they fit and in
their file if they do not; a batch is gathered by index and only then cast and scaled. Dynamic
binarization draws b ~ Bernoulli(x): afresh in `epoch`, once and for all in `fixed`, so that a
figure computed on a split is a figure of one stated data set.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.data.spec import DataSpec

from .augment import Augment, augmented, check_augment
from .mapped_rows import Raw
from .streaming import Resident, Streamed, fits

# Rows drawn at a time in `fixed`; part of its definition, never of the caller's batch size.
_CHUNK = 1024


class Batch(NamedTuple):
    """Some rows to train on.

    Attributes:
        x: (B, *shape), float32, at model scale.
        condition: its conditions: nothing, or one tensor (B, C).
    """

    x: Tensor
    condition: tuple[Tensor, ...] = ()


class Batches:
    """The rows of one split as batches on a device, at model scale.

    Args:
        x: (N, *spec.shape), raw rows.
        spec: how to scale and binarize them.
        device: device of the batches, and of the rows if they fit (see `stream.fits`).
        y: known conditions of each row, as `Split.known` returns them: labels (N,), int64, or
            vectors (N, C); needed if the spec is conditional.
        augment: random changes of the images of `epoch` and `shuffled`; `fixed` has none.

    Raises:
        ValueError: if `x` has no rows or rows of another shape, `y` is needed, or the data cannot
            be augmented.

    >>> spec = DataSpec("array", (2,), "uint8", 256, 0, 255, (0.0,), (255.0,))
    >>> rows = Batches(torch.zeros(10, 2, dtype=torch.uint8), spec)
    >>> [len(batch.x) for batch in rows.epoch(4)]
    [4, 4, 2]
    """

    def __init__(
        self,
        x: Raw,
        spec: DataSpec,
        device: str | torch.device = "cpu",
        y: Tensor | None = None,
        augment: Augment = "none",
    ) -> None:
        check_augment(augment, spec)
        if x.shape[1:] != spec.shape or len(x) == 0:
            raise ValueError(f"rows of shape (N, *{spec.shape}) are expected, not {tuple(x.shape)}")
        self.spec, self.device, self.augment = spec, torch.device(device), augment
        self.rows = (Resident if fits(x, self.device) else Streamed)(x, self.device)
        self._drawn: tuple[int, Tensor] | None = None
        if y is not None and len(y) != len(x):
            what = "labels" if y.ndim == 1 else "vectors"
            raise ValueError(f"{len(y)} {what} were given for {len(x)} rows")
        spec.tell(None if y is None else y[:1])
        self.y = None if y is None or not spec.known else y.to(self.device)

    def __len__(self) -> int:
        """Rows, not batches."""
        return len(self.x)

    @property
    def x(self) -> Raw:
        """The raw rows in their store."""
        return self.rows.x

    def epoch(self, batch_size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Every row once, in a fresh order, at model scale; the last batch may be short.

        Args:
            batch_size: rows in a batch, at least 1.
            generator: random source of the order, the augmentation and the binarization; on this
                object's device.
        """
        for raw, condition in self.shuffled(batch_size, generator):
            yield Batch(self.prepare(raw, generator), condition)

    def shuffled(
        self, batch_size: int, generator: torch.Generator | None = None, start: int = 0
    ) -> Iterator[Batch]:
        """The batches of `epoch` before `prepare`: raw rows, augmented.

        How a batch is augmented depends on its number and on the generator's state at first.

        Args:
            batch_size: rows in a batch, at least 1.
            generator: generator of the order; on this object's device.
            start: number of batches to leave out.
        """
        _check(batch_size)
        if start * batch_size >= len(self):
            return
        draws = self._augmenting(generator)
        for number, (rows, which) in enumerate(
            self.rows.shuffled(batch_size, generator, start), start
        ):
            raw = augmented(rows, self.augment, draws(number))
            yield Batch(raw, self.spec.tell(None if self.y is None else self.y[which]))

    def _augmenting(
        self, generator: torch.Generator | None
    ) -> Callable[[int], torch.Generator | None]:
        """Function from the number of a batch to the generator that augments it."""
        if self.augment == "none":
            return lambda number: None
        place = None if generator is None else generator.device
        first = int(torch.randint(2**62, (), generator=generator, device=place))
        draws = torch.Generator(self.device)
        # Lower 32 bits, which are all that the CPU's generator takes, differ from batch to batch.
        return lambda number: draws.manual_seed((first + number * 0x9E3779B97F4A7C15) % 2**64)

    def prepare(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Raw rows (B, *shape) at model scale, float32; binarized afresh if the spec says so."""
        x = self.spec.prepare(raw)
        return bernoulli(x, generator) if self.spec.binarize == "dynamic" else x

    def fixed(self, batch_size: int, seed: int) -> Iterator[Tensor]:
        """Every row once, in order; binarized from `seed` alone.

        The draws are made on the CPU in chunks of their own, so the same seed gives the same black
        and white images on every device and at every batch size.

        Args:
            batch_size: rows in a batch, at least 1.
            seed: seed of the binarization.

        Yields:
            x: (B, *shape), float32.
        """
        _check(batch_size)
        if self.spec.binarize != "dynamic":
            for raw in self.rows.ordered(batch_size):
                yield self.spec.prepare(raw)
        elif isinstance(self.rows, Resident):
            if self._drawn is None or self._drawn[0] != seed:
                self._drawn = seed, torch.cat(list(self._binarized(seed)))
            for drawn in self._drawn[1].split(batch_size):
                yield drawn.float()
        else:
            for drawn in _cut(self._binarized(seed), batch_size):
                yield drawn.float()

    def conditions(self, batch_size: int) -> Iterator[tuple[Tensor, ...]]:
        """Conditions of the rows of `fixed`, batch by batch.

        Beside `fixed` rather than in it: most users of rows have no use for it.

        Yields:
            condition: (), or one tensor (B, C).
        """
        _check(batch_size)
        for start in range(0, len(self), batch_size):
            yield self.spec.tell(None if self.y is None else self.y[start : start + batch_size])

    def _binarized(self, seed: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        for raw in self.rows.ordered(_CHUNK):
            u = torch.rand(raw.shape, generator=generator)
            yield u.to(raw.device) < self.spec.prepare(raw)


def bernoulli(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw b ~ Bernoulli(x) in {0, 1} for x in [0, 1], on any shape.

    On the CPU, 16 random bits a number are a quarter of the work of torch.bernoulli; P(b = 1) is
    then within 2⁻¹⁶ of x, and exact at 0 and 1.
    """
    if x.device.type != "cpu":
        return (torch.rand(x.shape, generator=generator, device=x.device) < x).float()
    draw = partial(torch.randint, -(2**63), 2**63 - 1, (-(-x.numel() // 4),))
    # Two operators, of which a compiler has only the one without a generator at hand.
    words = (draw() if generator is None else draw(generator=generator)).view(torch.int32)
    # Both halves of 32 bits by shifts, which a compiler knows to do on many numbers at once.
    bits = torch.cat([words >> 16, words << 16 >> 16])[: x.numel()]
    # Float against float into float: compared as they come, three conversions take thrice the time.
    drawn = torch.empty_like(x, dtype=torch.float32)
    return torch.lt(bits.view(x.shape).float(), x.float() * 2**16 - 2**15, out=drawn)


def _cut(chunks: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in batches of another size; the last may be short."""
    rest: list[Tensor] = []
    for chunk in chunks:
        rest.append(chunk)
        if sum(map(len, rest)) >= size:
            *whole, last = torch.cat(rest).split(size)
            rest = [last]
            if len(last) == size:
                whole, rest = [*whole, last], []
            yield from whole
    if rest:
        yield torch.cat(rest)


def _check(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size should be at least 1, not {batch_size}")
