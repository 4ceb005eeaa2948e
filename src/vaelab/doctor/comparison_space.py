"""Rows as numbers whose distances are meaningful, for comparisons by the doctor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.data import DataSpec
from vaelab.recipes.design import compared

View = Callable[[Tensor], Tensor]
"""Rows (N, …) at the model's scale as (N, F), on the CPU."""


def view_of(data: DataSpec, x: Tensor) -> View:
    """The map of rows of this data into the space of comparison.

    Columns of a table count alike, whatever their units: by their kinds if these are
    known, else by their spread. Pixels share a scale.

    Args:
        data: description of the rows.
        x: training rows (N, …) at the model's scale.
    """
    if data.columns:
        shown = compared(data)
        return lambda rows: shown(rows.cpu()).flatten(1)
    unit = torch.ones(()) if data.is_image else positive(x.flatten(1).std(0).cpu())
    return lambda rows: rows.cpu().flatten(1) / unit


def positive(t: Tensor) -> Tensor:
    """Its numbers, with 1 for 0."""
    return torch.where(t > 0, t, 1.0)
