"""The checks of a data file before it is read as data: what reading would refuse, mend or lose."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import numpy as np

from vaelab.data.arrays import read_arrays
from vaelab.data.images.decode import Picture
from vaelab.data.images.folder import listed
from vaelab.data.loading.mapped_rows import Array, forward
from vaelab.doctor.findings import Evidence, Finding, Findings, Fix
from vaelab.utils.messages import Message

LOST = 0.01
DISTINCT = 200_000
"""Values that are looked at for what float32 loses."""


def array_file(path: Path) -> Findings:
    """Are the numbers of an array file finite, and do they survive being read?

    Raises:
        ValueError: for a file that is no array file.
    """
    for name, array in read_arrays(path).items():
        if array.dtype.kind == "f":
            yield from _finite(name, array)
        if array.dtype.kind in "fiu" and array.dtype.itemsize > 2:
            yield from _precise(name, array)
        if array.dtype == np.uint8:
            yield from _wrapped(name, array)


def _finite(name: str, array: Array) -> Findings:
    count, rows = 0, 0
    for _, piece in forward(array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)):
        wrong = ~np.isfinite(piece)
        count, rows = count + int(wrong.sum()), rows + int(wrong.any(1).sum())
    if count:
        rows_of = f"{name}.reshape(len({name}), -1)"
        change = f"{name} = {name}[np.isfinite({rows_of}).all(1)]"
        yield Finding(
            "nan",
            "error",
            Message(
                "what.nan",
                "{name} has {count:,} values that are NaN or infinite, in {rows:,} of {total:,} "
                "rows",
                name=name,
                count=count,
                rows=rows,
                total=len(array),
            ),
            Evidence("values that are not finite", count, 0),
            Message(
                "remedy.nan",
                "leave these rows out, {change}, with the same rows of the labels; or fill them in",
                change=change,
            ),
            Fix("array", change),
        )


def _precise(name: str, array: Array) -> Findings:
    columns = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(-1, 1)
    rows = columns[: max(2, DISTINCT // columns.shape[1])]
    worst, column = 0.0, 0
    for j, values in enumerate(rows.T[:1000]):
        before = len(np.unique(values))
        with np.errstate(over="ignore"):
            lost = 1 - len(np.unique(values.astype(np.float32))) / before
        worst, column = max((worst, column), (lost, j))
    if worst > LOST:
        yield Finding(
            "lost-precision",
            "warning",
            Message(
                "what.lost-precision",
                "column {column} of {name} has numbers that float32 cannot tell apart, as times in "
                "seconds or identifiers do",
                column=column,
                name=name,
            ),
            Evidence("share of distinct values lost", worst, LOST),
            Message(
                "remedy.lost-precision",
                "subtract a constant near the values first; leave identifiers out of {name}",
                name=name,
            ),
            _restored(name, columns, column) if array.ndim == 2 else None,
        )


def _restored(name: str, columns: Array, j: int) -> Fix:
    """Subtracting the least value if that is enough, else leaving the column out."""
    values = np.unique(columns[:DISTINCT, j])
    if len(np.unique((values - values[0]).astype(np.float32))) >= (1 - LOST) * len(values):
        return Fix("array", f"{name}[:, {j}] -= {name}[:, {j}].min()")
    return Fix("array", f"{name} = np.delete({name}, {j}, axis=1)")


def _wrapped(name: str, array: Array) -> Findings:
    counts = np.zeros(256, np.int64)
    for _, piece in forward(array):
        counts += np.bincount(piece.ravel(), minlength=256)
    if counts[1] and counts[200:].sum() and not counts[2:200].any():
        share = counts[200:].sum() / counts.sum()
        yield Finding(
            "wrapped-bytes",
            "error",
            Message(
                "what.wrapped-bytes",
                "{name} has the bytes 0 and 1 and a few above 200, none between: fractions that "
                "were cast to bytes without scaling and clipping",
                name=name,
            ),
            Evidence("share of values that wrapped around", float(share), 0.0),
            Message(
                "remedy.wrapped-bytes",
                "write the file again from the fractions, "
                "(x.clip(0, 1) * 255).round().astype(np.uint8); what is left of them here is "
                "{name} = np.where({name} > 127, 0, {name})",
                name=name,
            ),
            Fix("array", f"{name} = np.where({name} > 127, 0, {name})"),
        )


def _readable(picture: Picture) -> bool:
    try:
        with picture.open() as image:
            image.load()
    except Exception:  # decoders raise errors of every kind
        return False
    return True


def pictures(path: Path, read: int) -> Findings:
    """Are the pictures of a folder readable, and of one size and one mode?

    Args:
        path: the folder or zip.
        read: how many of them could be read.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    grey = 0
    broken: list[str] = []
    with listed(path) as (found, _):
        for picture in found:
            try:
                with picture.open() as image:
                    sizes[image.size] += 1
                    grey += image.mode in ("1", "L", "LA", "I;16", "I")
            except Exception:  # decoders raise errors of every kind
                continue
        total = len(found)
        if read < total:
            broken = [picture.name for picture in found if not _readable(picture)]
    if read < total:
        yield Finding(
            "unreadable",
            "error",
            Message(
                "what.unreadable",
                "{lost:,} of {total:,} pictures cannot be read",
                lost=total - read,
                total=total,
            ),
            Evidence("pictures that cannot", total - read, 0),
            Message(
                "remedy.unreadable",
                "repair or remove {names}, or pass --skip-unreadable when training",
                names=", ".join(broken[:4]) + " …" * (len(broken) > 4),
            ),
            Fix("file", f"rm -- {shlex.join(broken)}") if path.is_dir() else None,
        )
    if len(sizes) > 1:
        (width, height), most = sizes.most_common(1)[0]
        yield Finding(
            "mixed-sizes",
            "warning",
            Message(
                "what.mixed-sizes",
                "pictures have {count} sizes, {width}×{height} the commonest: the others are "
                "resized and cropped to one",
                count=len(sizes),
                width=width,
                height=height,
            ),
            Evidence("share of other sizes", 1 - most / sum(sizes.values()), 0.0),
            Message(
                "remedy.mixed-sizes",
                "choose the size yourself with --image-size, or crop them with care first",
            ),
        )
    if 0 < grey < sum(sizes.values()):
        yield Finding(
            "mixed-colours",
            "info",
            Message(
                "what.mixed-colours",
                "{grey:,} of {total:,} pictures are grey, the others in colour: all are read as "
                "RGB",
                grey=grey,
                total=total,
            ),
            Evidence("share of grey pictures", grey / total, 0.0),
            Message(
                "remedy.mixed-colours",
                "bring them to one mode first, unless grey is what sets them apart",
            ),
        )
