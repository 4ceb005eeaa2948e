"""Measurements of a data set, before any finding."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab import metrics as m
from vaelab.core import permutation
from vaelab.data import Data, Raw
from vaelab.data.loading.mapped_rows import pieces
from vaelab.doctor.comparison_space import view_of

ROWS, NEAR_HELD = 20_000, 1000
NUMBERS = 2**24
"""Numbers in the rows examined, so that large images do not fill the memory."""
NEAR_DIMS = 16
"""Dimensions from which a near neighbour is no accident."""
NEAR = 0.1


@dataclass(frozen=True)
class Repeats:
    """Rows that are there more than once.

    Attributes:
        rows: how many there are.
        repeated: how many of them are copies of an earlier one.
        tested: rows of validation and test.
        leaked: how many of these are in training too.
        natural: copies there would be if columns knew nothing of each other, per row; two columns
            of three values each repeat themselves without a mistake.
    """

    rows: int
    repeated: int
    tested: int
    leaked: int
    natural: float


@dataclass(frozen=True)
class DataMeasurements:
    """Measurements of a data set, for the checks.

    Attributes:
        data: the data.
        train: training rows, at most 20,000, (N, D) in float64.
        held: validation and test rows, likewise.
        repeats: exact copies.
        near: share of near-copies of training rows among held-out rows that are no exact copies, by
            the kinds of columns; None if dimensions are few.
    """

    data: Data
    train: Tensor
    held: Tensor
    repeats: Repeats
    near: m.Estimate | None


def measure_data(data: Data, seed: int) -> DataMeasurements:
    """Look at a data set.

    Args:
        data: raw rows.
        seed: seed of the choice of rows, if they are too many.
    """
    rows = min(ROWS, max(2, NUMBERS // data.spec.dims))
    train = subsample_rows(data.train.x, rows, seed)
    held = torch.cat(
        [subsample_rows(split.x, rows // 2, seed) for split in (data.valid, data.test)]
    )
    train, held = train.flatten(1).double(), held.flatten(1).double()
    return DataMeasurements(
        data, train, held, _repeats(data, train, seed), _near(data, train, held, seed)
    )


def subsample_rows(x: Raw, limit: int, seed: int) -> Tensor:
    """At most `limit` rows, read."""
    order = permutation(len(x), seed)[:limit]
    return x[order]


def _digests(x: Raw) -> list[bytes]:
    found = []
    for piece in pieces(x):
        found += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in piece.numpy()]
    return found


def _repeats(data: Data, train: Tensor, seed: int) -> Repeats:
    seen = _digests(data.train.x)
    held = [*_digests(data.valid.x), *_digests(data.test.x)]
    repeated = sum(n - 1 for n in Counter([*seen, *held]).values())
    known = set(seen)
    natural = 0.0
    if repeated:
        g = torch.Generator().manual_seed(seed)
        mixed = torch.stack([c[torch.randperm(len(c), generator=g)] for c in train.unbind(1)], 1)
        natural = 1 - len(set(_digests(mixed))) / len(mixed)
    leaked = sum(digest in known for digest in held)
    return Repeats(len(seen) + len(held), repeated, len(held), leaked, natural)


def _near(data: Data, train: Tensor, held: Tensor, seed: int) -> m.Estimate | None:
    if int((train.std(0) > 0).sum()) < NEAR_DIMS or len(held) < 2:
        return None
    reference, queries = (
        data.spec.prepare(x.unflatten(1, data.spec.shape))
        for x in (train, subsample_rows(held, NEAR_HELD, seed))
    )
    view = view_of(data.spec, reference)
    distance = m.nearest(view(queries), view(reference))[0]
    other = distance[distance > 0]
    if len(other) < 2:
        return None
    return m.Estimate.share(other < NEAR * other.median())
