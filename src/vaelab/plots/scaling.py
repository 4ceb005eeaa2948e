"""Raw rows as what pictures take: images on [0, 1], table rows with their columns comparable.

Images whose values have no bounds are shown between the least and the greatest value of the
training data, so that equal greys stay equal values from picture to picture.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelab.data import DataSpec
from vaelab.plots import grid, save
from vaelab.runs.run import Run

Array = NDArray[np.float32]

SPAN = (-3.0, 3.0)
"""Ends of the colours for standardised columns: one outlier must not make all the rest alike."""


def to_display(raw: Tensor, spec: DataSpec) -> Array:
    """Raw rows (…, *shape) at the scale of pictures, never binarized."""
    if spec.is_image and spec.domain == "real":
        return ((raw.float() - spec.low) / max(spec.high - spec.low, 1e-12)).numpy()
    return replace(spec, binarize="no").prepare(raw).numpy()


def color_limits(spec: DataSpec) -> tuple[float, float] | None:
    """The ends of the colours, which only vectors need."""
    if spec.is_image:
        return None
    return (0.0, 1.0) if spec.bounded else SPAN


def picture(run: Run, raw: Tensor, path: str | Path) -> Path:
    """Draws what a run takes or gives, such as samples, into a .png file.

    Args:
        run: whose data they are like; it tells what is black and what is white.
        raw: examples on the raw scale, (N, *shape); or several of each, as variations of N
            examples, (N, n, *shape): a line for each.
        path: of the file; what is there is replaced.

    Returns:
        The path of the file.
    """
    across = raw.shape[1] if raw.ndim == len(run.data.shape) + 2 else None
    flat = raw if across is None else raw.flatten(0, 1)
    return save(grid(to_display(flat, run.data), across, span=color_limits(run.data)), path)


def levels(raw: Tensor, spec: DataSpec) -> Tensor:
    """Rows with the data's own levels as integers; continuous data as it is."""
    return raw if spec.levels is None else raw.round().to(torch.uint8)
