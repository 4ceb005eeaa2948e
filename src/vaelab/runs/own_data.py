"""Reload a run's own data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vaelab.data import Data, DataSpec, Split
from vaelab.data.command_inputs import reload
from vaelab.utils.progress import counted


def describe(data: Data) -> str:
    """One line on what was read."""
    spec = data.spec
    if spec.is_image:
        channels, height, width = spec.shape
        kind = {1: "grey images", 3: "colour images"}.get(channels, f"{channels}-channel images")
        what = f"{kind} {height} × {width}"
    else:
        what = f"rows of {counted(spec.dims, 'column' if spec.header else 'number')}"
    values = f"{spec.levels} levels" if spec.levels else f"values {spec.low:g} to {spec.high:g}"
    classes = f", {len(spec.classes)} classes" if spec.classes else ""
    if spec.vectors is not None:
        classes += f", a vector of {len(spec.vectors.offset)} known of each"
    train_rows, valid, test = spec.sizes
    return (
        f"{spec.source}: {sum(spec.sizes):,} {what}, {values}{classes}; "
        f"{train_rows:,} training, {valid:,} validation, {test:,} test"
    )


def reload_training_data(
    spec: DataSpec, named: str | None = None, data_dir: Path | None = None
) -> tuple[Split, Split, Split]:
    """Training, validation and test rows of the data a run was trained on, raw.

    Args:
        spec: of the run's data.
        named: where the data is now, if it was in memory or has moved.
        data_dir: where known data sets live.

    Raises:
        ValueError: where it cannot be found again or has changed.
        FileNotFoundError: where it has moved.
    """
    if named is not None:
        return reload(replace(spec, source=named, location=""), data_dir=data_dir)
    if spec.source == "array":
        raise ValueError(
            "the run was trained on an array in memory; save that array with numpy.save and name "
            "the file with --data"
        )
    try:
        return reload(spec, data_dir=data_dir)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}. Where the run's data has moved, name it with --data"
        ) from None
