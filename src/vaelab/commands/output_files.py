"""Output files of a command: the format follows from the suffix, and a write is atomic."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from vaelab.data.tabular.header import Heading
from vaelab.plots import Picture, png
from vaelab.utils import atomic_files

Writer = Callable[[BinaryIO], object]


def check_output_path(out: Path, overwrite: bool, *kinds: str) -> None:
    """Checks, before anything is computed, that a file can be written under this name.

    Raises:
        ValueError: if the suffix is not among `kinds`, or the file is there already.
    """
    if out.suffix.lower() not in kinds:
        raise ValueError(f"{out} should end in {' or '.join(kinds)}, which says what is written")
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name a file in it")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; name another file with --out, or pass --overwrite")


def write(out: Path, writers: Mapping[str, Writer]) -> None:
    """Write the format of the suffix; missing folders are made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.replacing(out) as file:
        writers[out.suffix.lower()](file)


def as_array(parts: Iterable[Tensor], n: int) -> dict[str, Writer]:
    """n rows in parts (B, …): as .npy, one part in memory at a time, or as `x` in .npz."""
    return {".npy": lambda file: _npy(file, parts, n), ".npz": lambda file: _npz(file, parts)}


def as_picture(draw: Callable[[], Picture]) -> dict[str, Writer]:
    """A picture as .png."""
    return {".png": lambda file: file.write(png(draw()))}


def as_table(parts: Iterable[Tensor], header: Sequence[Heading]) -> dict[str, Writer]:
    """Rows in parts (B, D) as .csv, their values written as the header has them."""
    return {".csv": lambda file: _csv(file, parts, header)}


def _npy(file: BinaryIO, parts: Iterable[Tensor], n: int) -> None:
    # Not through a mapped file: writing to one kills the process where the disk is full.
    written = 0
    for part in parts:
        array = np.ascontiguousarray(part.numpy())
        if written == 0:
            header = np.lib.format.header_data_from_array_1_0(array)
            header["shape"] = (n, *array.shape[1:])
            np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)
        written += len(array)
    assert written == n, f"{written} rows came, {n} were promised"


def _npz(file: BinaryIO, parts: Iterable[Tensor]) -> None:
    np.savez_compressed(file, x=torch.cat(list(parts)).numpy())


def _csv(file: BinaryIO, parts: Iterable[Tensor], header: Sequence[Heading]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([heading.name for heading in header])
    for part in parts:
        lines.writerows(
            [h.written(value) for h, value in zip(header, row, strict=True)]
            for row in part.tolist()
        )
    text.detach()  # the file is its owner's to close
