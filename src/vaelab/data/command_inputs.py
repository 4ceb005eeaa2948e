"""What a command is given to work on (a picture, an array, rows of the run's own data) as raw rows.

A value v of an 8-bit picture becomes round(v / 255 · (L − 1)) where the run's data have L levels,
and v / 255 on the unit interval where they are continuous. Pictures none of whose values reach L
are of these levels as they are.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Array, Raw, Rows, pieces
from vaelab.data.tabular.header import difference
from vaelab.data.tabular.reader import SUFFIXES, Table, from_frame, is_frame, read_table
from vaelab.data.tabular.schema import left_out, like
from vaelab.data.tabular.typed_columns import check_columns

from .arrays import as_numpy, pick, read_arrays
from .arrays import rows as laid_out
from .fingerprint import OF_FILES, alike
from .load import existing, load
from .spec import DataSpec
from .splits import Split

_ROWS = re.compile(r"(train|valid|test):(.*)")


class Inputs(NamedTuple):
    """What a command was given.

    Attributes:
        raw: (N, *spec.shape), of `spec.dtype`, a tensor or the `Rows` of a file too large to be
            read.
        notes: of what was changed.
        known: of rows of the run's own data, what its model is told of them: labels (N,) or vectors
            (N, C). None of all else, and where it is told nothing.
    """

    raw: Raw
    notes: tuple[str, ...] = ()
    known: Tensor | None = None


def read_inputs(
    source: str | Path | Array | Tensor, spec: DataSpec, *, data_dir: str | Path | None = None
) -> Inputs:
    """Raw rows, shaped and scaled as the data a run was trained on.

    Args:
        source: `test:0-15`, `test:3,7,9`, `test:` for all (likewise `valid:` and `train:`), rows
            of the run's own data, numbered from 0, ends included; or a picture, a folder or zip
            of pictures, a `.npy` or `.npz` file holding one example or several; a table (`.csv`,
            `.tsv`, `.parquet`) with the columns of the run's data; or such an array, or a pandas
            data frame, in memory.
        spec: of the run's data.
        data_dir: where known sets live, as for `load`.

    Raises:
        FileNotFoundError: for a missing path.
        ValueError: for rows of another shape, values the run's data cannot have, or a bad
            selection.
    """
    if is_frame(source):
        return _named(from_frame(source), spec)
    if isinstance(source, np.ndarray | Tensor):
        return Inputs(_fit(as_numpy(source, "the input"), spec, "the array"))
    selection = _ROWS.fullmatch(str(source))
    if selection:
        return _own_rows(selection[1], selection[2], spec, data_dir)
    path = existing(str(source))
    if path.suffix.lower() in (".npy", ".npz"):
        return Inputs(_fit(pick(read_arrays(path))[0], spec, path.name))
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return _named(read_table(path), spec)
    return _pictures(path, spec)


def raw_rows(raw: Any, spec: DataSpec) -> Raw:
    """Rows in memory, (N, *spec.shape), that are taken as they are; a pandas data frame by name.

    Raises:
        ValueError: where they have another number of axes, or values that are not finite.
    """
    if is_frame(raw):
        return _named(from_frame(raw), spec).raw
    rows = raw if isinstance(raw, Rows) else torch.as_tensor(raw).cpu()
    if rows.ndim != 1 + len(spec.shape):
        raise ValueError(
            f"rows of shape (N, {', '.join(map(str, spec.shape))}) are expected, not "
            f"{tuple(rows.shape)}; one example alone is x[None]"
        )
    if isinstance(rows, Tensor) and len(wrong := (~rows.isfinite()).nonzero()):
        raise ValueError(
            f"row {int(wrong[0, 0])} holds NaN or infinite values; leave it out or fill them in"
        )
    return rows


def reload(spec: DataSpec, *, data_dir: str | Path | None = None) -> tuple[Split, Split, Split]:
    """Training, validation and test rows of the data a run was trained on.

    Raises:
        ValueError: where the data were in memory, or are no longer the same.
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
        spec.source,
        data_dir=data_dir,
        seed=spec.seed,
        valid=valid,
        test=test,
        image_size=spec.resize,
        skip_unreadable=True,
        columns=left_out(spec) if spec.header else None,
        label=spec.label or None,
        vectors=None if spec.vectors is None else spec.vectors.source,
    )
    if spec.header and (told := difference(spec.header, data.spec.header)):
        raise ValueError(f"{spec.source} has changed since the run: {told}")
    same = alike(spec.sha256, data.spec.sha256)
    ends = () if same else ("low", "high")  # which are a decoder's where the files are the same
    for name in ("shape", "sizes", "levels", *ends, "classes"):
        then, now = getattr(spec, name), getattr(data.spec, name)
        if then != now:
            raise ValueError(
                f"{spec.source} has changed since the run: its {name} was {then} and is {now}"
            )
    if same is False:
        then, now = (sha.removeprefix(OF_FILES)[:12] for sha in (spec.sha256, data.spec.sha256))
        raise ValueError(
            f"{spec.source} has changed since the run: its shape and range are what they were, its "
            f"values or labels are not (SHA-256 {then}… then, {now}… now)"
        )
    return data.train, data.valid, data.test


def _named(table: Table, spec: DataSpec) -> Inputs:
    if spec.is_image:
        raise ValueError(f"{table.name} is a table; the run's data are pictures {spec.shape}")
    array, notes = like(table, spec)
    return Inputs(_fit(array, spec, table.name), notes)


def _own_rows(part: str, selection: str, spec: DataSpec, data_dir: str | Path | None) -> Inputs:
    splits = dict(zip(("train", "valid", "test"), reload(spec, data_dir=data_dir), strict=True))
    own = splits[part]
    if selection:
        own = own.take(_selected(part, selection, len(own.x)))
    return Inputs(own.x, known=own.known(spec))


def _selected(part: str, selection: str, n: int) -> Tensor:
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


def _fit(array: Array, spec: DataSpec, name: str) -> Raw:
    """One example or several, checked against what the run's data can be."""
    shape = spec.shape
    # One example first: (28, 28) is one grey image, not 28 vectors.
    single = {shape, (*shape[1:], shape[0])} | ({shape[1:]} if shape[0] == 1 else set())
    if array.shape in single:
        array = array[None]
    try:
        raw = laid_out(array).x
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if raw.shape[1:] != shape:
        raise ValueError(
            f"{name} has the shape {array.shape}; expected one example of shape {shape} or "
            f"several, (N, *{shape})"
        )
    ends = [torch.aminmax(piece) for piece in pieces(raw)]
    low, high = float(min(end.min for end in ends)), float(max(end.max for end in ends))
    if spec.levels is not None:
        whole = all(bool((piece == piece.round()).all()) for piece in pieces(raw))
        if low < 0 or high > spec.levels - 1 or not whole:
            raise ValueError(
                f"{name} has values from {low:g} to {high:g}; the run's data are whole numbers "
                f"from 0 to {spec.levels - 1}"
            )
        return _as(raw, torch.uint8)
    least, most = spec.offset[0], spec.offset[0] + spec.scale[0]
    if spec.domain == "unit" and (low < least or high > most):
        raise ValueError(
            f"{name} has values from {low:g} to {high:g}; the run's data lie in "
            f"[{least:g}, {most:g}]"
        )
    raw = _as(raw, torch.float32)
    if spec.columns:
        try:
            check_columns(raw, spec.columns)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return raw


def _as(raw: Raw, dtype: torch.dtype) -> Raw:
    if isinstance(raw, Rows):
        return replace(raw, kind=np.dtype(np.uint8 if dtype == torch.uint8 else np.float32))
    return raw.to(dtype)


def _pictures(path: Path, spec: DataSpec) -> Inputs:
    from vaelab.data.images.decode import abbreviate, gather
    from vaelab.data.images.folder import listed, one_file

    if not spec.is_image or spec.shape[0] not in (1, 3) or spec.domain == "real":
        raise ValueError(
            f"{path.name} would be read as a picture; the run's data are {spec.domain} values of "
            f"shape {spec.shape}. Give a .npy array"
        )
    channels, height, width = spec.shape
    if path.is_dir() or path.suffix.lower() == ".zip":
        with listed(path) as (pictures, _):
            gathered = gather(pictures, (height, width), channels)
    else:
        gathered = gather([one_file(path)], (height, width), channels)
    if gathered.unreadable:
        raise ValueError(f"pictures that cannot be read: {abbreviate(gathered.unreadable)}")
    notes = gathered.notes
    x = torch.from_numpy(gathered.x)
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
