"""Pictures with alpha: the channel that can be alpha, and the background under it."""

from collections.abc import Sequence

import numpy as np

from vaelab.data.loading.mapped_rows import Array
from vaelab.utils.options import option
from vaelab.utils.text import exact

BACKGROUNDS = ("white", "black", "alpha", "keep")
_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}
_OPAQUE = 0.99
"""The least maximum of floats that are alpha."""
BLANK = 1e-3
"""Variance that a picture keeps at least on its background, as a share of that of its alpha."""


def without_alpha(array: Array, background: str) -> tuple[Array, tuple[str, ...]]:
    """(N, H, W, C) without the fourth of four channels, if it can be alpha."""
    whole = array.dtype == np.uint8 or bool((array == np.rint(array)).all())
    least, most = float(array.min()), float(array.max())
    if not (least >= 0 and most <= (255 if whole and most > 1 else 1)):
        ends = f"values from {exact(least)} to {exact(most)} are neither bytes nor on [0, 1]"
        return array, (f"its four channels are kept: {ends}, as alpha is",)
    full = 255 if whole and most > 1 else 1
    if not whole and array[..., 3].max() < _OPAQUE:
        note = "its four channels are kept: the fourth is nowhere opaque (1), as alpha is"
        return array, (note,)
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
    notes: tuple[str, ...] = ()
    if strict:
        variances = (x.reshape(len(x), -1).var(1) for x in (laid, alpha))
        notes = blank_notes(list(zip(*variances, strict=True)), len(rgba), background)
    keep = option("background", "keep")
    note = f"transparent parts (alpha) were laid on {background}; {keep} keeps alpha"
    return laid, (note, *notes)


def blank_notes(
    variances: Sequence[tuple[float, float]], count: int, background: str
) -> tuple[str, ...]:
    """A note on pictures that are blank on a background, as their alpha carries them.

    Args:
        variances: variances of each picture with alpha, on the background and of its alpha.
        count: number of all pictures.
        background: that they are laid on.

    Raises:
        ValueError: if these are most of the pictures; names the options that keep them.
    """
    blank = sum(laid < BLANK * alpha for laid, alpha in variances)
    if not blank:
        return ()
    other = "black" if background == "white" else "white"
    message = (
        f"alpha carries {blank:,} of {count:,} pictures: on {background} they are blank. Choose "
        f"{option('background', other)} to lay them on another colour, "
        f"{option('background', 'alpha')} to read the alpha as grey pictures, or "
        f"{option('background', 'keep')} for all four channels"
    )
    if 2 * blank > count:
        raise ValueError(message)
    return (message,)


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
