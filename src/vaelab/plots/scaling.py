"""Raw rows at the scale of pictures: images on [0, 1], table rows with comparable columns.

Images whose values have no bounds are shown between the least and the greatest value of the
training data, so that equal greys stay equal values from picture to picture.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelab.data import DataSpec
from vaelab.plots import captioned, grid, save
from vaelab.utils.progress import counted

if TYPE_CHECKING:
    from vaelab.runs.run import Run

Array = NDArray[np.float32]

SPAN = (-3.0, 3.0)
"""Ends of the colours for standardised columns: one outlier must not make all the rest alike."""


def to_display(raw: Tensor, spec: DataSpec) -> Array:
    """Raw rows (…, *shape) at the scale of pictures, never binarized."""
    if spec.is_image and spec.domain == "real":
        return ((raw.float() - spec.low) / max(spec.high - spec.low, 1e-12)).numpy()
    return spec.flat(replace(spec, binarize="no").prepare(raw)).numpy()


def color_limits(spec: DataSpec) -> tuple[float, float] | None:
    """Values at the ends of the colour map for vectors, or None for images."""
    if spec.is_image:
        return None
    return (0.0, 1.0) if spec.bounded else SPAN


def run_title(run: Run) -> str:
    """A run in a line, for captions: its recipe, data, latent dimensions, epochs and folder."""
    name = Path(run.spec.source).name
    epochs, latent = counted(len(run.history), "epoch"), counted(run.latent, "latent dimension")
    folder = "" if run.path is None else f" · {run.path}"
    return f"{run.recipe.name} on {name}, {latent}, {epochs}{folder}"


def picture(run: Run, raw: Tensor, path: str | Path, caption: str = "") -> Path:
    """Draw examples, such as samples of a run, into a .png file, above a line on the run.

    Args:
        run: whose data they are like; it decides the values of black and white.
        raw: examples on the raw scale, (N, *shape); or several of each, as variations of N
            examples, (N, n, *shape), one line for each.
        path: path of the file; an existing one is replaced.
        caption: printed below the picture, before the line on the run.

    Returns:
        The path of the file.
    """
    across = raw.shape[1] if raw.ndim == len(run.spec.shape) + 2 else None
    flat = raw if across is None else raw.flatten(0, 1)
    drawn = grid(to_display(flat, run.spec), across, span=color_limits(run.spec))
    return save(captioned(drawn, caption, run_title(run)), path)


def levels(raw: Tensor, spec: DataSpec) -> Tensor:
    """Rows with the data's own levels as integers; continuous data as it is."""
    return raw if spec.levels is None else raw.round().to(torch.uint8)
