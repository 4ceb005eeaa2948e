"""`load`: anything that holds data, by name, path or in memory, to one split and described set."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vaelab.data.known.registry import KNOWN, default_data_dir
from vaelab.data.known.sprites import dsprites, is_dsprites
from vaelab.data.tabular.header import as_names
from vaelab.data.tabular.reader import SUFFIXES, Table, from_frame, is_frame, read_table
from vaelab.data.tabular.schema import as_rows
from vaelab.utils.hints import hinting
from vaelab.utils.options import argument
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.readers import reading
from vaelab.utils.regular_files import special_kind
from vaelab.utils.text import did_you_mean

from .arrays import from_file, refuse_size
from .condition_vectors import add, describe
from .fingerprint import fingerprint
from .missing_cells import Missing, described, missing_shares, with_gaps
from .spec import DataSpec
from .splits import Data, SourceData, choose
from .statistics import measure_columns, measure_fields
from .torch_dataset import How, from_memory

Source: TypeAlias = (
    "str | os.PathLike[str] | np.ndarray[Any, Any] | Tensor | tuple[Any, ...] | list[Any]"
    " | Mapping[str, Any] | Dataset[Any]"
)

# Of 60,000 training images; everywhere else a tenth.
_MNIST_VALID = 5_000
_SHARE = 0.1

# What tells the folder of a run, complete or not.
_RUN = ("recipe.json", "unfinished/recipe.json")


@hinting
def load(
    source: Source,
    y: Any = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    valid: float | int | None = None,
    test: float | int | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    progress: ProgressCallback = no_progress,
    vectors: Any = None,
    kind: str = "auto",
    background: str = "white",
    decimal: str = "",
    missing: str = "auto",
) -> Data:
    """Load, check, split and describe a data set.

    Args:
        source: a known name (`digits`, `digits8x8`, `mnist`, `fashion-mnist`, `kmnist`,
            `binarized_mnist`, `sprites`, `sprites-all`); the path of a `.npy` or `.npz` file (that
            of dSprites among them), of a table (`.csv`, `.tsv`, `.parquet`), or of a folder or zip
            of pictures; or, in memory, an array, tensor or sparse matrix, a pair (x, y) of them, a
            pandas data frame, a list of pictures, a map-style data set or a loader of one; or
            splits of these, (train, test), (train, valid, test) or a mapping by these names.
        y: labels of examples in memory, (N,); the same as a pair (x, y).
        data_dir: folder of known data sets, each in one of its name; None: `VAELAB_DATA`, else
            `~/.cache/vaelab/data`. Missing files are fetched there once.
        seed: seed of the split.
        valid: a share of the training rows in (0, 1), or a number of rows; None: a tenth, or
            5,000 of 60,000. Has no effect if the source has its own validation part.
        test: as `valid`; has no effect if the source has its own test part.
        image_size: side of a square or (H, W) to bring pictures to; None: kept if all agree and
            have no side above 64, else a square of at most 64.
        skip_unreadable: leave out pictures that cannot be read, and rows of a table that lack a
            value, rather than refuse them or, unless `missing` says so, model their gaps.
        columns: kinds of columns by name, of a table with names, if not to be inferred:
            `"real"`, `"positive"`, `"binary"`, `"counts"`, `"categories"` or `"out"`; under
            `"*"` for all that are not named.
        label: label column of a table with names, which is not modelled.
        progress: called with the number of pictures read and their total.
        vectors: conditions of each row (`Design(condition="vectors")`):
            an array (N, C); the name of one in the .npz that the rows are in; or columns, which
            are then not modelled: of a table by name, `"age,income"`, of an array by number,
            `"0,3-5"` from 0, ends included.
        kind: layout of arrays, `"table"`, `"images"` or `"series"`; `"auto"` to infer it.
        background: background of transparent pictures: `"white"`, `"black"`, "#rrggbb";
            `"alpha"` to read the alpha as a grey picture, `"keep"` for all four channels.
        decimal: decimal mark of a table's numbers, "." or ","; "" to infer it.
        missing: missing cells of a table (empty, NaN, "NA", …): `"auto"` models the observed cells
            if some are missing, `"expect"` also if none is, so that new rows may have gaps;
            `"refuse"` refuses them. Anything else is a value that stands for a missing cell, such
            as "-999", or several, "-9,unknown".

    Returns:
        The data, raw: x is (N, C, H, W) or (N, D), uint8 or float32; y is int64 or None. The rows
        of a `.npy` file above 1 GiB stay in it until they are asked for (`Rows`).

    Raises:
        FileNotFoundError: for a missing path, or a known set that can be neither found nor fetched.
        ValueError: for an unknown name, or data that cannot be used; says why.
        TypeError: for another kind of source.

    >>> data = load("digits")
    >>> data.spec.shape, data.spec.levels, data.spec.sizes
    ((1, 28, 28), 256, (1600, 200, 200))
    """
    if decimal not in ("", ".", ","):
        raise ValueError(f"decimal is {decimal!r}; expected '.' or ','")
    policy = Missing.parse(missing)
    if y is not None:
        source = (source, y)
    named = _table(source, decimal)
    if named is None:
        if columns or label:
            raise ValueError(
                f"{argument('columns' if columns else 'label')} names columns of a table (.csv, "
                ".tsv, .parquet, a data frame), and the columns here have no names. Labels of an "
                "array are y beside x in an .npz; with_columns says what its columns are"
            )
        how = How(image_size, kind, background)
        name, found = _find(source, data_dir, how, skip_unreadable, progress)
    else:
        refuse_size(image_size, "tables")
        name, table = named
        known = as_names(vectors) if isinstance(vectors, str) else ()
        table = table.with_missing(policy.codes)
        found = as_rows(
            table, columns, label, skip_unreadable, known, policy.keeps(skip_unreadable)
        )
    origin = vectors if isinstance(vectors, str) else ""
    if vectors is not None and found.vectors is None:
        found, origin = add(found, vectors, source)
    own_train, own_valid, own_test = found.own
    for part, own, asked in (("valid", own_valid, valid), ("test", own_test, test)):
        if own and asked is not None and asked != own:
            raise ValueError(
                f"{part} is {asked:g}, but {name} has {own:,} rows of its own for it; leave out "
                f"{argument(part)}"
            )
    found, gaps = with_gaps(found, policy)
    if valid is None:
        valid = _MNIST_VALID if own_train == 60_000 and own_test else _SHARE
    chosen = choose(found, valid, _SHARE if test is None else test, seed)
    train, validation, held = (found.rows(index) for index in chosen)
    measured = (
        measure_columns(train.x, found.columns)
        if found.columns
        else measure_fields(
            train.x, validation.x, held.x, lost=found.lost, ends=found.ends, gaps=gaps
        )
    )
    shares_missing = missing_shares(train.x) if gaps else ()
    levels, low, high = measured.levels, measured.low, measured.high
    spec = DataSpec(
        source=name,
        shape=tuple(found.x.shape[1:]),
        dtype="float32" if levels is None else "uint8",
        levels=levels,
        low=low,
        high=high,
        offset=measured.offset,
        scale=measured.scale,
        contrast=measured.contrast,
        classes=found.classes,
        sizes=(len(train), len(validation), len(held)),
        seed=seed,
        resize=found.resize,
        columns=measured.columns,
        header=found.header,
        label=found.label,
        sha256=fingerprint(found.x, found.y, found.vectors, files=found.files),
        vectors=None if train.vectors is None else describe(train.vectors, origin),
        shares=shares(train.y, len(found.classes)),
        location="" if name in KNOWN or name == "array" else str(Path(name).expanduser().resolve()),
        background=background,
        decimal=decimal,
        missing=shares_missing,
        missing_codes=policy.codes,
    )
    notes = found.notes
    if any(shares_missing):
        notes += (described(shares_missing, tuple(h.name for h in spec.headings)),)
    if low == high:
        notes += (f"every training value is {low:g}: there is nothing to learn",)
    if not own_valid:
        notes += (
            f"validation: {len(validation):,} of {own_train:,} rows, drawn by seed {seed}"
            + ("" if own_test else f"; test: {len(held):,}, likewise"),
        )
    elif not own_test:
        notes += (f"test: {len(held):,} of {own_train:,} rows, drawn by seed {seed}",)
    return Data(spec, train, validation, held, notes)


def shares(labels: Tensor | None, classes: int) -> tuple[float, ...]:
    """Share of each class among labels; empty without labels."""
    if labels is None or not classes:
        return ()
    counts = torch.bincount(labels, minlength=classes).double()
    return tuple((counts / len(labels)).tolist())


def _find(
    source: Source,
    data_dir: str | os.PathLike[str] | None,
    how: How,
    skip_unreadable: bool,
    progress: ProgressCallback,
) -> tuple[str, SourceData]:
    if not isinstance(source, str | os.PathLike):
        return "array", from_memory(source, how)
    name = os.fspath(source)
    if name in KNOWN:
        refuse_size(how.image_size, f"the images of {name}")
        base = default_data_dir() if data_dir is None else Path(os.path.expanduser(data_dir))
        with reading(base / name, "known data set"):
            return name, KNOWN[name](base / name)
    path = existing(name)
    with reading(path, "source of data"):
        return name, _read(path, how, skip_unreadable, progress)


def _read(path: Path, how: How, skip_unreadable: bool, progress: ProgressCallback) -> SourceData:
    if path.suffix.lower() in (".npy", ".npz"):
        refuse_size(how.image_size, "arrays")
        if is_dsprites(path):
            return dsprites(path)
        return from_file(path, kind=how.kind, background=how.background)
    if path.is_dir() or path.suffix.lower() == ".zip":
        from vaelab.data.images.folder import from_folder

        return from_folder(path, how.image_size, skip_unreadable, progress, how.background)
    raise ValueError(
        f"{path} is not a kind of file that can be loaded; expected a table (.csv, .tsv, "
        ".parquet), arrays (.npy, .npz), or a folder or .zip of pictures"
    )


def _table(source: Source, decimal: str) -> tuple[str, Table] | None:
    """A table whose columns have names, if the source is one."""
    if is_frame(source):
        return "array", from_frame(source, decimal)
    if isinstance(source, str | os.PathLike) and str(source).lower().endswith(SUFFIXES):
        path = existing(os.fspath(source))
        if path.is_dir():
            return None
        with reading(path, "table"):
            return os.fspath(source), read_table(path, decimal)
    return None


def existing(name: str) -> Path:
    """The path of that name.

    Raises:
        ValueError: if it looks like a misspelt known name, is a run, or no regular file.
        FileNotFoundError: if there is no such file; names similar ones.
    """
    path = Path(os.path.expanduser(name))  # which leaves the home of nobody as it is
    if path.exists():
        if kind := special_kind(path):
            raise ValueError(
                f"{name} is {kind}; a file or folder is expected. Write its content to a file first"
            )
        _refuse_run(path)
        return path
    if path.name == name and not path.suffix:
        hint = did_you_mean(name.lower().replace("_", "-"), KNOWN)
        raise ValueError(
            f"unknown data {name!r}.{hint} Known: {', '.join(KNOWN)}; or give a path: nothing of "
            f"that name is in {Path.cwd()}"
        )
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} does not exist: there is no folder {folder}")
    hint = did_you_mean(path.name, [p.name for p in folder.iterdir()])
    raise FileNotFoundError(f"{name} does not exist.{hint}")


def _refuse_run(path: Path) -> None:
    """A run's folder holds pictures, but they are of what its model makes."""
    kept = next((r for r in (path / part for part in _RUN) if r.is_file()), None)
    if kept is None:
        return
    try:
        source = json.loads(kept.read_text(encoding="utf-8"))["data"]["source"]
    except (OSError, ValueError, TypeError, KeyError):  # a damaged run is no data either
        source = "array"
    known = "the data it was trained on" if source == "array" else f"{source}, its training data"
    raise ValueError(f"{path} is a run, a trained model, not data; give {known}, or data of yours")
