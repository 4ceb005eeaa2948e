"""IDX, the format of MNIST: a magic number, the sizes, the bytes.

    00 00 08 r | r sizes, big-endian 32-bit | values, uint8, last axis fastest

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def read_content(path: Path, size: int) -> bytes:
    """The bytes of a plain or gzipped file, which should be `size` when decompressed.

    Raises:
        ValueError: for a damaged gzip, or another size.
    """
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as file:
            content = file.read(size + 1)  # never more: a gzip can hold a bomb
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise ValueError(
            f"{path} is damaged: {error}. Delete it, and it is fetched again"
        ) from None
    if len(content) != size:
        seen = f"more than {size:,}" if len(content) > size else f"{len(content):,}"
        raise ValueError(
            f"{path} holds {seen} bytes when decompressed; expected {size:,}. It is truncated or "
            "another file. Delete it, and it is fetched again"
        )
    return content


def read_idx(path: Path, shape: tuple[int, ...], sha256: str | None = None) -> Tensor:
    """The array of an IDX file, plain or gzipped.

    Args:
        path: path of the file.
        shape: what its header must say.
        sha256: SHA-256 of the decompressed bytes, if it is known.

    Returns:
        `shape`, uint8.

    Raises:
        ValueError: for a damaged, truncated or altered file.
    """
    header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    content = read_content(path, len(header) + math.prod(shape))
    if not content.startswith(header):
        raise ValueError(
            f"{path} begins with {content[: len(header)].hex()}; the header of an IDX file of "
            f"shape {shape} is {header.hex()}. Delete it, and it is fetched again"
        )
    if sha256 is not None:
        seen = hashlib.sha256(content).hexdigest()
        if seen != sha256:
            raise ValueError(
                f"the content of {path} has been altered: its SHA-256 is {seen}; expected "
                f"{sha256}. Delete it, and it is fetched again"
            )
    values = np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
    return torch.from_numpy(values.copy())
