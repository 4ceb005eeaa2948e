"""The door: anything that is to enter a trained model becomes raw rows of its data, or is refused.

Training, `encode`, `reconstruct`, `vary`, `interpolate` and the commands all pass here, so that
range, levels, shape, order of axes, type and kind mean the same everywhere.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from vaelab.data.loading.mapped_rows import Array, Raw, Rows, pieces
from vaelab.data.tabular.reader import Table, from_frame, is_frame
from vaelab.data.tabular.run_columns import like
from vaelab.data.tabular.typed_columns import check_columns
from vaelab.utils.options import option
from vaelab.utils.text import exact

from .alpha import opaque
from .arrays import as_numpy, is_mapped
from .layout import NEAR
from .missing_cells import Missing, mark_codes
from .schema_fields import NUMBERS
from .spec import DataSpec
from .statistics import SLACK

_FAR, _CLOSE, _SEVERAL = 6.0, 0.05, 8
"""Deviations from the mean, on average, that values of another scale have at least or at most; and
the numbers of a column that show it."""
_SMALL_PART = 0.02
"""The share of an interval that values of its scale fill at least."""
_NEGATIVE, _EXPECTED = 0.3, 20
"""The share of numbers below 0 in a column that is centred there, and as many as show it."""


class Admitted(NamedTuple):
    """Rows that may enter a model.

    Attributes:
        rows: (N, *spec.shape), of `spec.dtype`.
        notes: on how they were read.
        changes: notes on values that were changed, or that may be on another scale.
    """

    rows: Raw
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def admit(raw: Any, spec: DataSpec, name: str = "the array") -> Admitted:
    """Raw rows of a run's data, checked.

    Args:
        raw: one example or several: an array, tensor or sparse matrix, in any order of axes that
            `load_data` takes; a list of such; a data frame or a row of it; a picture
            of PIL; the `Rows` of a file; or rows that were admitted before, which pass without a
            note.
        spec: description of the run's data.
        name: name of the source, for messages.

    Raises:
        TypeError: for anything else.
        ValueError: if the run's data cannot have such a shape or values; names those it can.
    """
    if isinstance(raw, Admitted):
        return Admitted(raw.rows)
    if isinstance(raw, Table):
        return _table(raw, spec)
    if is_frame(raw):
        return _table(from_frame(raw), spec)
    if isinstance(raw, Rows):
        return _checked(raw, spec, name)
    if spec.header and hasattr(raw, "to_frame") and hasattr(raw, "iloc"):  # a row of a frame
        return _table(from_frame(raw.to_frame().T), spec)
    if isinstance(raw, list | tuple):
        raw = _stacked(raw, name)
    if hasattr(raw, "convert") and hasattr(raw, "getbands"):  # a picture of PIL
        raw = np.asarray(raw)
    array = as_numpy(raw, name)
    mapped = is_mapped(array)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name}: numbers are expected, not an array of {array.dtype}")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1 and not mapped:  # torch has few of them
        array = array.astype(np.float64 if array.dtype.itemsize == 8 else np.int64)
    array = _in_order(array, spec, name)
    if spec.missing_codes and array.dtype.kind in "buif" and not mapped:
        array = mark_codes(torch.tensor(array), Missing(codes=spec.missing_codes)).numpy()
    if mapped:
        return _checked(Rows(array, np.dtype(np.float32)), spec, name)
    array = np.ascontiguousarray(array)
    return _checked(torch.from_numpy(array if array.flags.writeable else array.copy()), spec, name)


def _stacked(items: Any, name: str) -> Array:
    arrays = [
        np.asarray(item) if np.isscalar(item) else as_numpy(_plain(item), name) for item in items
    ]
    if len(shapes := {array.shape for array in arrays}) > 1:
        raise ValueError(f"{name} holds examples of different shapes: {sorted(shapes)[:5]}")
    return np.stack(arrays) if arrays else np.empty(0)


def _plain(item: Any) -> Any:
    if isinstance(item, list | tuple) or hasattr(item, "getbands"):
        return np.asarray(item)
    return item


def _table(table: Table, spec: DataSpec) -> Admitted:
    if len(spec.shape) > 1:
        what = "pictures" if spec.is_image else "series"
        raise ValueError(f"{table.name} is a table; the run's data are {what} {spec.shape}")
    array, notes = like(table, spec)
    admitted = _checked(torch.from_numpy(array), spec, table.name)
    return admitted._replace(notes=(*notes, *admitted.notes))


def _in_order(array: Array, spec: DataSpec, name: str) -> Array:
    """(N, *spec.shape), from one example or several with their axes in any known order.

    Raises:
        ValueError: if the shape is of no such example.
    """
    shape = spec.shape
    channels = 1 if spec.background == "alpha" else 3
    rgba = (*shape[1:], 4)
    if spec.is_image and shape[0] == channels and array.shape[-3:] == rgba and array.ndim in (3, 4):
        array = _on_background(array, spec, name)
    # One example first: (28, 28) is one grey picture, not 28 vectors.
    orders: list[tuple[tuple[int, ...], int | None]] = [(shape, None)]
    if spec.is_image:
        last = (*shape[1:], shape[0])
        orders += [(last, -1)] if shape != last or shape[0] > 1 else []
        orders += [(shape[1:], 0)] if shape[0] == 1 else []
    if spec.is_series and shape[1] == 1:
        orders += [(shape[:1], None)]
    for lead in (0, 1):
        for form, channel in orders:
            if array.ndim == len(form) + lead and array.shape[lead:] == form:
                rows = array if lead else array[None]
                if channel == -1:
                    rows = np.moveaxis(rows, -1, 1)
                return rows.reshape(len(rows), *shape)
    forms = " or ".join(f"(N, {', '.join(map(str, form))})" for form, _ in orders)
    raise ValueError(
        f"{name} has the shape {array.shape}; expected one example of shape {shape} or "
        f"several, {forms}"
    )


def _on_background(array: Array, spec: DataSpec, name: str) -> Array:
    """(…, H, W, C) from (…, H, W, 4), laid on the background of the run's data.

    Raises:
        ValueError: if the values are not on the scale of the run's data.
    """
    low, width = spec.offset[0], spec.scale[0]
    least, most = (float(array.min()), float(array.max())) if array.size else (low, low)
    slack = SLACK * width
    fits = spec.bounded and low - slack <= least and most <= low + width + slack
    if not fits or (spec.levels is not None and most <= 1 < width):
        raise ValueError(
            f"{name} has four channels with values from {exact(least)} to {exact(most)}; the run's "
            f"data are {spec.domain} values of {spec.shape[0]} channels from {spec.value_range}, "
            "so the fourth cannot be alpha"
        )
    rgba = array if array.ndim == 4 else array[None]
    if low == 0:
        laid = opaque(rgba, spec.background, width, strict=False)[0]
    else:
        laid = opaque((rgba - low) / width, spec.background, 1, strict=False)[0] * width + low
    return laid if array.ndim == 4 else laid[0]


def _checked(raw: Raw, spec: DataSpec, name: str) -> Admitted:
    """Rows (N, *spec.shape) of a type and with values that the run's data can have."""
    if raw.shape[1:] != spec.shape:
        raise ValueError(
            f"{name} has the shape {tuple(raw.shape)}; expected one example of shape "
            f"{spec.shape} or several, (N, {', '.join(map(str, spec.shape))})"
        )
    if not len(raw):
        return Admitted(_as(raw, spec))
    low, high, off, start = np.inf, -np.inf, 0.0, 0
    for piece in pieces(raw):
        begun, start = start, start + len(piece)
        if piece.is_floating_point():
            usable = piece.isfinite() | (piece.isnan() if spec.missing else False)
            if not usable.all():
                row = begun + int((~usable.flatten(1)).any(1).nonzero()[0])
                raise ValueError(
                    f"{name}: row {row} holds {_unusable(spec)}; leave it out or fill them in"
                )
            piece = piece[~piece.isnan()] if spec.missing else piece
            if not piece.numel():
                continue
            off = max(off, float((piece - piece.round()).abs().max()))
        ends = torch.aminmax(piece)
        low, high = min(low, float(ends.min)), max(high, float(ends.max))
    if spec.levels is not None:
        admitted = _levels(raw, spec, name, low, high, off)
    elif spec.domain == "unit":
        admitted = _unit(raw, spec, name, low, high)
    else:
        admitted = _numbers(raw, spec, name)
    doubts = _scale_doubts(admitted.rows, spec, name, low, high)
    return admitted._replace(changes=(*admitted.changes, *doubts))


def _unusable(spec: DataSpec) -> str:
    if spec.missing:
        return "infinite values"
    if len(spec.shape) > 1:
        return "NaN or infinite values"
    return (
        "NaN or infinite values (a run whose data were loaded with "
        f"{option('missing', 'expect')} takes NaN as missing)"
    )


def _numbers(raw: Raw, spec: DataSpec, name: str) -> Admitted:
    raw = _as(raw, spec)
    changes: tuple[str, ...] = ()
    if spec.columns and not isinstance(raw, Rows):
        rounded = torch.where(_whole_columns(spec), raw.round(), raw)
        off = float((raw - rounded).abs().nan_to_num(0.0).max())
        if 0 < off <= NEAR:
            raw = rounded
            changes = (f"{name}: values within {off:.2g} of whole numbers were rounded",)
    if spec.columns:
        try:
            check_columns(raw, spec.columns, [h.name for h in spec.headings])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return Admitted(raw, (), changes)


def _whole_columns(spec: DataSpec) -> torch.Tensor:
    """(D,) or (1,), bool, the columns of whole numbers."""
    return torch.tensor([column.kind not in NUMBERS for column in spec.columns])


def _scale_doubts(rows: Raw, spec: DataSpec, name: str, low: float, high: float) -> tuple[str, ...]:
    """A note on values that may be on another scale than the run's data."""
    trained = f"those of the training rows were from {spec.value_range}"
    if _one_sided(rows, spec, low):
        return (f"{name}: no value is below 0, so they may be on another scale; {trained}",)
    if spec.bounded:
        part = (high - low) / spec.scale[0]
        if 0 < part < min(_SMALL_PART, (spec.high - spec.low) / spec.scale[0] / 10):
            ends = f"{exact(low)} to {exact(high)}"
            return (f"{name}: values from {ends} may be on another scale; {trained}",)
        return ()
    offset, scale = torch.tensor(spec.offset), torch.tensor(spec.scale)
    kinds = [
        spec.columns[j % len(spec.columns)].kind if spec.columns else "real"
        for j in range(len(offset))
    ]
    logs = torch.tensor([kind == "positive" for kind in kinds])
    judged = torch.tensor([kind not in ("binary", "categories") for kind in kinds])
    sums = torch.zeros(3, len(offset), dtype=torch.float64)
    for piece in pieces(rows):
        x = piece.float().reshape(-1, len(offset))
        x = torch.where(logs, x.clamp(min=1e-38).log(), x) if logs.any() else x
        z = ((x - offset) / scale).double()
        sums += torch.stack([z.nansum(0), z.square().nansum(0), (~z.isnan()).sum(0)])
    count = sums[2]
    if float(count.max()) < _SEVERAL or low == high:
        return ()
    mean, square = sums[:2] / count.clamp(min=1)
    away, spread = square.sqrt(), (square - mean**2).clamp(min=0).sqrt()
    judged = judged & (scale != 1) & (count >= _SEVERAL)
    far, close = judged & (away > _FAR), judged & (spread < _CLOSE)[judged].all()
    if not (far | close).any():
        return ()
    j = int((far | close).nonzero()[0])
    where = f" of column {spec.headings[j].name}" if len(offset) == spec.dims > 1 else ""
    unlike = (
        f"on average {float(away[j]):.2g} deviations from the mean of the training rows"
        if far[j]
        else f"their deviation is {float(spread[j]):.2g} of that of the training rows"
    )
    return (
        f"{name}: values{where} may be on another scale: {unlike}; here {exact(low)} to "
        f"{exact(high)}, {trained}",
    )


def _one_sided(rows: Raw, spec: DataSpec, low: float) -> bool:
    """True if no value is below 0 though many should be, as in pictures on [0, 1] for [−1, 1]."""
    if low < 0 or spec.low >= 0 or (len(rows) < _SEVERAL and low > 0):
        return False
    if spec.bounded:
        return spec.offset[0] < 0
    centred = sum(abs(o) < s / 2 for o, s in zip(spec.offset, spec.scale, strict=True))
    numbers = len(rows) * spec.dims * centred / len(spec.offset)
    return numbers * _NEGATIVE >= _EXPECTED


def _levels(raw: Raw, spec: DataSpec, name: str, low: float, high: float, off: float) -> Admitted:
    assert spec.levels is not None
    top, whole = spec.levels - 1, off == 0
    near = off <= NEAR and low >= -NEAR and 0.5 < high <= top + NEAR
    if near and not whole and not isinstance(raw, Rows):
        note = f"{name}: values within {off:.2g} of whole numbers were rounded to these"
        return Admitted(raw.round().to(torch.uint8), (), (note,))
    # Means, as samples and reconstructions are, have fractions; but not what was scaled to [0, 1].
    means = not whole and high > 1 and top > 1
    if low < 0 or high > top or not (whole or means):
        scaled = low >= 0 and high <= 1 < top
        hint = f"; if these are on [0, 1], multiply them by {top}" if scaled else ""
        raise ValueError(
            f"{name} has values from {exact(low)} to {exact(high)}; the run's data are whole "
            f"numbers from 0 to {top}{hint}"
        )
    return Admitted(_as(raw, spec) if whole else raw.float())  # type: ignore[union-attr]


def _unit(raw: Raw, spec: DataSpec, name: str, low: float, high: float) -> Admitted:
    least, most = spec.offset[0], spec.offset[0] + spec.scale[0]
    slack = SLACK * spec.scale[0]
    if low < least - slack or high > most + slack:
        raise ValueError(
            f"{name} has values from {exact(low)} to {exact(high)}; the run's data lie in "
            f"[{least:g}, {most:g}]"
        )
    if low >= least and high <= most:
        return Admitted(_as(raw, spec))
    beyond = [exact(v) for v, out in ((low, low < least), (high, high > most)) if out]
    note = f"{name}: values up to {' and '.join(beyond)} were clipped to [{least:g}, {most:g}]"
    raw = _as(raw, spec)
    raw = replace(raw, clip=(least, most)) if isinstance(raw, Rows) else raw.clamp(least, most)
    return Admitted(raw, (), (note,))


def _as(raw: Raw, spec: DataSpec) -> Raw:
    kind = torch.uint8 if spec.levels is not None else torch.float32
    if isinstance(raw, Rows):
        return replace(raw, kind=np.dtype(np.uint8 if kind == torch.uint8 else np.float32))
    return raw.to(kind)


def is_path(raw: Any) -> bool:
    """True for the name of something on disk, or of rows of the run's own data."""
    return isinstance(raw, str | os.PathLike)
