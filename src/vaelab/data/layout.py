"""Arrays as rows: the order of axes, integer levels, and the meaning of a fourth channel.

(N, D) are tables; (N, H, W), (N, H, W, C) and (N, C, H, W) are pictures and come out as
(N, C, H, W); (N, T, C) are series of T steps and C channels, and stay as they are. Values with
levels come out as uint8, all others as float32:

    uint8 of any shape          levels, for nobody keeps a table of measurements so
    0 and 1 of any type         two levels
    whole 0–255 in pictures     levels, whatever type they are kept in
    uint16 in pictures          the interval 0 to 65,535
    whole numbers in a table    numbers: counts if none is negative (see `measure`)

A fourth channel is alpha only on the last axis and only among bytes or values of [0, 1].
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from vaelab.data.loading.mapped_rows import Array, Raw, Rows, forward
from vaelab.utils.options import option

from .statistics import interval

KINDS = ("auto", "table", "images", "series")
_FEW, _THIN = 8, 4
"""Channels of series, at most, that are in another order; and that no picture is as thin as."""
_UNLIKE = 3
"""The ratio of deviations, or the distance of means in deviations, of unlike channels."""
_LOOKED_AT = 1000

BACKGROUNDS = ("white", "black", "alpha", "keep")
_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}
BLANK = 1e-3
"""Variance that a picture keeps at least on its background, as a share of that of its alpha."""


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
    values = _values(array)
    notes += values.notes
    if mapped:
        notes += (f"its {array.nbytes / 1e9:.1f} GB stay in the file, read as they are needed",)
        return Laid(Rows(array, values.kind, None, values.clip), notes, values.lost, values.ends)
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
    reason = None if kind == "images" else _series(array)
    n, steps, channels = array.shape
    if reason:
        as_pictures = option("kind", "images")
        return array, (
            f"read as {n:,} series of {steps} steps of {channels} channels ({reason}), each "
            f"channel with its own scale; {as_pictures} reads grey pictures {steps} × {channels}",
        )
    thin = kind == "auto" and channels <= _THIN < steps
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
    some = array[:: max(1, len(array) // _LOOKED_AT)].astype(np.float64)
    with np.errstate(invalid="ignore"):
        least, most = float(some.min()), float(some.max())
        whole = bool((some == np.rint(some)).all())
        if interval(least, most, True) or (whole and least >= 0 and most <= 255):
            return None
        if _unlike(some, 2):
            return "its channels are of unlike scales"
        if _unlike(some, 1) and array.shape[1] <= _FEW:
            raise ValueError(
                f"{array.shape} looks like series with their channels first, whose scales are "
                "unlike; series are (N, T, C): x.transpose(0, 2, 1). If these are pictures, give "
                f"{option('kind', 'images')}"
            )
    if array.shape[2] <= _THIN < array.shape[1]:
        return "its last axis is short and its values have no bounds"
    return None


def _unlike(x: Array, axis: int) -> bool:
    """True if slices along an axis have unlike deviations or means."""
    if x.shape[axis] < 2:
        return False
    others = tuple(i for i in range(3) if i != axis)
    mean, deviation = x.mean(others), x.std(others)
    if not deviation.all():
        return False
    wide = deviation.max() / deviation.min() > _UNLIKE
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
        array, more = _without_alpha(array, background)
        notes += more
    return array.transpose(0, 3, 1, 2), notes


def _without_alpha(array: Array, background: str) -> tuple[Array, tuple[str, ...]]:
    """(N, H, W, C) without the fourth of four channels, if it can be alpha."""
    whole = array.dtype == np.uint8 or bool((array == np.rint(array)).all())
    least, most = array.min(), array.max()
    if not (least >= 0 and most <= (255 if whole and most > 1 else 1)):
        return array, ("its four channels are kept: values below 0 or above 1 are no alpha",)
    full = 255 if whole and most > 1 else 1
    return opaque(array, background, full)


def opaque(
    rgba: Array, background: str = "white", full: float = 255, strict: bool = True
) -> tuple[Array, tuple[str, ...]]:
    """Pictures without their alpha.

    Args:
        rgba: (N, H, W, 4).
        background: `"white"`, `"black"` or "#rrggbb", which shows through; `"alpha"`, the alpha
            itself as a grey picture; `"keep"`, all four channels.
        full: value of white and of opaque.
        strict: refuse blank pictures.

    Returns:
        Pictures (N, H, W, C), and notes.

    Raises:
        ValueError: for another background, or if alpha carries the pictures, which would be blank.
    """
    colour = _colour(background)
    if colour is None:
        if background == "keep":
            return rgba, ("the fourth channel is kept",)
        return rgba[..., 3:], ("the alpha channel was read as a grey picture",)
    alpha = rgba[..., 3:]
    if (alpha == full).all():
        return rgba[..., :3], ("the fourth channel (alpha) is opaque and was left out",)
    laid = _laid_on(rgba, colour, full)
    if strict and laid.var() < BLANK * alpha.var():
        raise ValueError(blank(background))
    return laid, (f"transparent parts (alpha) were laid on {background}",)


def blank(background: str) -> str:
    """The message on pictures that are blank on a background, with the options that keep them."""
    other = "black" if background == "white" else "white"
    return (
        f"alpha carries the pictures: on {background} they are blank. Choose "
        f"{option('background', other)} to lay them on another colour, "
        f"{option('background', 'alpha')} to read the alpha as grey pictures, or "
        f"{option('background', 'keep')} for all four channels"
    )


def _laid_on(rgba: Array, colour: tuple[int, int, int], full: float) -> Array:
    below = np.array(colour, np.float64) / 255 * full
    share = rgba[..., 3:].astype(np.float64) / full
    laid = rgba[..., :3] * share + below * (1 - share)
    return np.rint(laid).astype(rgba.dtype) if full == 255 else laid.astype(rgba.dtype)


def _colour(background: str) -> tuple[int, int, int] | None:
    """Red, green and blue; None for alpha and keep.

    Raises:
        ValueError: for anything else.
    """
    if background in ("alpha", "keep"):
        return None
    if background in _COLOURS:
        return _COLOURS[background]
    try:
        if len(background) == 7 and background[0] == "#":
            red, green, blue = bytes.fromhex(background[1:])
            return red, green, blue
    except ValueError:
        pass
    raise ValueError(
        f"background is {background!r}; expected {', '.join(BACKGROUNDS)}, or a colour as #rrggbb"
    )


class _Values(NamedTuple):
    kind: np.dtype[Any]
    notes: tuple[str, ...] = ()
    lost: bool = False
    clip: tuple[float, float] | None = None
    ends: tuple[float, float] | None = None


def _values(array: Array) -> _Values:
    """uint8 if the values have levels, else float32; and how they are brought to that."""
    byte, real = np.dtype(np.uint8), np.dtype(np.float32)
    if array.dtype == byte:
        return _Values(byte)
    low, high, binary, whole, lost = np.inf, -np.inf, True, True, False
    for _, piece in forward(array):
        # Of numpy, these keep a nan; the built-in min and max lose it.
        low, high = np.minimum(low, piece.min()), np.maximum(high, piece.max())
        binary = binary and bool(((piece == 0) | (piece == 1)).all())
        fractions = piece[piece != np.rint(piece)]
        whole = whole and not fractions.size
        with np.errstate(over="ignore"):
            lost = lost or bool((np.rint(fractions.astype(real)) == fractions.astype(real)).any())
    if not (np.isfinite(low) and np.isfinite(high)):
        _check_finite(array, array.dtype, "in the array")
    bytes_too = low >= 0 and high <= 255 and whole
    picture = array.ndim == 4
    if binary or (bytes_too and picture):
        return _Values(byte)
    with np.errstate(over="ignore"):
        if not np.isfinite(np.array([low, high]).astype(real)).all():
            _check_finite(array, real, "as 32-bit floats")
    if picture and array.dtype == np.uint16:
        top = deep_top(float(high))
        note = f"16-bit values {low} to {high} are on the interval 0 to {top:,.0f}"
        return _Values(real, (note,), lost, None, (0.0, top))
    ends = None if array.ndim == 3 else interval(float(low), float(high), picture)
    notes: tuple[str, ...] = ()
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
    if array.ndim == 2 and bytes_too:
        notes += (_grey_note(array),)
    return _Values(real, notes, lost, clip)


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


def exact(value: float) -> str:
    """A number as a 32-bit float is written, no more rounded than it was tested.

    >>> exact(1.0000005), exact(16.0), exact(-0.25)
    ('1.0000005', '16', '-0.25')
    """
    text = str(np.float32(value)) if abs(value) < 1e6 else f"{value:.9g}"
    return text.removesuffix(".0")


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
