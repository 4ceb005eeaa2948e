"""What a run makes of a table as a table again: a .csv that reads like what it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vaelab.apps.outputs import Writer, as_table
from vaelab.data.header import Heading
from vaelab.run import Run


def as_rows(run: Run, parts: Iterable[Tensor], n: int, *axes: str) -> dict[str, Writer]:
    """Rows in parts (B, …, D), n in all, as .csv: counts whole, categories by their names.

    Args:
        run: what made them; of what class it was told they are comes last in each row.
        parts: on the raw scale; means need not be rounded.
        n: how many.
        axes: names of the first axes, of which every row says where on them it is; where there is
            none, parts are (B, D).
    """
    spec, told = run.data, run.condition is not None and bool(run.data.classes)
    header = [*(Heading(axis, (), 0) for axis in axes), *spec.headings]
    if told:
        header.append(Heading(spec.label or "class", spec.classes))

    def rows() -> Iterator[Tensor]:
        classes = run.told(n)[0].argmax(1, keepdim=True).cpu() if told else torch.empty(n, 0)
        begun = 0
        for part in parts:
            flat = part.cpu().reshape(-1, spec.dims)
            places = torch.stack([t.flatten() for t in _numbered(begun, part.shape[:-1])], 1)
            of = classes[begun : begun + len(part)].repeat_interleave(len(flat) // len(part), 0)
            yield torch.cat([places[:, : len(axes)].float(), flat.float(), of.float()], 1)
            begun += len(part)

    return as_table(rows(), header)


def _numbered(first: int, shape: torch.Size) -> tuple[Tensor, ...]:
    """Where on each axis every row is, the first of them counted on from earlier parts."""
    along, *others = (torch.arange(size) for size in shape)
    return torch.meshgrid(along + first, *others, indexing="ij")
