"""MNIST as numpy arrays, read by nobody's library: every contestant gets the same bytes."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TEST_SEED = 20_000


def folder() -> Path:
    """Where the files are: `$VAELAB_DATA/mnist`, else the cache that vaelab fills."""
    base = os.environ.get("VAELAB_DATA")
    return (Path(base) if base else Path.home() / ".cache" / "vaelab" / "data") / "mnist"


def images(part: str, rows: int | None = None) -> NDArray[np.uint8]:
    """The images of `train` or `t10k`, (N, 28, 28).

    Raises:
        FileNotFoundError: where they are not there.
    """
    name = f"{part}-images-idx3-ubyte"
    for path in (folder() / f"{name}.gz", folder() / name):
        if path.exists():
            content = path.read_bytes()
            raw = gzip.decompress(content) if path.suffix == ".gz" else content
            return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[:rows]
    raise FileNotFoundError(
        f"there is no {name} in the folder mnist of the data directory; name the directory in "
        "VAELAB_DATA, or fetch the data with: vaelab train vae --data mnist"
    )


def binarized_test() -> NDArray[np.float32]:
    """The test images in black and white, drawn once from a seed: (10000, 784) of 0 and 1."""
    grey = images("t10k").reshape(-1, 784) / np.float32(255)
    u = np.random.default_rng(TEST_SEED).random(grey.shape, dtype=np.float32)
    return (u < grey).astype(np.float32)
