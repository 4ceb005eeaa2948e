"""Pictures to rows: one size, one number of channels.

A picture is turned upright (EXIF), its transparent parts are laid on a background, and if its size
differs the largest centred part of the wanted proportions is resized to it (bicubic, antialiased).
Of an animation or a stack the first frame is read, and the others are counted. Grey values of 16
bits and floats keep their depth. Decompression bombs are refused.

Pictures that agree in size and have no side above 64 are kept; otherwise every one is brought to
the size asked for, or to a square of side min(64, median of the shorter sides).
"""

import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vaelab.data.alpha import blank_notes, opaque
from vaelab.data.layout import deep_top
from vaelab.data.loading.mapped_rows import Array
from vaelab.utils.progress import ProgressCallback, no_progress

Size = tuple[int, int]
T = TypeVar("T")

_MOST = 64
_STEP = 65535 // 255
"""The factor that widens 8 bits to 16, so that white stays white."""
_LARGEST_SIDE = 4096
_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I", "F")
_CONVERTED = ("CMYK", "YCbCr", "LAB", "HSV")
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


# What PIL raises for damaged, absurd or unsupported files.
@dataclass(frozen=True)
class Picture:
    """A picture not read yet: its name, how to open it, and the bytes of its file, if any."""

    name: str
    open: Callable[[], AbstractContextManager[Image.Image]]
    content: Callable[[], bytes] = bytes


def picture(name: str, image: Image.Image) -> Picture:
    """A picture in memory, decoded here: threads may not decode one object at the same time."""
    with suppress(OSError):  # reported when it is read
        image.load()
    return Picture(name, partial(nullcontext, image))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Gathered:
    """Pictures as rows.

    Args:
        x: (N, C, H, W), uint8, or float32 if any picture is deeper than 8 bits.
        kept: position of each row among the pictures given.
        unreadable: "name: reason" for each picture left out.
        resize: the (H, W) asked for or brought to; None if sizes were kept.
        notes: one line for each change.
        ends: ends of the interval that deep grey values lie in, or None.
    """

    x: Array
    kept: tuple[int, ...]
    unreadable: tuple[str, ...]
    resize: Size | None
    notes: tuple[str, ...]
    ends: tuple[float, float] | None = None


class _Header(NamedTuple):
    """A picture before its pixels are read: upright size (H, W), and its mode.

    `halved`: its colours have 16 bits, of which Pillow reads 8.
    """

    size: Size
    grey: bool
    depth: int
    frames: int
    alpha: bool
    mode: str
    halved: bool


@contextmanager
def opened(file: BinaryIO) -> Iterator[Image.Image]:
    """A picture whose header has been read."""
    with file, Image.open(file) as picture:
        yield picture


class _How(NamedTuple):
    """Options of decoding; `spread` takes, of transparent pictures, the variances of the picture
    on its background and of its alpha."""

    size: Size
    channels: int
    deep: bool
    background: str
    spread: list[tuple[float, float]]


def gather(
    pictures: Sequence[Picture],
    asked: Size | None,
    channels: int | None = None,
    progress: ProgressCallback = no_progress,
    background: str = "white",
) -> Gathered:
    """Every readable picture at one size and with the same channels.

    Args:
        pictures: to read; each is opened twice, and a few at once, so that few are in memory.
        asked: (H, W), or None for the module's rule.
        channels: 1, 3 or 4, or None: 1 if all are grey by their mode, else 3.
        progress: called with the number of pictures read and their total.
        background: background of transparent parts, as for `layout.opaque`.

    Raises:
        ValueError: if alpha carries the pictures, which would be blank.
    """
    unreadable: dict[int, str] = {}
    seen: dict[int, _Header] = {}
    # Filters of warnings are one for all threads.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for i, look in enumerate(pool.map(partial(_tried, _look), pictures)):
            if isinstance(look, str):
                unreadable[i] = look
            else:
                seen[i] = look
        size = asked or _default_size([header.size for header in seen.values()])
        by_alpha = {"alpha": 1, "keep": 4}
        if any(header.alpha for header in seen.values()):
            channels = by_alpha.get(background, channels)
        channels = channels or (1 if all(header.grey for header in seen.values()) else 3)
        floats = [i for i, header in seen.items() if header.depth == 32]
        if len(floats) < len(seen):
            for i in floats:
                del seen[i]
                unreadable[i] = f"{pictures[i].name}: 32-bit floats among pictures of other values"
        deep = any(header.depth > 8 for header in seen.values())
        x = np.empty((len(seen), channels, *size), np.float32 if deep else np.uint8)
        kept: list[int] = []
        spread: list[tuple[float, float]] = []
        how = _How(size, channels, deep, background, spread)
        work = partial(_pixels, how=how)
        arrays = pool.map(partial(_tried, work), [pictures[i] for i in seen])
        for done, (i, found) in enumerate(zip(seen, arrays, strict=True)):
            if isinstance(found, str):
                unreadable[i] = found
            else:
                x[len(kept)] = found
                kept.append(i)
            progress("pictures", done + 1, len(seen))
    blank = blank_notes(spread, len(kept), background)
    headers = [seen[i] for i in kept]
    changed = {header.size for header in headers} not in (set(), {size})
    notes = (_size_note([header.size for header in headers], size),) if changed else ()
    x, more, ends = _levels(x[: len(kept)], headers)
    return Gathered(
        x,
        tuple(kept),
        tuple(unreadable[i] for i in sorted(unreadable)),
        size if changed or asked else None,
        (*notes, *_changes(headers, channels, background), *blank, *more),
        ends,
    )


def _levels(
    x: Array, headers: Sequence[_Header]
) -> tuple[Array, tuple[str, ...], tuple[float, float] | None]:
    """Deep values as bytes if nothing is lost by it; notes; the interval of those of 16 bits."""
    of_bytes = np.array([header.depth <= 8 for header in headers], bool)
    deep = int((~of_bytes).sum())
    if not deep:
        return x, (), None
    if any(header.depth > 16 for header in headers):
        return x, (f"{_count(deep, 'picture')} of 32-bit floats kept as they are",), None
    for step in (_STEP, 256):  # bytes that were widened, in either way
        if not (x[~of_bytes] % step).any():
            x[~of_bytes] /= step
            x[of_bytes] /= _STEP
            return x.round().astype(np.uint8), (), None
    top = deep_top(float(x.max()))
    note = (
        f"{_count(deep, 'picture')} of 16 bits kept at full depth, on the interval 0 to {top:,.0f}"
    )
    if of_bytes.any():
        note += f"; {_count(len(headers) - deep, 'picture')} of 8 bits brought to it"
    return x, (note,), (0.0, top)


def _changes(headers: Sequence[_Header], channels: int, background: str) -> tuple[str, ...]:
    """Notes on colours, transparency and frames."""
    notes = []
    turned = sum(header.grey != (channels == 1) for header in headers)
    if turned and channels in (1, 3) and background != "alpha":
        notes.append(
            f"{turned:,} {'colour' if channels == 1 else 'grey'} "
            f"image{' was' if turned == 1 else 's were'} read as "
            f"{'grey' if channels == 1 else 'RGB'}"
        )
    converted = [header.mode for header in headers if header.mode in _CONVERTED]
    for mode in dict.fromkeys(converted):
        notes.append(f"{_count(converted.count(mode), mode + ' picture')} converted to RGB")
    if halved := sum(header.halved for header in headers):
        notes.append(
            f"{_count(halved, 'picture')} of 16 bits a colour read at 8 bits; "
            "a .npy array keeps the depth"
        )
    if clear := sum(header.alpha for header in headers):
        how = {"alpha": "the alpha of {}", "keep": "four channels of {}"}
        words = how.get(background, "the transparent parts of {} laid on " + background)
        notes.append(words.format(_count(clear, "picture")))
    if animated := [header.frames for header in headers if header.frames > 1]:
        left = sum(animated) - len(animated)
        notes.append(
            f"{_count(len(animated), 'file')} hold more than one picture: the first is read, "
            f"{left:,} are left out"
        )
    return tuple(notes)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


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
    """The result of `work` on a picture, or the reason why it cannot be read."""
    try:
        with picture.open() as image:
            return work(image)
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)
        return f"{picture.name}: {'not a picture in a known format' if unknown else error}"


def _look(image: Image.Image) -> _Header:
    """The header of a picture, without its pixels if possible."""
    width, height = image.size
    # Asking a PNG for its EXIF decodes it, and these are not the formats of cameras.
    if image.format not in ("PNG", "GIF", "BMP", None):
        turned = image.getexif().get(_ORIENTATION) in _SIDEWAYS
        width, height = (height, width) if turned else (width, height)
    grey = image.mode in _GREY
    if image.mode == "P":
        palette = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        grey = bool((palette == palette[:, :1]).all())
    depth = {"F": 32, "I": 16 if _is_sixteen(image) else 8}.get(image.mode, 8)
    depth = 16 if image.mode.startswith("I;") else depth
    frames = getattr(image, "n_frames", 1)
    clear = image.has_transparency_data
    return _Header((height, width), grey, depth, frames, clear, image.mode, _is_halved(image))


def _is_halved(image: Image.Image) -> bool:
    """True for colours, or grey values with alpha, of 16 bits, of which Pillow reads 8."""
    if image.mode not in ("RGB", "RGBA", "LA"):
        return False
    modes = [str(args) for *_, args in getattr(image, "tile", ())]
    return any(";16" in mode or "65535" in mode for mode in modes)


def _is_sixteen(image: Image.Image) -> bool:
    # Of these 16 bits some versions of Pillow make 32.
    return image.mode.startswith("I;") or image.format in ("PNG", "PPM")


def _pixels(image: Image.Image, how: _How) -> Array:
    """One picture as (C, H, W), uint8, or float32 among deep ones."""
    sixteen = _is_sixteen(image)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[how.channels]
    image = ImageOps.exif_transpose(image)
    if how.deep:
        return _deep(image, sixteen, how)
    if image.mode.startswith("I"):
        image = Image.fromarray(_byte(np.asarray(image), sixteen))
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        laid = opaque(rgba[None], how.background, strict=False)[0][0]
        how.spread.append((float(laid.var()), float(rgba[..., 3].var())))
        image = Image.fromarray(laid[..., 0] if laid.shape[-1] == 1 else laid)
    elif how.channels == 1 and how.background == "alpha":
        image = Image.new("L", image.size, 255)  # opaque
    return _fitted(image.convert(mode), how.size)


def _fitted(image: Image.Image, size: Size) -> Array:
    if image.size != size[::-1]:
        image = ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _deep(image: Image.Image, sixteen: bool, how: _How) -> Array:
    """One picture among deep ones as (C, H, W), float32; bytes become 16 bits, v · 257."""
    if image.mode == "F" or (image.mode.startswith("I") and sixteen):
        planes = [np.asarray(image).astype(np.float32)] * how.channels
    else:
        if image.mode.startswith("I"):
            image = Image.fromarray(_byte(np.asarray(image), sixteen))
        array = np.asarray(image.convert("L" if how.channels == 1 else "RGB"))
        planes = [array] if how.channels == 1 else list(array.transpose(2, 0, 1))
        planes = [plane.astype(np.float32) * _STEP for plane in planes]
    return np.concatenate([_fitted(Image.fromarray(plane), how.size) for plane in planes])


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
