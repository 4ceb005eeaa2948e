"""Arrays as rows: the order of axes, and integer levels.

(N, D) are tables; (N, H, W), (N, H, W, C) and (N, C, H, W) are pictures and come out as
(N, C, H, W); (N, T, C) are series of T steps and C channels, and stay as they are. Values with
levels come out as uint8, all others as float32:

    uint8 of any shape          levels, for nobody keeps a table of measurements so
    0 and 1 of any type         two levels
    whole 0–255 in pictures     levels, whatever type they are kept in
    uint16 in pictures          the interval 0 to 65,535
    whole numbers in a table    numbers: counts if none is negative (see `measure`)
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from vaelab.data.loading.mapped_rows import Array, Raw, Rows, forward
from vaelab.utils.options import option
from vaelab.utils.text import exact

from .alpha import without_alpha
from .statistics import interval

KINDS = ("auto", "table", "images", "series")
_FEW, _THIN = 8, 4
"""Channels of series, at most, that are in another order; and that no picture is as thin as."""
_UNLIKE = 3
"""The ratio of deviations, or the distance of means in deviations, of unlike channels."""
_LOOKED_AT = 1000

NEAR = 1e-4
"""The distance from a whole number that is rounding."""
_OVER = 0.2
"""The share of its width that values lie beyond an interval at most after a resize."""
_OVER_SHARE = 0.4
"""The share of values that do."""


class Laid(NamedTuple):
    """Rows with their axes in order.

    Attributes:
        x: (N, D), (N, T, C) or (N, C, H, W), uint8 or float32.
        notes: on what was changed or could be read otherwise.
        lost: values are whole that had fractions before they were 32-bit floats.
        ends: ends of the interval that values lie in, if their type says so.
    """

    x: Raw
    notes: tuple[str, ...] = ()
    lost: bool = False
    ends: tuple[float, float] | None = None


def lay_out(
    array: Array, kind: str = "auto", background: str = "white", mapped: bool = False
) -> Laid:
    """Check an array and bring it to rows.

    Args:
        array: numbers, with the rows on the first axis.
        kind: `"table"`, `"images"` or `"series"`; `"auto"` to find it out.
        background: background of pictures with alpha, see `opaque`.
        mapped: leave the rows in the file that the array is mapped from.

    Raises:
        ValueError: for a wrong number of axes or type, no values, NaN or infinity.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if array.dtype.kind not in "buif":
        raise ValueError(
            f"numbers are expected, not an array of {array.dtype} (its first entry is "
            f"{array.ravel()[0] if array.size else None!r})"
        )
    if array.size == 0:
        raise ValueError(f"the array is empty: its shape is {array.shape}")
    array, notes = _in_order(array, kind, background, mapped)
    values = _values(array, mapped)
    notes += values.notes
    if mapped:
        notes += (f"its {array.nbytes / 1e9:.1f} GB stay in the file, read as they are needed",)
        return Laid(Rows(array, values.kind, None, values.clip), notes, values.lost, values.ends)
    if values.near:
        array = np.rint(array)
    if values.clip is not None:
        array = array.clip(*values.clip)
    array = np.ascontiguousarray(array, values.kind)
    x = torch.from_numpy(array if array.flags.writeable else array.copy())
    return Laid(x, notes, values.lost, values.ends)


def _in_order(
    array: Array, kind: str, background: str, mapped: bool
) -> tuple[Array, tuple[str, ...]]:
    """(N, D), (N, T, C) or (N, C, H, W); and notes."""
    expected = {"table": (2,), "series": (2, 3), "images": (3, 4), "auto": (2, 3, 4)}[kind]
    if array.ndim not in expected:
        raise ValueError(
            f"an array of {array.ndim} axes, {array.shape}, was seen; expected "
            f"{_EXPECTED[kind]}. Join axes that are none of these, as depth to channels: "
            "x.reshape(len(x), -1, height, width)"
        )
    if array.ndim == 2:
        return (array[:, :, None] if kind == "series" else array), ()
    if array.ndim == 4:
        return _pictures(array, background, mapped)
    if kind == "series":
        return array, ()
    n, steps, channels = array.shape
    if kind == "auto" and (reason := _series(array)):
        as_pictures = option("kind", "images")
        return array, (
            f"read as {n:,} series of {steps} steps of {channels} channels ({reason}), each "
            f"channel with its own scale; {as_pictures} reads grey pictures {steps} × {channels}",
        )
    thin = kind == "auto" and (channels <= _THIN < steps or not _in_known_range(array))
    note = f"read as grey pictures {steps} × {channels}; {option('kind', 'series')} reads series"
    return array[:, None], (note,) if thin else ()


_EXPECTED = {
    "table": "(N, D) vectors",
    "series": "(N, T, C) series of T steps",
    "images": "(N, H, W), (N, H, W, C) or (N, C, H, W) images",
    "auto": "(N, D) vectors, (N, T, C) series, or (N, H, W), (N, H, W, C) or (N, C, H, W) images",
}


def _series(array: Array) -> str | None:
    """The reason why (N, T, C) are series rather than pictures, if there is one.

    Raises:
        ValueError: if they look like series whose axes are in another order.
    """
    if array.dtype.kind == "b" or array.dtype == np.uint8:
        return None
    if _in_known_range(array):
        return None
    with np.errstate(invalid="ignore"):
        some = _some(array)
        unlike_channels, unlike_steps = _unlike(some, 2), _unlike(some, 1)
        steps, channels = array.shape[1:]
        if _overshoot(some, float(some.min()), float(some.max())):
            return None
        # Pictures that are dark at their edges are unlike in the same way.
        near_square = channels > _FEW and channels <= 2 * steps <= 4 * channels
        if unlike_channels and (near_square or steps == channels > _THIN):
            raise ValueError(
                f"{array.shape} may be pictures {steps} × {channels} or series of {steps} "
                f"steps: give {option('kind', 'images')}, or {option('kind', 'series')} with a "
                "scale for each channel"
            )
        if unlike_channels:
            return "its channels are of unlike scales"
        if unlike_steps and array.shape[1] <= _FEW:
            raise ValueError(
                f"{array.shape} looks like series with their channels first, whose scales are "
                "unlike; series are (N, T, C): x.transpose(0, 2, 1). If these are pictures, give "
                f"{option('kind', 'images')}"
            )
    if array.shape[2] <= _THIN < array.shape[1]:
        return "its last axis is short and its values have no bounds"
    return None


def _some(array: Array) -> Array:
    """Some rows, float64."""
    return array[:: max(1, len(array) // _LOOKED_AT)].astype(np.float64)


def _in_known_range(array: Array) -> bool:
    """True if values are as those of pictures: bytes, or in a known interval."""
    if array.dtype.kind == "b" or array.dtype == np.uint8:
        return True
    some = _some(array)
    with np.errstate(invalid="ignore"):
        least, most = float(some.min()), float(some.max())
        off = float(np.abs(some - np.rint(some)).max())
    whole = off <= NEAR and least >= -NEAR and 0.5 < most <= 255 + NEAR
    return whole or interval(least, most, True) is not None


def _unlike(x: Array, axis: int) -> bool:
    """True if slices along an axis have unlike deviations or means."""
    if x.shape[axis] < 2:
        return False
    others = tuple(i for i in range(3) if i != axis)
    mean, deviation = x.mean(others), x.std(others)
    moving = deviation[deviation > 0]
    if not len(moving):
        return False
    wide = moving.max() / moving.min() > _UNLIKE
    return bool(wide or mean.max() - mean.min() > _UNLIKE * deviation.max())


def _pictures(array: Array, background: str, mapped: bool) -> tuple[Array, tuple[str, ...]]:
    """(N, C, H, W) from four axes of either order."""
    first, last = array.shape[1], array.shape[3]
    colours = (1, 3, 4)
    notes: tuple[str, ...] = ()
    if (first in colours) != (last in colours):
        is_first = first in colours
    else:
        # Pictures are more often square than not.
        square_first, square_last = array.shape[2] == last, array.shape[2] == first
        is_first = square_first if square_first != square_last else first <= last
        order = "(N, C, H, W)" if is_first else "(N, H, W, C)"
        notes = (f"{array.shape} was read as {order}: {first if is_first else last} channels",)
    if is_first:
        return array, notes
    if last == 4 and not mapped:
        array, more = without_alpha(array, background)
        notes += more
    return array.transpose(0, 3, 1, 2), notes


class _Values(NamedTuple):
    kind: np.dtype[Any]
    notes: tuple[str, ...] = ()
    lost: bool = False
    clip: tuple[float, float] | None = None
    ends: tuple[float, float] | None = None
    near: bool = False


def _values(array: Array, mapped: bool) -> _Values:
    """uint8 if the values have levels, else float32; and how they are brought to that."""
    byte, real = np.dtype(np.uint8), np.dtype(np.float32)
    if array.dtype == byte:
        return _Values(byte)
    low, high, binary, whole, lost, off = np.inf, -np.inf, True, True, False, 0.0
    for _, piece in forward(array):
        # Of numpy, these keep a nan; the built-in min and max lose it.
        low, high = np.minimum(low, piece.min()), np.maximum(high, piece.max())
        binary = binary and bool(((piece == 0) | (piece == 1)).all())
        fractions = piece[piece != np.rint(piece)]
        whole = whole and not fractions.size
        with np.errstate(over="ignore", invalid="ignore"):
            off = max(off, float(np.abs(fractions - np.rint(fractions)).max(initial=0)))
            lost = lost or bool((np.rint(fractions.astype(real)) == fractions.astype(real)).any())
    if not (np.isfinite(low) and np.isfinite(high)):
        _check_finite(array, array.dtype, "in the array")
    picture = array.ndim == 4
    notes: tuple[str, ...] = ()
    near = not (whole or mapped) and array.ndim != 3 and _near_whole(array, low, high, off)
    if near:
        notes = (f"values within {off:.2g} of whole numbers were rounded to these",)
        low, high, whole, lost = np.rint(low) + 0.0, np.rint(high), True, False
        binary = high == 1
    bytes_too = low >= 0 and high <= 255 and whole
    if binary or (bytes_too and picture):
        return _Values(byte, notes, near=near)
    with np.errstate(over="ignore"):
        if not np.isfinite(np.array([low, high]).astype(real)).all():
            _check_finite(array, real, "as 32-bit floats")
    if picture and array.dtype == np.uint16:
        top = deep_top(float(high))
        note = f"16-bit values {low} to {high} are on the interval 0 to {top:,.0f}"
        return _Values(real, (note,), lost, None, (0.0, top))
    ends = None if array.ndim == 3 else interval(float(low), float(high), picture)
    clip = None
    if ends is not None and not whole:
        if low < ends[0] or high > ends[1]:
            clip = ends
            beyond = [
                exact(float(v)) for v, out in ((low, low < ends[0]), (high, high > ends[1])) if out
            ]
            notes = (
                f"values up to {' and '.join(beyond)} were clipped to [{ends[0]:g}, {ends[1]:g}]",
            )
        if ends[1] == 255:
            notes += ("fractions of grey values: on the interval 0 to 255",)
    if picture and ends is None:
        notes += _overshoot(array, float(low), float(high))
    if array.ndim == 2 and bytes_too:
        notes += (_grey_note(array),)
    return _Values(real, notes, lost, clip, near=near)


def _near_whole(array: Array, low: float, high: float, off: float) -> bool:
    """True for whole numbers from 0 but for rounding, as 254.99999; not for what is merely small.

    Args:
        array: pictures or a table.
        low: least value.
        high: greatest value.
        off: greatest distance of a value from a whole number.
    """
    if not 0 < off <= NEAR or low < -NEAR:
        return False
    if array.ndim == 4:
        return bool(0.5 < high <= 255 + NEAR)
    if not 1.5 < high <= 65535 + NEAR:
        return False
    large = array.max(0) > 0.5
    by_column = np.abs(array - np.rint(array)).max(0)
    return bool(by_column[~large].max(initial=0) <= 4 * by_column[large].max())


def _overshoot(array: Array, low: float, high: float) -> tuple[str, ...]:
    """A note on pictures of which a few values are a little beyond a known interval."""
    for least, most in ((0, 1), (-1, 1), (0, 255)):
        slack = _OVER * (most - least)
        if least - slack <= low and high <= most + slack and high - low >= most - least:
            share = float(((array < least) | (array > most)).mean())
            if share < _OVER_SHARE:
                return (
                    f"{share:.1%} of the values lie beyond [{least}, {most}], as after a resize: "
                    f"{exact(low)} to {exact(high)}; read as unbounded, "
                    f"x.clip({least}, {most}) brings them back",
                )
    return ()


def deep_top(most: float) -> float:
    """The greatest value of 10, 12, 14 or 16 bits, the fewest that hold `most`."""
    return float(next(top for top in (1023, 4095, 16383, 65535) if most <= top))


def _grey_note(array: Array) -> str:
    """A note on a table of whole numbers that may be levels of pictures."""
    width, hint = array.shape[1], ""
    for channels, shape in ((1, "{0}, {0}"), (3, "{0}, {0}, 3")):
        side = math.isqrt(width // channels)
        if side > 1 and channels * side * side == width:
            hint = f"; if they are pictures {side} × {side}, x.reshape(-1, {shape.format(side)})"
            break
    return (
        f"the whole numbers of this {array.dtype} table are taken for counts; if they are "
        f"levels, such as grey values, save them as uint8{hint}"
    )


def _check_finite(array: Array, kind: np.dtype[Any], where: str) -> None:
    count = nans = 0
    first: tuple[int, ...] = ()
    for start, piece in forward(array):
        values = piece.astype(kind)
        wrong = ~np.isfinite(values)
        if wrong.any() and not first:
            row, *place = (int(i) for i in np.argwhere(wrong)[0])
            first = (start + row, *place)
        count, nans = count + int(wrong.sum()), nans + int(np.isnan(values).sum())
    if count:
        raise ValueError(
            f"{nans:,} NaN and {count - nans:,} infinite values {where}, the first in row "
            f"{first[0]} at {first[1:]}; leave these rows out or fill the values in"
        )
