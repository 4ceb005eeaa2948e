"""The statically binarized MNIST of Larochelle and Murray (2011).

50,000 / 10,000 / 10,000 images, each pixel drawn once as Bernoulli(grey value): the fixed
benchmark of most published MNIST likelihoods. On disk: `train`, `valid` and `test` as bit-packed
rows, (N, 98) uint8. Its home serves text, which is converted once.

Source: H. Larochelle and I. Murray, "The Neural Autoregressive Distribution Estimator", 2011.
"""

import hashlib
import os
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vaelab.data.arrays import read_arrays
from vaelab.data.loading.mapped_rows import Array
from vaelab.data.splits import SourceData

from .download import fetch

HOME = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
_PIXELS = 784

# Rows, and SHA-256 of the bit-packed rows.
_PARTS = {
    "train": (50_000, "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906"),
    "valid": (10_000, "a256ac44ae26be720fad8616a05ed6ecfd1619930d9a208379bb2a4405df5b6d"),
    "test": (10_000, "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2"),
}


def binarized_mnist(folder: Path, home: str = HOME) -> SourceData:
    """The three parts from `folder`, fetched there first if need be, and shuffled.

    Raises:
        ValueError: for a file that is not the published one.
        FileNotFoundError: if it can be neither found nor fetched.
    """
    path = folder / "binarized_mnist.npz"
    notes: tuple[str, ...] = ()
    if not path.exists():
        _fetch(path, home)
        notes = (f"binarized_mnist was fetched to {folder}",)
    arrays = read_arrays(path)
    for name, (count, sha256) in _PARTS.items():
        part = arrays.get(name)
        if part is None or part.shape != (count, _PIXELS // 8) or _digest(part) != sha256:
            raise ValueError(
                f"{path} is not the published file: its part {name!r} has been altered. Delete "
                "it, and it is fetched again"
            )
    bits = np.unpackbits(np.concatenate([arrays[name] for name in _PARTS]), axis=1)
    x = torch.from_numpy(bits.reshape(-1, 1, 28, 28))
    train, valid, test = (count for count, _ in _PARTS.values())
    notes += ("the rows of each part are shuffled: the file is sorted by class",)
    return SourceData(x, None, (train, valid, test), shuffle=True, notes=notes)


def _fetch(path: Path, home: str) -> None:
    texts = {name: path.parent / f"binarized_mnist_{name}.amat" for name in _PARTS}
    for name, text in texts.items():
        if not text.exists():
            fetch([home + text.name], text, partial(_check, name))
    packed = {name: _pack(text) for name, text in texts.items()}
    partial_path = path.with_name(".binarized_mnist.npz")
    with open(partial_path, "wb") as file:
        np.savez_compressed(file, train=packed["train"], valid=packed["valid"], test=packed["test"])
    os.replace(partial_path, path)
    for text in texts.values():
        text.unlink()


def _pack(text: Path) -> Array:
    """Lines of "0 1 1 …", one image each, as bit-packed rows."""
    content = np.frombuffer(text.read_bytes(), np.uint8)
    bits = content[(content == ord("0")) | (content == ord("1"))] - ord("0")
    whole = bits[: len(bits) // _PIXELS * _PIXELS]
    return np.packbits(whole.reshape(-1, _PIXELS), axis=1)


def _check(name: str, text: Path) -> None:
    if _digest(_pack(text)) != _PARTS[name][1]:
        raise ValueError("what came is not the published file")


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
