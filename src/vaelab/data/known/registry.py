"""The data sets that have names: their location, checksums and contents."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from vaelab.data.splits import SourceData

from .binarized_mnist import binarized_mnist
from .digits import CLASSES, digits, digits8x8
from .download import fetch
from .idx import read_idx
from .sprites import all_sprites, sprites


@dataclass(frozen=True)
class IdxFile:
    """One file of an MNIST-like set; `sha256` is of its content, `md5` of its gzip wrapper."""

    name: str
    shape: tuple[int, ...]
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class IdxSet:
    """Training images and labels, test images and labels, their homes and class names."""

    homes: tuple[str, ...]
    classes: tuple[str, ...]
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]


_NAMES = (
    ("train-images-idx3-ubyte", (60_000, 28, 28)),
    ("train-labels-idx1-ubyte", (60_000,)),
    ("t10k-images-idx3-ubyte", (10_000, 28, 28)),
    ("t10k-labels-idx1-ubyte", (10_000,)),
)


def _files(
    md5: tuple[str, str, str, str] | None = None, sha256: tuple[str, str, str, str] | None = None
) -> tuple[IdxFile, IdxFile, IdxFile, IdxFile]:
    a, b, c, d = (
        IdxFile(name, shape, md5 and md5[i], sha256 and sha256[i])
        for i, (name, shape) in enumerate(_NAMES)
    )
    return a, b, c, d


MNIST = IdxSet(  # LeCun et al. 1998
    homes=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    classes=CLASSES,
    files=_files(
        sha256=(  # of the content: the gzip wrappers differ from mirror to mirror
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        )
    ),
)
FASHION = IdxSet(  # Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747
    homes=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    classes=(
        "T-shirt/top", "trouser", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    files=_files(
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        )
    ),
)  # fmt: skip
KUZUSHIJI = IdxSet(  # Clanuwat et al. 2018, arXiv:1812.01718
    homes=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    files=_files(
        md5=(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        )
    ),
)


def default_data_dir() -> Path:
    """`VAELAB_DATA` if it is set, else `~/.cache/vaelab/data`."""
    named = os.environ.get("VAELAB_DATA")
    return Path(os.path.expanduser(named)) if named else Path.home() / ".cache" / "vaelab" / "data"


def idx_set(what: IdxSet, folder: Path) -> SourceData:
    """MNIST or one of its kind, from `folder`, fetched there first if need be."""
    notes: list[str] = []
    train_x, train_y, test_x, test_y = (
        _idx_file(file, what.homes, folder, notes) for file in what.files
    )
    return SourceData(
        torch.cat([train_x, test_x])[:, None],
        torch.cat([train_y, test_y]).long(),
        (len(train_x), 0, len(test_x)),
        what.classes,
        notes=tuple(notes),
    )


def _idx_file(
    file: IdxFile, homes: tuple[str, ...], folder: Path, notes: list[str]
) -> torch.Tensor:
    packed = folder / f"{file.name}.gz"
    path = next((p for p in (packed, folder / file.name) if p.exists()), None)
    if path is None:
        path = packed
        fetch([f"{home}{packed.name}" for home in homes], packed, partial(_check_idx, file))
        notes.append(f"{packed.name} was fetched to {folder}")
    elif file.sha256 is None and not _same_md5(path, file.md5):
        notes.append(f"{path} is not byte for byte the published file; its header and size agree")
    return read_idx(path, file.shape, file.sha256)


def _check_idx(file: IdxFile, path: Path) -> None:
    if file.md5 is not None and not _same_md5(path, file.md5):
        raise ValueError(f"the MD5 of what came is not the published {file.md5}")
    read_idx(path, file.shape, file.sha256)


def _same_md5(path: Path, md5: str | None) -> bool:
    with open(path, "rb") as file:
        seen = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False))
    return seen.hexdigest() == md5


KNOWN: dict[str, Callable[[Path], SourceData]] = {
    "digits": digits,
    "digits8x8": digits8x8,
    "mnist": partial(idx_set, MNIST),
    "fashion-mnist": partial(idx_set, FASHION),
    "kmnist": partial(idx_set, KUZUSHIJI),
    "binarized_mnist": binarized_mnist,
    "sprites": sprites,
    "sprites-all": all_sprites,
}
