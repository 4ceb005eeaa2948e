"""One example, one cell: images as enlarged pixels, vectors as strips of colour.

Value v in [0, 1] becomes the byte round(255 · min(max(v, 0), 1)), for every picture alike: no
image is stretched to its own range, so equal greys are equal values.
"""

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from vaelab.plots.style import SEQUENTIAL

Array = NDArray[np.generic]
Bytes = NDArray[np.uint8]

CELL = 60  # pixels: an image is enlarged by the whole number that comes nearest
STRIP_HEIGHT, STRIP_WIDTH, STRIP_COLUMN = 14, 480, 16
PAPER = (255, 255, 255, 0)  # transparent, and white where a viewer ignores transparency


def to_bytes(values: Array) -> Bytes:
    """[0, 1] to 0–255, rounded and clipped; uint8 is taken as it is, booleans as black and white.

    >>> to_bytes(np.array([-0.02, 0.5, 1.01])).tolist()
    [0, 128, 255]

    Raises:
        ValueError: a value is NaN.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    floats = values.astype(np.float64)
    missing = int(np.isnan(floats).sum())
    if missing:
        raise ValueError(
            f"{missing} of {floats.size} values of the picture are NaN; "
            "the model that made them may have diverged: lower its learning rate"
        )
    return np.floor(255.0 * np.clip(floats, 0.0, 1.0) + 0.5).astype(np.uint8)


def _planes(images: Array, scale: int | None) -> Bytes:
    n, c, h, w = images.shape
    if c not in (1, 3):  # no colour has two or four channels: the planes side by side, in grey
        images = images.transpose(0, 2, 1, 3).reshape(n, 1, h, c * w)
    factor = max(1, round(CELL / max(h, w))) if scale is None else scale
    if factor < 1:
        raise ValueError(f"scale is {factor}; expected a whole number from 1")
    pixels = to_bytes(images).transpose(0, 2, 3, 1)
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    rgb = np.broadcast_to(pixels, (*pixels.shape[:3], 3))
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1)


def _strip_cells(x: Array, span: tuple[float, float] | None) -> Bytes:
    values = x.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = span or ((finite.min(), finite.max()) if finite.size else (0.0, 1.0))
    unit = (values - low) / (high - low) if high > low else np.where(np.isnan(values), np.nan, 0.5)
    # NaN, a value that is missing, is left open like the paper.
    colours = colormaps[SEQUENTIAL](np.ma.masked_invalid(unit.clip(0, 1)), bytes=True)
    colours = np.where(np.isnan(unit)[..., None], np.array(PAPER, np.uint8), colours)
    width = max(1, min(STRIP_COLUMN, STRIP_WIDTH // x.shape[1]))
    return colours.astype(np.uint8)[:, None].repeat(STRIP_HEIGHT, axis=1).repeat(width, axis=2)


def cells(x: Array, scale: int | None = None, span: tuple[float, float] | None = None) -> Bytes:
    """Every example as a cell of RGBA bytes.

    Args:
        x: (N, C, H, W) images in [0, 1] (or uint8 in 0–255), or (N, D) vectors.
        scale: images: pixels a side for each pixel; by default such that the longer side comes
            near 60.
        span: vectors: values at the two ends of the colour map; by default those of `x`.

    Returns:
        (N, h, w, 4).

    Raises:
        ValueError: another number of axes, an empty example, an image with NaN, a scale below 1.
    """
    if x.ndim not in (2, 4) or 0 in x.shape[1:]:
        raise ValueError(
            f"a picture needs images (N, C, H, W) or vectors (N, D); got shape {x.shape}"
        )
    return _planes(x, scale) if x.ndim == 4 else _strip_cells(x, span)
