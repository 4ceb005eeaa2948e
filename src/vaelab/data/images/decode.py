"""Pictures to rows: one size, one number of channels.

A picture is turned upright (EXIF), its transparent parts are shown on white, and where the size
differs the largest centred part of the wanted proportions is resized to it (bicubic, antialiased).
Only the first frame of an animation is read. Decompression bombs are refused.

Pictures that agree in size and have no side above 64 are kept; otherwise every one is brought to
the size asked for, or to a square of side min(64, median of the shorter sides).
"""

import statistics
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vaelab.data.loading.mapped_rows import Array
from vaelab.utils.progress import ProgressCallback, no_progress

Size = tuple[int, int]
T = TypeVar("T")

_MOST = 64
_LARGEST_SIDE = 4096
_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I")
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)

# What PIL raises for damaged, absurd or unsupported files.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Picture:
    """A picture not read yet: its name, how to open it, and the bytes of its file, if any."""

    name: str
    open: Callable[[], AbstractContextManager[Image.Image]]
    content: Callable[[], bytes] = bytes


@dataclass(frozen=True)
class Gathered:
    """Pictures as rows.

    Args:
        x: (N, C, H, W), uint8.
        kept: position of each row among the pictures given.
        unreadable: "name: reason" for each picture left out.
        resize: the (H, W) asked for or brought to; None where they were kept.
        notes: what was done.
    """

    x: Array
    kept: tuple[int, ...]
    unreadable: tuple[str, ...]
    resize: Size | None
    notes: tuple[str, ...]


@contextmanager
def opened(file: BinaryIO) -> Iterator[Image.Image]:
    """A picture whose header has been read."""
    with file, Image.open(file) as picture:
        yield picture


def gather(
    pictures: Sequence[Picture],
    asked: Size | None,
    channels: int | None = None,
    told: ProgressCallback = no_progress,
) -> Gathered:
    """Every readable picture at one size and with the same channels.

    Args:
        pictures: to read; each is opened twice, and a few at once, so that few are in memory.
        asked: (H, W), or None for the module's rule.
        channels: 1 or 3, or None: 1 if all are grey by their mode, else 3.
        told: how many of how many were read.
    """
    unreadable: dict[int, str] = {}
    seen: dict[int, tuple[Size, bool]] = {}
    # Filters of warnings are one for all threads.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for i, look in enumerate(pool.map(partial(_tried, _look), pictures)):
            if isinstance(look, str):
                unreadable[i] = look
            else:
                seen[i] = look
        size = asked or _default_size([size for size, _ in seen.values()])
        channels = channels or (1 if all(grey for _, grey in seen.values()) else 3)
        x = np.empty((len(seen), channels, *size), np.uint8)
        kept: list[int] = []
        read = partial(_tried, partial(_pixels, size=size, channels=channels))
        arrays = pool.map(read, [pictures[i] for i in seen])
        for done, (i, found) in enumerate(zip(seen, arrays, strict=True)):
            if isinstance(found, str):
                unreadable[i] = found
            else:
                x[len(kept)] = found
                kept.append(i)
            told("pictures", done + 1, len(seen))
    was = [seen[i][0] for i in kept]
    changed = set(was) not in (set(), {size})
    notes: tuple[str, ...] = (_size_note(was, size),) if changed else ()
    turned = sum(seen[i][1] != (channels == 1) for i in kept)
    if turned:
        notes += (
            f"{turned:,} {'colour' if channels == 1 else 'grey'} "
            f"image{' was' if turned == 1 else 's were'} read as "
            f"{'grey' if channels == 1 else 'RGB'}",
        )
    return Gathered(
        x[: len(kept)],
        tuple(kept),
        tuple(unreadable[i] for i in sorted(unreadable)),
        size if changed or asked else None,
        notes,
    )


def as_size(image_size: int | Size | None) -> Size | None:
    """A side or (H, W) as (H, W).

    Raises:
        ValueError: for anything but one or two integers from 1 to 4096.
    """
    if image_size is None:
        return None
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    pair = isinstance(sides, tuple) and len(sides) == 2
    if not pair or not all(isinstance(n, int) and 1 <= n <= _LARGEST_SIDE for n in sides):
        raise ValueError(
            f"image_size should be a side or (height, width), from 1 to {_LARGEST_SIDE} pixels, "
            f"not {image_size!r}"
        )
    return sides


def abbreviate(items: Sequence[str], most: int = 5) -> str:
    """The first few items and how many more there are."""
    more = f"; and {len(items) - most:,} more" if len(items) > most else ""
    return "; ".join(items[:most]) + more


def _default_size(sizes: Sequence[Size]) -> Size:
    if not sizes:
        return 1, 1
    if len(set(sizes)) == 1 and max(sizes[0]) <= _MOST:
        return sizes[0]
    side = min(_MOST, round(statistics.median(min(size) for size in sizes)))
    return side, side


def _size_note(sizes: Sequence[Size], size: Size) -> str:
    low, high = min(sizes), max(sizes)
    seen = _times(low) if len(set(sizes)) == 1 else f"{_times(low)} to {_times(high)}"
    return (
        f"{len(sizes):,} image{'' if len(sizes) == 1 else 's'} of {seen} brought to "
        f"{_times(size)}: shorter side resized (bicubic), centre kept"
    )


def _times(size: Size) -> str:
    return f"{size[0]}×{size[1]}"


def _tried(work: Callable[[Image.Image], T], picture: Picture) -> T | str:
    """What comes of a picture, or why it cannot be read."""
    try:
        with picture.open() as image:
            return work(image)
    except _UNREADABLE as error:
        unknown = isinstance(error, UnidentifiedImageError)
        return f"{picture.name}: {'not a picture in a known format' if unknown else error}"


def _look(image: Image.Image) -> tuple[Size, bool]:
    """The upright size (H, W), and whether it is grey, from the header alone where it can be."""
    width, height = image.size
    # Asking a PNG for its EXIF decodes it, and these are not the formats of cameras.
    if image.format not in ("PNG", "GIF", "BMP", None):
        turned = image.getexif().get(_ORIENTATION) in _SIDEWAYS
        width, height = (height, width) if turned else (width, height)
    if image.mode == "P":
        palette = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return (height, width), bool((palette == palette[:, :1]).all())
    return (height, width), image.mode in _GREY


def _pixels(image: Image.Image, size: Size, channels: int) -> Array:
    """One picture as (C, H, W), uint8."""
    # Of these 16 bits some versions of Pillow make 32.
    sixteen = image.mode.startswith("I;") or image.format in ("PNG", "PPM")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray(_byte(np.asarray(image), sixteen))
    if image.mode == "F":
        raise ValueError("pictures of 32-bit floats are not read; save them as a .npy array")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != size[::-1]:
        image = ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)
    array = np.asarray(image)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _byte(grey: Array, sixteen: bool) -> Array:
    """Grey values as uint8: of 16 bits the upper 8, of 32, which have no range of theirs, 0–255."""
    if sixteen:
        return (grey >> 8).clip(0, 255).astype(np.uint8)
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 255:
        raise ValueError(
            f"32-bit grey values from {low} to {high} are not read beyond 0–255; save them in 8 or "
            "16 bits, or as a .npy array"
        )
    return grey.astype(np.uint8)
