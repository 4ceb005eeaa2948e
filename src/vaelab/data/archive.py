"""Arrays of an `.npz`, read one by one when they are asked for, within bounds on their size.

A header may claim any size. The claim is compared with the bytes that are there before memory is
allocated, and a member that is packed beyond all measure is refused.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import IO

from numpy.lib import format as npy

from vaelab.data.loading.mapped_rows import Array
from vaelab.utils.readers import reading

MOST = 2**30
"""Bytes that any member may have."""

PACKED = 300
"""Most times that a larger one may have been packed; dSprites, which is half empty, is by 115."""


def objects(path: Path) -> ValueError:
    """The error for a file of Python objects."""
    return ValueError(
        f"{path} holds Python objects (or is no array file at all); these are never unpickled. "
        "Save a plain array: np.save(file, np.stack(rows))"
    )


def check_claim(content: IO[bytes], size: int, path: Path) -> None:
    """Check the header of an array against the bytes of its file, before any are allocated.

    Args:
        content: file in `.npy` format, at its beginning.
        size: number of bytes in it.
        path: path of the file, for messages.

    Raises:
        ValueError: if it claims more than there is, or holds Python objects.
    """
    read = npy.read_array_header_1_0
    if npy.read_magic(content) > (1, 0):
        read = npy.read_array_header_2_0
    shape, _, dtype = read(content)
    if dtype.hasobject:
        raise objects(path)
    claimed = math.prod(max(1, side) for side in shape) * max(1, dtype.itemsize)
    # Of nothing there may be any number, and each is visited.
    if claimed > (size if math.prod(shape) * dtype.itemsize else MOST):
        raise ValueError(
            f"{path} cannot be read as an array file: a header claims {claimed:,} bytes of "
            f"{size:,} that are there"
        )


class Archive(MutableMapping[str, Array]):
    """Arrays of an `.npz` by name in lower case; each is read when it is asked for.

    Args:
        path: path of the file.

    Raises:
        ValueError: for a damaged file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: dict[str, Array] = {}
        with reading(path, "array file"), zipfile.ZipFile(path) as file:
            self.members = {_name(m): m for m in file.infolist() if not m.is_dir()}

    def __getitem__(self, name: str) -> Array:
        """Read an array.

        Raises:
            ValueError: if it is damaged, holds Python objects, or claims more than there is.
        """
        if name not in self.read:
            member = self.members[name]
            with reading(self.path, "array file"), zipfile.ZipFile(self.path) as file:
                self.read[name] = _array(file, member, self.path)
        return self.read[name]

    def __setitem__(self, name: str, array: Array) -> None:
        self.read[name] = array

    def __delitem__(self, name: str) -> None:
        del self.members[name]
        self.read.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy").lower()


def _array(file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Array:
    size, packed = member.file_size, member.compress_size
    if size > max(MOST, PACKED * packed):
        raise ValueError(
            f"{path} cannot be read as an array file: its member {member.filename} claims "
            f"{size:,} bytes, packed into {packed:,}"
        )
    with file.open(member) as content:
        if content.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise ValueError(
                f"{path} cannot be read as an array file: its member {member.filename} is no "
                "array; expected arrays alone, as by np.savez"
            )
    with file.open(member) as content:
        check_claim(content, size, path)
    with file.open(member) as content:
        found: Array = npy.read_array(content, allow_pickle=False)
        return found
