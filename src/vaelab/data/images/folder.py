"""Folders and zips of pictures, of any sizes and depth, as rows of one shape.

If the first-level folders are called train, val and test, or as these are usually spelt, they are
the splits. If every picture lies in one of two or more folders of the first level, below that of
the splits, these are the classes. Folders around everything else are passed by.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vaelab.data.arrays import PARTS, in_order
from vaelab.data.images.decode import Picture, Size, abbreviate, as_size, gather, opened
from vaelab.data.splits import SourceData
from vaelab.utils.options import option
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.readers import reading
from vaelab.utils.regular_files import special_kind

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".pgm", ".ppm", ".pnm", ".pbm"),
)

# A member of a zip that claims to be larger than this is a bomb, not a picture.
_LARGEST = 1 << 28


def from_folder(
    path: Path,
    image_size: int | Size | None,
    skip_unreadable: bool,
    progress: ProgressCallback = no_progress,
    background: str = "white",
) -> SourceData:
    """The pictures of a folder or zip.

    Args:
        path: path of the folder or zip.
        image_size: side of a square or (H, W); None: kept or at most 64, see `images`.
        skip_unreadable: leave out what cannot be read, with a note, rather than refuse.
        progress: called with the number of pictures read and their total.
        background: background of transparent parts, as for `layout.opaque`.

    Raises:
        ValueError: if there are no pictures, or some cannot be read.
    """
    size = as_size(image_size)
    with listed(path) as (pictures, others):
        parts = _splits([PurePosixPath(picture.name).parts for picture in pictures])
        order = sorted(range(len(pictures)), key=lambda i: parts[i])
        pictures, parts = [pictures[i] for i in order], [parts[i] for i in order]
        gathered = gather(pictures, size, progress=progress, background=background)
        files = _digests([pictures[i] for i in gathered.kept])
    notes = gathered.notes
    if gathered.unreadable:
        listing = abbreviate(gathered.unreadable)
        count = f"{len(gathered.unreadable):,} of {len(pictures):,}"
        if not skip_unreadable:
            raise ValueError(
                f"{count} pictures in {path} cannot be read: {listing}. Mend or remove them, or "
                f"give {option('skip_unreadable')} to leave them out"
            )
        notes += (f"{count} pictures cannot be read and were left out: {listing}",)
    if others:
        notes += (f"{others:,} other files were ignored",)
    x = gathered.x
    if x.dtype == np.uint8 and len(x) and bool(((x == 0) | (x == 255)).all()):
        x = x // 255
        notes += ("the pictures are pure black and white: read as 0 and 1",)
    kept = [parts[i] for i in gathered.kept]
    own = tuple(sum(split == part for part, _ in kept) for split in range(3))
    if own[1] or own[2]:
        counts = ", ".join(f"{name} {n:,}" for name, n in zip(PARTS, own, strict=True) if n)
        notes += (f"splits: the folders of the source ({counts})",)
    y, classes, more = _labels([inner for _, inner in kept])
    return SourceData(
        torch.from_numpy(x),
        y,
        (own[0], own[1], own[2]),
        classes,
        gathered.resize,
        shuffle=bool(own[1] or own[2]),
        notes=notes + more,
        files=files,
        ends=gathered.ends,
    )


Parts = tuple[str, ...]


def _splits(paths: Sequence[Parts]) -> list[tuple[int, Parts]]:
    """The split of each picture (0 training, 1 validation, 2 test) and its path below that.

    Raises:
        ValueError: if some first-level folders are called as splits are, and others are not.
    """
    paths = _without_common(paths)
    places = {name: i for i, names in enumerate(PARTS.values()) for name in names}
    tops = {path[0] if len(path) > 1 else "" for path in paths}
    splits = {top: places[top.lower()] for top in tops if top.lower() in places}
    if 0 not in splits.values() or len(set(splits.values())) < 2:
        return [(0, path) for path in paths]
    if odd := sorted(tops - set(splits)):
        raise ValueError(
            f"the folders {', '.join(sorted(splits))} look like splits, and beside them lies "
            f"{abbreviate([name or 'a picture in no folder' for name in odd])}; move it away, or "
            "rename the folders if they are classes"
        )
    return [(splits[path[0]], path[1:]) for path in paths]


def _without_common(paths: Sequence[Parts]) -> Sequence[Parts]:
    """Paths without the folders around everything."""
    while paths and all(len(p) > 1 for p in paths) and len({p[0] for p in paths}) == 1:
        paths = [p[1:] for p in paths]
    return paths


def _digests(pictures: Sequence[Picture]) -> Tensor:
    """(N, 32), uint8, the SHA-256 of each file."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda picture: hashlib.sha256(picture.content()).digest(), pictures)
        return torch.from_numpy(np.array([list(digest) for digest in found], np.uint8))


@contextmanager
def listed(path: Path) -> Iterator[tuple[list[Picture], int]]:
    """The pictures of a folder or zip, sorted by name, and how many other files there are.

    Raises:
        ValueError: if there are no pictures, or the zip is damaged.
    """
    if path.is_dir():
        found = {file.relative_to(path).as_posix(): file for file in _files_under(path)}
        names = _visible(found)
        pictures = [_of_file(name, found[name]) for name in names]
        yield _pictures_only(pictures, path)
        return
    with reading(path, "zip file"):
        archive = zipfile.ZipFile(path)
    with archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        names = _visible(members)
        pictures = [_of_member(archive, members[name]) for name in names]
        yield _pictures_only(pictures, path)


def one_file(path: Path) -> Picture:
    """A picture that is a file of its own."""
    return _of_file(path.name, path)


def _of_file(name: str, path: Path) -> Picture:
    return Picture(name, partial(_open_file, path), path.read_bytes)


def _of_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Picture:
    read = partial(_member, archive, info)
    return Picture(info.filename, partial(_open_member, read), read)


def _files_under(path: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)


def _visible(names: dict[str, Path] | dict[str, zipfile.ZipInfo]) -> list[str]:
    # Hidden files and the resource forks that macOS adds to zips are nobody's pictures.
    hidden = (".", "__MACOSX")
    return sorted(n for n in names if not any(p.startswith(hidden) for p in PurePosixPath(n).parts))


def _pictures_only(files: list[Picture], path: Path) -> tuple[list[Picture], int]:
    pictures = [file for file in files if file.name.lower().endswith(SUFFIXES)]
    others = len(files) - len(pictures)
    if not pictures:
        raise ValueError(
            f"{path} holds no pictures ({others:,} other files); expected files ending in "
            f"{', '.join(SUFFIXES)}"
        )
    return pictures, others


@contextmanager
def _open_file(path: Path) -> Iterator[Image.Image]:
    if kind := special_kind(path):
        raise ValueError(f"{kind}, not a file")
    with open(path, "rb") as file, opened(file) as picture:
        yield picture


@contextmanager
def _open_member(read: Callable[[], bytes]) -> Iterator[Image.Image]:
    with opened(io.BytesIO(read())) as picture:
        yield picture


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _LARGEST:
        raise ValueError(f"claims {info.file_size:,} bytes when decompressed")
    with reading(info.filename, "member of a zip file"):
        return archive.read(info)


def _labels(paths: Sequence[Parts]) -> tuple[Tensor | None, tuple[str, ...], tuple[str, ...]]:
    """Labels and names of the classes, and a note; none if some picture lies in no class folder."""
    paths = _without_common(paths)
    loose = ["/".join(path) for path in paths if len(path) < 2]
    if loose or not paths:
        folders = len({path[0] for path in paths if len(path) > 1})
        note = (
            f"no labels: {abbreviate(loose)} {'lies' if len(loose) == 1 else 'lie'} in none of the "
            f"{folders:,} folders, which would be the classes"
        )
        return None, (), (note,) if folders > 1 else ()
    names = in_order({path[0] for path in paths})
    places = {name: i for i, name in enumerate(names)}
    y = torch.tensor([places[path[0]] for path in paths])
    return y, names, (f"labels: the {len(names)} folders {abbreviate(names)}",)


def class_names(path: Path) -> list[str] | None:
    """The class of each picture of a folder or zip, in the order of `listed`; None without."""
    with listed(path) as (pictures, _):
        paths = _without_common([PurePosixPath(picture.name).parts for picture in pictures])
    named = all(len(path) > 1 for path in paths) and len({path[0] for path in paths}) > 1
    return [path[0] for path in paths] if named else None
