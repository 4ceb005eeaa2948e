"""Rows into training, validation and test: disjoint, and the same for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Raw, Rows
from vaelab.data.tabular.header import Heading
from vaelab.utils.hints import Hinting

from .description import Description, described
from .schema_fields import Column
from .spec import DataSpec

FEWEST = 10


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of variation that generated each row.

    Args:
        names: names of the F factors.
        ordered: for each, whether its values follow one another, as positions do and shapes do not.
        values: (N, F), int64, class indices from 0.
    """

    names: tuple[str, ...]
    ordered: tuple[bool, ...]
    values: Tensor

    def take(self, index: Tensor) -> "Factors":
        """Those of some rows, (K,)."""
        return replace(self, values=self.values[index])


Row = Tensor | tuple[Tensor, Tensor]
"""An example x, with its label y if there are labels."""


@dataclass(frozen=True)
class Split(Hinting):
    """Rows of one split.

    Args:
        x: (N, *shape), raw rows: a tensor, or `Rows` of a file too large to be read.
        y: (N,), int64 labels, or None.
        factors: the factors of variation that generated each row, or None.
        vectors: (N, C), float32, numbers that are known of each row, or None.
    """

    x: Raw
    y: Tensor | None
    factors: Factors | None = None
    vectors: Tensor | None = None

    def known(self, spec: DataSpec) -> Tensor | None:
        """Known conditions for `spec.tell`: labels (N,), vectors (N, C), or None."""
        return {"none": None, "labels": self.y, "vectors": self.vectors}[spec.condition]

    def take(self, index: Tensor) -> "Split":
        """The rows of those positions, (K,), with all that belongs to them."""
        return Split(
            self.x.take(index) if isinstance(self.x, Rows) else self.x[index],
            None if self.y is None else self.y[index],
            None if self.factors is None else self.factors.take(index),
            None if self.vectors is None else self.vectors[index],
        )

    @property
    def variation(self) -> Factors | None:
        """The factors of variation; with labels alone, these are the one factor."""
        if self.factors is None and self.y is not None:
            return Factors(("class",), (False,), self.y[:, None])
        return self.factors

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int | slice | Tensor) -> "Row | Split":
        """One row (x, y), or x without labels, as of a `Dataset`; for a slice, those rows."""
        numbers = torch.arange(len(self))[index]
        if numbers.ndim:
            return self.take(numbers)
        one = self.take(numbers[None])
        return one.x[0] if one.y is None else (one.x[0], one.y[0])

    def __iter__(self) -> Iterator[Row]:
        """Rows, one after another."""
        return (self[i] for i in range(len(self)))  # type: ignore[misc]


@dataclass(frozen=True)
class Data(Hinting):
    """A data set, split and described; `notes` say in words how it was changed.

    `len(data)` is the number of rows of all splits, `data.shape` the shape of an example.
    """

    spec: DataSpec
    train: Split
    valid: Split
    test: Split
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, (self.train, self.valid, self.test)))

    def __getitem__(self, name: str) -> Split:
        """Split of a name, train, valid or test.

        Raises:
            TypeError: for anything else, such as the number of a row.
        """
        if name not in ("train", "valid", "test"):
            raise TypeError(
                f"data[{name!r}] is no split; expected data['train'], 'valid' or 'test', and their "
                "rows as data.train.x[0] with labels data.train.y[0]"
            )
        return getattr(self, name)

    __iter__ = None
    """Neither splits nor rows are iterated."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an example: (C, H, W), (T, C) or (D,)."""
        return self.spec.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty without labels."""
        return self.spec.classes

    def describe(self) -> Description:
        """Rows, range, mean, spread and examples of each class, by split."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return Description(
            tuple(described(name, split.x, split.y, self.classes) for name, split in splits.items())
        )

    def __repr__(self) -> str:
        """One line: the source, the shape of an example, and the rows of each split."""
        shape = " × ".join(map(str, self.spec.shape))
        rows = (len(split) for split in (self.train, self.valid, self.test))
        told = "{:,} training, {:,} validation, {:,} test".format(*rows)
        return f"Data: {self.spec.source}, examples of {shape}; {told}"


@dataclass(frozen=True)
class SourceData:
    """The contents of a source before it is split.

    Args:
        x: (N, *shape), raw rows, uint8 or float32.
        y: (N,), int64 labels, or None.
        own: rows of the source's own training, validation and test parts, in this order in `x`;
            0 if it has none, and the sum is N.
        classes: class names by label number.
        resize: the (H, W) that images were brought to, or None.
        shuffle: whether the source's own parts are in a telling order (sorted by class).
        notes: one line for each change.
        factors: the factors of variation that generated each row, or None.
        columns: kinds of the columns of a table that states them.
        header: names of the columns of such a table.
        label: label column of such a table.
        lost: whether values had fractions that 32-bit floats lose, so that whole ones were not.
        vectors: (N, C), float32, numbers that are known of each row, or None.
        ends: ends of the interval that values lie in, if the source says so, or None.
        files: (N, 32), uint8, the SHA-256 of the file that each row was decoded from, or None.
    """

    x: Raw
    y: Tensor | None
    own: tuple[int, int, int]
    classes: tuple[str, ...] = ()
    resize: tuple[int, int] | None = None
    shuffle: bool = False
    notes: tuple[str, ...] = ()
    factors: Factors | None = None
    columns: tuple[Column, ...] = ()
    header: tuple[Heading, ...] = ()
    label: str = ""
    lost: bool = False
    vectors: Tensor | None = None
    files: Tensor | None = None
    ends: tuple[float, float] | None = None

    def rows(self, index: Tensor) -> Split:
        """The rows of those numbers, (N,), with all that belongs to them."""
        return Split(self.x, self.y, self.factors, self.vectors).take(index)


def choose(
    found: SourceData, valid: float | int, test: float | int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Row numbers of training, validation and test.

    A source's own parts are kept; missing ones are drawn from its training rows by `seed`. Drawn
    parts are in random order: a source sorted by class would otherwise give ten zeros as the first
    ten rows.

    Args:
        found: the rows.
        valid: a share in (0, 1) of the training rows, or a number of rows.
        test: as `valid`.
        seed: seed of the draw.

    Returns:
        Row numbers (N_train,), (N_valid,), (N_test,), int64.

    Raises:
        ValueError: for a share out of range, or if fewer than 1 training row would remain.
    """
    rows, own_valid, own_test = found.own
    if sum(found.own) < FEWEST:
        raise ValueError(f"{sum(found.own)} rows seen; a data set needs at least {FEWEST}")
    n_valid = 0 if own_valid else _count("valid", valid, rows)
    n_test = 0 if own_test else _count("test", test, rows)
    if n_valid + n_test >= rows:
        raise ValueError(
            f"valid={valid:g} and test={test:g} take {n_valid + n_test:,} of {rows:,} rows and "
            "leave none to train on; ask for less"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(rows, generator=generator)
    parts = [order[n_valid + n_test :], order[n_test : n_test + n_valid], order[:n_test]]
    first = rows
    for place, count in ((1, own_valid), (2, own_test)):
        if count:
            own = torch.arange(first, first + count)
            mixed = own[torch.randperm(count, generator=generator)] if found.shuffle else own
            parts[place] = mixed
            first += count
    return parts[0], parts[1], parts[2]


def _count(name: str, amount: float | int, rows: int) -> int:
    share = isinstance(amount, float)
    if isinstance(amount, bool) or not (0 < amount < 1 if share else 1 <= amount < rows):
        raise ValueError(
            f"{name} should be a share between 0 and 1 or a number of rows from 1 to {rows - 1:,}, "
            f"not {amount!r}"
        )
    return max(1, round(amount * rows)) if share else int(amount)
