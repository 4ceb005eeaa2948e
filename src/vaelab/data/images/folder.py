"""Folders and zips of pictures, of any sizes and depth, as rows of one shape.

Where every picture lies in one of two or more first-level folders, these are the classes; folders
around everything else are passed by.
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

from vaelab.data.splits import SourceData
from vaelab.utils.progress import ProgressCallback, no_progress

from .decode import Picture, Size, abbreviate, as_size, gather, opened

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")

# A member of a zip that claims to be larger than this is a bomb, not a picture.
_LARGEST = 1 << 28


def from_folder(
    path: Path,
    image_size: int | Size | None,
    skip_unreadable: bool,
    told: ProgressCallback = no_progress,
) -> SourceData:
    """The pictures of a folder or zip.

    Args:
        path: of the folder or zip.
        image_size: side of a square or (H, W); None: kept or at most 64, see `images`.
        skip_unreadable: leave out what cannot be read, with a note, rather than refuse.
        told: how many pictures of how many were read.

    Raises:
        ValueError: where there are no pictures, or some cannot be read.
    """
    size = as_size(image_size)
    with listed(path) as (pictures, others):
        gathered = gather(pictures, size, told=told)
        files = _digests([pictures[i] for i in gathered.kept])
    notes = gathered.notes
    if gathered.unreadable:
        listing = abbreviate(gathered.unreadable)
        count = f"{len(gathered.unreadable):,} of {len(pictures):,}"
        if not skip_unreadable:
            raise ValueError(
                f"{count} pictures in {path} cannot be read: {listing}. Mend or remove them, or "
                "pass --skip-unreadable to leave them out"
            )
        notes += (f"{count} pictures cannot be read and were left out: {listing}",)
    if others:
        notes += (f"{others:,} other files were ignored",)
    x = gathered.x
    if len(x) and bool(((x == 0) | (x == 255)).all()):
        x = x // 255
        notes += ("the pictures are pure black and white: read as 0 and 1",)
    y, classes = _labels([PurePosixPath(pictures[i].name).parts for i in gathered.kept])
    if classes:
        notes += (f"labels: the {len(classes)} folders {abbreviate(classes)}",)
    own = (len(x), 0, 0)
    return SourceData(
        torch.from_numpy(x), y, own, classes, gathered.resize, notes=notes, files=files
    )


def _digests(pictures: Sequence[Picture]) -> Tensor:
    """(N, 32), uint8, the SHA-256 of each file."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda picture: hashlib.sha256(picture.content()).digest(), pictures)
        return torch.from_numpy(np.array([list(digest) for digest in found], np.uint8))


@contextmanager
def listed(path: Path) -> Iterator[tuple[list[Picture], int]]:
    """The pictures of a folder or zip, sorted by name, and how many other files there are.

    Raises:
        ValueError: where there are no pictures, or the zip is damaged.
    """
    if path.is_dir():
        found = {file.relative_to(path).as_posix(): file for file in _files_under(path)}
        names = _visible(found)
        pictures = [_of_file(name, found[name]) for name in names]
        yield _pictures_only(pictures, path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path} cannot be read as a zip file: {error}") from None
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
    with open(path, "rb") as file, opened(file) as picture:
        yield picture


@contextmanager
def _open_member(read: Callable[[], bytes]) -> Iterator[Image.Image]:
    with opened(io.BytesIO(read())) as picture:
        yield picture


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _LARGEST:
        raise ValueError(f"claims {info.file_size:,} bytes when decompressed")
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise ValueError(str(error)) from None


def _labels(paths: list[tuple[str, ...]]) -> tuple[Tensor | None, tuple[str, ...]]:
    while paths and all(len(p) > 1 for p in paths) and len({p[0] for p in paths}) == 1:
        paths = [p[1:] for p in paths]
    if not paths or any(len(p) < 2 for p in paths):
        return None, ()
    classes, index = np.unique([p[0] for p in paths], return_inverse=True)
    return torch.from_numpy(index.astype(np.int64)), tuple(str(name) for name in classes)
