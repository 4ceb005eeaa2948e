"""Inputs of a command (a picture, an array, rows of the run's own data) as raw rows.

A value v of an 8-bit picture becomes round(v / 255 · (L − 1)) if the run's data have L levels,
and v / 255 on the unit interval if they are continuous. Pictures none of whose values reach L
are of these levels as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.data.known.registry import KNOWN
from vaelab.data.loading.mapped_rows import Array, Raw
from vaelab.data.tabular.header import as_names, difference
from vaelab.data.tabular.reader import SUFFIXES, read_table
from vaelab.data.tabular.run_columns import left_out
from vaelab.utils.readers import reading

from .admission import Admitted, admit, is_path
from .arrays import in_parts, pick, read_arrays, take_factors
from .factors import factors
from .fingerprint import OF_FILES, alike
from .foreign_inputs import pictures, unpacked
from .load import existing, load
from .missing_cells import policy_of
from .spec import DataSpec
from .splits import Factors, Split

if TYPE_CHECKING:
    from vaelab.data.images.decode import Picture

ROWS_OF_RUN = re.compile(r"(train|valid|test):(.*)")


class Changed(ValueError):
    """Data that are not those that a run was trained on; the message names the difference."""


class Inputs(NamedTuple):
    """The input of a command.

    Attributes:
        raw: (N, *spec.shape), of `spec.dtype`, a tensor or the `Rows` of a file too large to be
            read.
        notes: one line for each change.
        known: conditions of rows of the run's own data: labels (N,) or vectors (N, C). None for all
            other rows, and if the model is not conditional.
        names: names of the files that the rows are from; empty if they have none.
    """

    raw: Raw
    notes: tuple[str, ...] = ()
    known: Tensor | None = None
    names: tuple[str, ...] = ()


def read_inputs(
    source: Any,
    spec: DataSpec,
    *,
    data_dir: str | Path | None = None,
    beside: Path | None = None,
    skip: bool = False,
) -> Inputs:
    """Raw rows, shaped and scaled as the data a run was trained on.

    Args:
        source: `test:0-15`, `test:3,7,9`, `test:` for all (likewise `valid:` and `train:`), rows
            of the run's own data, numbered from 0, ends included; or a picture, a folder or zip
            of pictures, a `.npy` or `.npz` file holding one example or several; a table (`.csv`,
            `.tsv`, `.parquet`) with the columns of the run's data; or such an array, or a pandas
            data frame, in memory.
        spec: description of the run's data.
        data_dir: folder of known data sets, as for `load`.
        beside: the folder of the run, near which its data may lie.
        skip: leave out pictures that cannot be read.

    Raises:
        FileNotFoundError: for a missing path.
        ValueError: for rows of another shape, values the run's data cannot have, or a bad
            selection.
    """
    if not is_path(source):
        return read_memory(source, spec)
    selection = ROWS_OF_RUN.fullmatch(str(source))
    if selection:
        return _own_rows(selection[1], selection[2], spec, data_dir, beside)
    path = existing(str(source))
    with reading(path, "source of data"):
        if path.suffix.lower() in (".npy", ".npz"):
            return _admitted(_rows_of(path), spec, path.name)
        if path.suffix.lower() in SUFFIXES and path.is_file():
            return _admitted(read_table(path, spec.decimal), spec, path.name)
        return _pictures(path, spec, skip)


def read_memory(raw: Any, spec: DataSpec) -> Inputs:
    """Raw rows of examples in memory, in any container; the notes are those on changed values.

    Args:
        raw: as for `admit`, or pictures of PIL, a data set, a loader, a split, or a mapping with x.
        spec: specification of the run's data.

    Raises:
        TypeError: for anything else.
        ValueError: for rows of another shape, or values the run's data cannot have.
    """
    raw = raw if isinstance(raw, Admitted) else unpacked(raw)
    if images := pictures(raw):
        return _gathered(images, spec, False, "the input")._replace(notes=())
    rows, _, changes = admit(raw, spec, "the input")
    return Inputs(rows, changes)


def read_split(source: str | Path, spec: DataSpec) -> tuple[Split, tuple[str, ...]]:
    """All rows of a file that is named at use, with the labels and factors that it has; and notes.

    Args:
        source: the path of arrays, a table, or a folder or zip of pictures.
        spec: description of the run's data.

    Raises:
        FileNotFoundError: for a missing path.
        ValueError: for rows that the run's data cannot have, or labels of other classes.
    """
    inputs = read_inputs(source, spec)
    with reading(source, "source of labels"):
        return _with_labels(source, spec, inputs)


def _with_labels(
    source: str | Path, spec: DataSpec, inputs: Inputs
) -> tuple[Split, tuple[str, ...]]:
    labels = _labels_of(Path(os.path.expanduser(source)), spec)
    if labels is not None and len(labels) != len(inputs.raw):
        raise ValueError(f"{source} has {len(labels):,} labels for {len(inputs.raw):,} rows")
    made = _factors_of(Path(os.path.expanduser(source)), len(inputs.raw))
    return Split(inputs.raw, labels, made, _vectors_of(Path(source), spec)), inputs.notes


def _factors_of(path: Path, count: int) -> Factors | None:
    made = take_factors(read_arrays(path)) if path.suffix.lower() == ".npz" else None
    return None if made is None else factors(*made, count)


def _rows_of(path: Path) -> Array:
    arrays = read_arrays(path)
    parts = in_parts(arrays)
    return np.concatenate(parts[0]) if parts else pick(arrays)[0]


def _labels_of(path: Path, spec: DataSpec) -> Tensor | None:
    """The labels in a file as class numbers of the run's data; None if either has none."""
    if not spec.classes:
        return None
    names: Any = None
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = read_arrays(path)
        parts = in_parts(arrays)
        names = parts[1] if parts else pick(arrays)[1]
    elif suffix in SUFFIXES and path.is_file() and spec.label:
        table = read_table(path, spec.decimal)
        if spec.label in table.names:
            column = table.column(spec.label)
            names = [column.text(i) for i in range(len(column))]
    elif path.is_dir() or suffix == ".zip":
        from vaelab.data.images.folder import class_names

        names = class_names(path)
    return None if names is None else spec.class_numbers(names)


def _vectors_of(path: Path, spec: DataSpec) -> Tensor | None:
    """The condition vectors in a file, if the run's data have some that a file holds."""
    if spec.vectors is None or spec.vectors.source == "array":
        return None
    if path.suffix.lower() in SUFFIXES:
        table = read_table(path, spec.decimal)
        columns = [table.column(name).values for name in as_names(spec.vectors.source)]
        return torch.from_numpy(np.stack(columns, 1).astype(np.float32))
    arrays = read_arrays(path)
    found = arrays.get(spec.vectors.source.lower())
    return None if found is None else torch.from_numpy(found.astype(np.float32))


def _admitted(raw: Any, spec: DataSpec, name: str) -> Inputs:
    rows, notes, changes = admit(raw, spec, name)
    return Inputs(rows, (*notes, *changes))


def reload(
    spec: DataSpec, *, data_dir: str | Path | None = None, beside: Path | None = None
) -> tuple[Split, Split, Split]:
    """Training, validation and test rows of the data a run was trained on.

    Args:
        spec: description of the run's data.
        data_dir: folder of known data sets.
        beside: the folder of the run; a relative path is also looked for near it.

    Raises:
        ValueError: if the data were in memory, or cannot be read.
        Changed: if they are no longer the same.
    """
    if spec.source == "array":
        raise ValueError(
            "the run was trained on an array in memory, which is gone; give a file instead"
        )
    if spec.vectors is not None and spec.vectors.source == "array":
        raise ValueError(
            "the run was told vectors of an array in memory, which is gone; train it on an .npz "
            "that holds them beside the rows"
        )
    _, valid, test = spec.sizes
    data = load(
        _place(spec, beside),
        data_dir=data_dir,
        seed=spec.seed,
        valid=valid,
        test=test,
        image_size=spec.resize,
        skip_unreadable=True,
        columns=left_out(spec) if spec.header else None,
        label=spec.label or None,
        vectors=None if spec.vectors is None else spec.vectors.source,
        kind=_KINDS[len(spec.shape)],
        background=spec.background,
        decimal=spec.decimal,
        missing=policy_of(spec),
    )
    if spec.header and (told := difference(spec.header, data.spec.header)):
        raise Changed(f"{spec.source} has changed since the run: {told}")
    same = alike(spec.sha256, data.spec.sha256)
    ends = () if same else ("low", "high")  # which are a decoder's where the files are the same
    for name in ("shape", "sizes", "levels", *ends, "classes"):
        then, now = getattr(spec, name), getattr(data.spec, name)
        if then != now:
            raise Changed(
                f"{spec.source} has changed since the run: its {name} was {then} and is {now}"
            )
    if same is False:
        then, now = (sha.removeprefix(OF_FILES)[:12] for sha in (spec.sha256, data.spec.sha256))
        raise Changed(
            f"{spec.source} has changed since the run: its shape and range are what they were, its "
            f"values or labels are not (SHA-256 {then}… then, {now}… now)"
        )
    return data.train, data.valid, data.test


_KINDS = {1: "auto", 2: "series", 3: "images"}


def _place(spec: DataSpec, beside: Path | None) -> str:
    """The first path at which the data of a run exist: as typed, the recorded one, near the run."""
    if spec.source in KNOWN or not spec.location:
        return spec.source
    name = os.path.expanduser(spec.source)
    places = [Path(spec.location), Path(name)]
    if beside is not None and not os.path.isabs(name):
        places += [folder / name for folder in (beside, *beside.resolve().parents)]
    return str(next((place for place in places if place.exists()), spec.source))


def _own_rows(
    part: str, selection: str, spec: DataSpec, data_dir: str | Path | None, beside: Path | None
) -> Inputs:
    rows = reload(spec, data_dir=data_dir, beside=beside)
    splits = dict(zip(("train", "valid", "test"), rows, strict=True))
    own = splits[part]
    if selection:
        own = own.take(selected(part, selection, len(own.x)))
    return Inputs(own.x, known=own.known(spec))


def selected(part: str, selection: str, n: int) -> Tensor:
    """The numbers of the rows that are asked for, of n."""
    index: list[Tensor] = []
    for piece in selection.split(","):
        ends = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", piece)
        if ends is None:
            raise ValueError(
                f"{part}:{selection} is no selection of rows; expected {part}:7, {part}:0-15, "
                f"{part}:3,7,9, or {part}: for all"
            )
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if not first <= last < n:
            raise ValueError(
                f"rows {piece.strip()} of {part} are asked for; it has rows 0 to {n - 1:,}, "
                "and a range goes up"
            )
        index.append(torch.arange(first, last + 1))
    return torch.cat(index)


def _pictures(path: Path, spec: DataSpec, skip: bool) -> Inputs:
    from vaelab.data.images.folder import listed, one_file

    _check_pictures(spec, path.name)
    if path.is_dir() or path.suffix.lower() == ".zip":
        with listed(path) as (found, _):
            return _gathered(found, spec, skip, path.name)
    return _gathered([one_file(path)], spec, skip, path.name)


def _check_pictures(spec: DataSpec, name: str) -> None:
    if not spec.is_image or spec.shape[0] not in (1, 3, 4):
        raise ValueError(_no_picture(spec, name))


def _no_picture(spec: DataSpec, name: str) -> str:
    return (
        f"{name} would be read as a picture; the run's data are {spec.domain} values of "
        f"shape {spec.shape}. Give a .npy array"
    )


def _gathered(found: Sequence[Picture], spec: DataSpec, skip: bool, name: str) -> Inputs:
    """Pictures at the size and on the scale of the run's data, with their names."""
    from vaelab.data.images.decode import abbreviate, gather

    _check_pictures(spec, name)
    channels, height, width = spec.shape
    gathered = gather(found, (height, width), channels, background=spec.background)
    if gathered.unreadable and not (skip and gathered.kept):
        raise ValueError(f"pictures that cannot be read: {abbreviate(gathered.unreadable)}")
    notes = gathered.notes
    if gathered.unreadable:
        notes += (f"left out, as they cannot be read: {abbreviate(gathered.unreadable)}",)
    x = torch.from_numpy(gathered.x)
    if spec.domain == "real" and (x.dtype == torch.uint8 or gathered.ends is not None):
        raise ValueError(_no_picture(spec, name))
    inputs = _on_scale(x, gathered.ends, spec, notes, name)
    return inputs._replace(names=tuple(found[i].name for i in gathered.kept))


def _on_scale(
    x: Tensor, ends: tuple[float, float] | None, spec: DataSpec, notes: tuple[str, ...], name: str
) -> Inputs:
    if x.dtype != torch.uint8:
        return _deep(x, ends, spec, notes, name)
    if spec.levels is None:
        raw = x.float() / 255 * spec.scale[0] + spec.offset[0]
        return Inputs(
            raw, (*notes, "grey values 0–255 were mapped to the interval of the run's data")
        )
    if spec.levels < 256 and int(x.max()) < spec.levels:
        # Of the run's own training folder, say; as grey values all of them would be next to black.
        return Inputs(
            x, (*notes, f"values 0–{int(x.max())} were read as the run's {spec.levels} levels")
        )
    if spec.levels == 2:
        return Inputs(
            (x >= 128).to(torch.uint8), (*notes, "grey values were cut at 128 to 0 and 1")
        )
    if spec.levels < 256:
        notes += (f"grey values 0–255 were mapped to 0–{spec.levels - 1}",)
    return Inputs((x.float() * (spec.levels - 1) / 255).round().to(torch.uint8), notes)


def _deep(
    x: Tensor, ends: tuple[float, float] | None, spec: DataSpec, notes: tuple[str, ...], name: str
) -> Inputs:
    """Pictures deeper than 8 bits on the interval of the run's data."""
    if spec.levels is None and (ends is None or spec.scale[0] > 255):
        inputs = _admitted(x, spec, name)
        return inputs._replace(notes=(*notes, *inputs.notes))
    if ends is None:
        raise ValueError(
            f"{name} holds floats, which have no range of their own; the run's data are "
            f"{spec.domain} values from {spec.value_range}. Give a .npy array on that scale"
        )
    share = x / ends[1]
    if spec.levels is None:
        return Inputs(share * spec.scale[0] + spec.offset[0], notes)
    top = spec.levels - 1
    note = f"values 0–{ends[1]:.0f} were mapped to 0–{top}"
    return Inputs((share * top).round().to(torch.uint8), (*notes, note))
