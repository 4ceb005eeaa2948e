"""Rows of a table with column and category names: as a .csv file, as a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaelab.commands.output_files import Writer, as_table
from vaelab.data.tabular.header import Heading
from vaelab.runs.frame import _classes, _header, _numbers
from vaelab.runs.run import Run

if TYPE_CHECKING:
    pass


def as_rows(run: Run, parts: Iterable[Tensor], n: int, *axes: str) -> dict[str, Writer]:
    """Rows in parts (B, …, D), n in all, as .csv: counts whole, categories by their names.

    Args:
        run: the run that generated them; the class it is conditioned on is the last column.
        parts: on the raw scale; means need not be rounded.
        n: how many.
        axes: names of the first axes, whose index is written in every row; without any,
            parts are (B, D).
    """

    def rows() -> Iterator[Tensor]:
        classes, begun = _classes(run, n), 0
        for part in parts:
            part = run.spec.flat(part)
            places = torch.stack([t.flatten() for t in _numbered(begun, part.shape[:-1])], 1)
            of = classes[begun : begun + len(part)]
            yield torch.cat([places[:, : len(axes)].float(), _numbers(run, part, of)], 1)
            begun += len(part)

    return as_table(rows(), [*(Heading(axis, (), 0) for axis in axes), *_header(run)])


def _numbered(first: int, shape: torch.Size) -> tuple[Tensor, ...]:
    """Index of every row along each axis; the first axis continues from earlier parts."""
    along, *others = (torch.arange(size) for size in shape)
    return torch.meshgrid(along + first, *others, indexing="ij")
