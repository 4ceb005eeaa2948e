"""Reload a run's own data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vaelab.data import Data, DataSpec, Split, read_split
from vaelab.data.command_inputs import Changed, reload
from vaelab.data.known.registry import KNOWN
from vaelab.runs.matching import check_data_matches
from vaelab.utils.options import argument
from vaelab.utils.progress import counted

if TYPE_CHECKING:
    from vaelab.runs.run import Run


def describe(data: Data) -> str:
    """One line on the data."""
    spec = data.spec
    if spec.is_image:
        channels, height, width = spec.shape
        kind = {1: "grey images", 3: "colour images"}.get(channels, f"{channels}-channel images")
        what = f"{kind} {height} × {width}"
    elif spec.is_series:
        steps, channels = spec.shape
        what = f"series of {counted(steps, 'step')}, {counted(channels, 'channel')}"
    else:
        what = f"rows of {counted(spec.dims, 'column' if spec.header else 'number')}"
    values = f"{spec.levels} levels" if spec.levels else f"values {spec.value_range}"
    classes = f", {len(spec.classes)} classes" if spec.classes else ""
    if spec.vectors is not None:
        classes += f", a vector of {len(spec.vectors.offset)} per row"
    train_rows, valid, test = spec.sizes
    return (
        f"{spec.source}: {sum(spec.sizes):,} {what}, {values}{classes}; "
        f"{train_rows:,} training, {valid:,} validation, {test:,} test"
    )


def reload_training_data(
    spec: DataSpec,
    named: str | None = None,
    data_dir: Path | None = None,
    beside: Path | None = None,
) -> tuple[Split, Split, Split]:
    """Training, validation and test rows of the data a run was trained on, raw.

    Args:
        spec: description of the run's data.
        named: present path of the data, if it was in memory or has moved.
        data_dir: folder of known data sets.
        beside: the folder of the run, near which its data may lie.

    Raises:
        ValueError: if it cannot be located again or has changed.
        FileNotFoundError: if it has moved.
    """
    if named is not None:
        return reload(replace(spec, source=named, location=""), data_dir=data_dir)
    if spec.source == "array":
        raise ValueError(
            "the run was trained on an array in memory; save that array with numpy.save and name "
            f"the file with {argument('data')}"
        )
    try:
        return reload(spec, data_dir=data_dir, beside=beside)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}. If the run's data has moved, name it with {argument('data')}"
        ) from None


class NamedData(NamedTuple):
    """Rows to judge a run on.

    Attributes:
        splits: training, validation and test rows; of other data than the run's own, the test rows
            are all there are, and the others the run's own.
        notes: one line for each remark.
    """

    splits: tuple[Split, Split, Split]
    notes: tuple[str, ...] = ()


def data_for(run: Run, data: Any = None, data_dir: Path | None = None) -> NamedData:
    """Rows that a run is judged on: its own, those at hand, or others of their kind.

    Args:
        run: a run.
        data: loaded data, a path or a known name, or rows as for `run.encode`, which are the test
            rows then; by default the run's own.
        data_dir: folder of known data sets.

    Raises:
        ValueError: if they cannot be of the run's data, or its own rows are not at hand.
        FileNotFoundError: for a missing path.
    """
    own = run.rows if data is None else data
    if isinstance(own, Data):
        check_data_matches(run.spec, own.spec)
        return NamedData((own.train, own.valid, own.test))
    if own is None or isinstance(own, str | os.PathLike):
        named = None if own is None else os.fspath(own)
        return named_data(run.spec, named, data_dir, run.path)
    rows = Split(run.admit(own), None)
    splits = data_for(run, None, data_dir).splits
    note = f"all {len(rows):,} rows that were given are judged"
    return NamedData((splits[0], splits[1], rows), (note,))


def named_data(
    spec: DataSpec,
    named: str | None = None,
    data_dir: Path | None = None,
    beside: Path | None = None,
) -> NamedData:
    """The rows that a run is judged on: its own, or all those of a file that is named at use.

    Args:
        spec: description of the run's data.
        named: a path: the run's own data at another place, or other data of the same kind.
        data_dir: folder of known data sets.
        beside: the folder of the run.

    Raises:
        ValueError: if rows cannot be of the run's data, or its training rows are not at hand.
        FileNotFoundError: for a missing path.
    """
    if named is None or named in KNOWN:
        return NamedData(reload_training_data(spec, named, data_dir, beside))
    (rows, notes), own = read_split(named, spec), ""
    if len(rows) == sum(spec.sizes):
        try:
            return NamedData(reload_training_data(spec, named, data_dir))
        except Changed as error:
            own = f" ({error})"
    note = f"{named}: all {len(rows):,} rows are judged, which are not the data of the run"
    try:
        train, valid, _ = reload_training_data(spec, None, data_dir, beside)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"{named} has {len(rows):,} rows and is not the run's own data{own}, which is needed "
            f"beside it for figures that compare with training rows: {error}"
        ) from None
    return NamedData((train, valid, rows), (*notes, note))
