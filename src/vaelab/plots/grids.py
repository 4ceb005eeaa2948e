"""Sample grids, reconstructions, traversals and manifolds, exact to the pixel.

Every function takes images (…, C, H, W) in [0, 1] or vectors (…, D) and lays out the same cells
(`cells.py`); the space between them is transparent.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vaelab.plots.captions import INK, TEXT, font
from vaelab.plots.cells import PAPER, Array, Bytes, cells

Span = tuple[float, float]

APART = 6  # times the gap: between blocks that are read one after the other
FADED = 80  # of 255: opacity of what is shown as inactive


def _paper(height: int, width: int) -> Bytes:
    return np.broadcast_to(np.array(PAPER, np.uint8), (height, width, 4)).copy()


def _block(tiles: Bytes, columns: int, gap: int) -> Bytes:
    """(N, h, w, 4) cells, row by row in `columns`."""
    n, h, w, _ = tiles.shape
    lines = max(1, math.ceil(n / columns))
    canvas = _paper(lines * (h + gap) - gap, columns * (w + gap) - gap)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        canvas[top : top + h, left : left + w] = tile
    return canvas


def _beside(blocks: Sequence[Bytes], gap: int) -> Bytes:
    height, width = max(b.shape[0] for b in blocks), sum(b.shape[1] + gap for b in blocks) - gap
    canvas, left = _paper(height, width), 0
    for block in blocks:
        canvas[: block.shape[0], left : left + block.shape[1]] = block
        left += block.shape[1] + gap
    return canvas


def _above(blocks: Sequence[Bytes], gap: int) -> Bytes:
    turned = [block.transpose(1, 0, 2) for block in blocks]
    return _beside(turned, gap).transpose(1, 0, 2)


def _image(canvas: Bytes) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(canvas))


def _some(x: Array) -> None:
    if len(x) == 0:
        raise ValueError("there is nothing to show: the picture was given no examples")


def grid(
    x: Array,
    columns: int | None = None,
    scale: int | None = None,
    gap: int = 2,
    span: Span | None = None,
) -> Image.Image:
    """Examples in reading order.

    Args:
        x: (N, C, H, W) images in [0, 1] (uint8: 0–255), grey or RGB, or (N, D) vectors.
        columns: by default those that make images about as many across as down, vectors one.
        scale: whole number by which images are enlarged, never smoothed; by default to about
            60 pixels.
        gap: transparent pixels between cells.
        span: for vectors, the values at the ends of the colour map.

    Returns:
        An RGBA image.

    Raises:
        ValueError: no examples, another shape, NaN in an image, fewer than one column.
    """
    _some(x)
    if columns is None:
        columns = math.ceil(math.sqrt(len(x))) if x.ndim == 4 else 1
    if columns < 1:
        raise ValueError(f"columns is {columns}; expected 1 or more")
    return _image(_block(cells(x, scale, span), min(columns, len(x)), gap))


def strips(x: Array, span: Span | None = None, gap: int = 2) -> Image.Image:
    """Vectors (N, D) as strips of viridis, one under the other; a missing value stays open.

    `span` gives the values at the ends of the colour map, by default the least and the greatest.
    """
    if x.ndim != 2:
        raise ValueError(f"strips show vectors (N, D); got shape {x.shape}")
    return grid(x, columns=1, gap=gap, span=span)


def picture(x: Array, shape: Sequence[int], columns: int | None = None) -> Image.Image:
    """Examples by the shape of one: a grid for (C, H, W), strips for (D,).

    Args:
        x: (N, *shape), or (N, D) with D the product of `shape`; images in [0, 1].
        shape: shape of one example.
        columns: as for `grid`.
    """
    return grid(x.reshape(len(x), *shape), columns)


def rows(
    x: Sequence[Array],
    leads: Array | None = None,
    scale: int | None = None,
    gap: int = 2,
    span: Span | None = None,
) -> Image.Image:
    """One row for each list of examples: variations or interpolations of several inputs.

    Args:
        x: R arrays (Kᵢ, C, H, W) or (Kᵢ, D); rows may differ in length.
        leads: (R, C, H, W) or (R, D): an original for each row, set apart at its left.
        scale: as for `grid`.
        gap: as for `grid`.
        span: as for `grid`; by default over all rows and originals, which share one scale.

    Raises:
        ValueError: no rows, or as many originals as rows are not given.
    """
    if not x:
        raise ValueError("there is nothing to show: the picture was given no rows")
    if leads is not None and len(leads) != len(x):
        raise ValueError(f"got {len(x)} rows and {len(leads)} originals; expected as many of each")
    lengths = [len(row) for row in x]
    tiles = cells(np.concatenate([*x, leads] if leads is not None else list(x)), scale, span)
    *bodies, heads = np.split(tiles, np.cumsum(lengths))
    body = _above([_block(row, max(lengths), gap) for row in bodies], gap)
    if leads is None:
        return _image(body)
    return _image(_beside([_block(heads, 1, gap), body], APART * gap))


def comparison(
    originals: Array,
    reconstructions: Array,
    columns: int | None = None,
    scale: int | None = None,
    gap: int = 2,
    span: Span | None = None,
) -> Image.Image:
    """Originals above their reconstructions, in as many pairs of rows as it takes.

    Args:
        originals: (N, C, H, W) or (N, D).
        reconstructions: the same shape.
        columns: pairs side by side; by default up to ten images or one vector.
        scale: as for `grid`.
        gap: as for `grid`.
        span: as for `grid`, shared by both.

    Raises:
        ValueError: the two shapes differ, or there is nothing to show.
    """
    if originals.shape != reconstructions.shape:
        raise ValueError(
            f"originals have shape {originals.shape} and reconstructions "
            f"{reconstructions.shape}; expected the same"
        )
    _some(originals)
    n = len(originals)
    across = min(n, columns or (10 if originals.ndim == 4 else 1))
    tiles = cells(np.concatenate([originals, reconstructions]), scale, span)
    pairs = [
        _above([_block(part[i : i + across], across, gap) for part in (tiles[:n], tiles[n:])], gap)
        for i in range(0, n, across)
    ]
    return _image(_above(pairs, APART * gap))


def traversal(
    x: Array,
    active: Sequence[bool] | Array | None = None,
    names: Sequence[str] | None = None,
    deviations: Sequence[float] | None = None,
    scale: int | None = None,
    gap: int = 2,
    span: Span | None = None,
) -> Image.Image:
    """One latent dimension a row, from low to high; unused ones are faded.

    Args:
        x: (L, K, C, H, W) or (L, K, D): L dimensions in the order to show, K steps each.
        active: (L,) which dimensions carry information; all by default.
        names: (L,) of each dimension, printed at its left.
        deviations: (K,) positions of the steps in standard deviations, printed above.
        scale: as for `grid`.
        gap: as for `grid`.
        span: as for `grid`.

    Raises:
        ValueError: one of these has another length, or there is nothing to show.
    """
    dims, steps = x.shape[:2]
    _some(x)
    for name, given in (("active", active), ("names", names)):
        if given is not None and len(given) != dims:
            raise ValueError(f"{name} has {len(given)} entries for {dims} traversed dimensions")
    if deviations is not None and len(deviations) != steps:
        raise ValueError(f"deviations has {len(deviations)} entries for {steps} steps")
    tiles = cells(x.reshape(dims * steps, *x.shape[2:]), scale, span)
    tiles = tiles.reshape(dims, steps, *tiles.shape[1:])
    if active is not None:
        idle = ~np.asarray(active, dtype=bool)
        tiles[idle, ..., 3] = tiles[idle, ..., 3] // 255 * FADED
    body = _block(tiles.reshape(-1, *tiles.shape[2:]), steps, gap)
    if deviations is not None:
        body = _above([_header(deviations, tiles.shape[3], gap), body], gap)
    if names is None:
        return _image(body)
    margin = _margin(names, tiles.shape[2], gap)
    above = _paper(body.shape[0] - margin.shape[0], margin.shape[1])
    return _image(_beside([np.concatenate([above, margin]), body], 4 * gap))


def manifold(x: Array, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """Decoded images of a regular grid of z, a pixel apart.

    Args:
        x: (n·m, C, H, W), row by row from the top; the top row is the largest second coordinate.
        columns: across; by default the square root of their number.
        scale: as for `grid`.
    """
    return grid(x, columns, scale, gap=1)


def _header(deviations: Sequence[float], width: int, gap: int) -> Bytes:
    """Standard deviations, each over the middle of a column of `width`; ends alone if tight."""
    texts = [f"{t:+.3g}σ".replace("-", "−").replace("+0σ", "0") for t in deviations]
    typeface = font(TEXT)
    image = _image(_paper(TEXT + 6, len(texts) * (width + gap) - gap))
    pen = ImageDraw.Draw(image)
    tight = max(map(typeface.getlength, texts)) > width
    ends = {0: ("l", 0), len(texts) - 1: ("r", image.width)} if tight else {}
    for i, text in enumerate(texts):
        if tight and i not in ends:
            continue
        side, x = ends.get(i, ("m", i * (width + gap) + width / 2))
        pen.text((x, image.height / 2), text, INK, typeface, anchor=f"{side}m")
    return np.asarray(image)


def _margin(texts: Sequence[str], height: int, gap: int) -> Bytes:
    """Texts set to the right, each at the middle of a row of `height`."""
    typeface = font(min(TEXT, height))
    width = math.ceil(max(typeface.getlength(text) for text in texts)) + 1
    image = _image(_paper(len(texts) * (height + gap) - gap, width))
    pen = ImageDraw.Draw(image)
    for i, text in enumerate(texts):
        pen.text((width, i * (height + gap) + height / 2), text, INK, typeface, anchor="rm")
    return np.asarray(image)
