"""Handwritten digits that come with the package: `digits`, 28 × 28, and `digits8x8`.

`digits` holds 2,000 images of MNIST, balanced by class, in the order of its files: the first 160
training images of each class for training, the next 20 for validation, and the first 20 test
images, by other writers, for testing.

Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", 1998,
derived from NIST Special Databases 1 and 3; licence CC BY-SA 3.0.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch

from vaelab.data.splits import SourceData

CLASSES = tuple("0123456789")
PARTS = (1_600, 200, 200)
"""Rows for training, validation and testing."""


def digits(folder: Path) -> SourceData:
    """2,000 digits of MNIST, 28 × 28, values 0–255; `folder` is not used."""
    with as_file(files(__package__) / "digits.npz") as path, np.load(path) as arrays:
        x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"].astype(np.int64))
    return SourceData(x[:, None], y, PARTS, CLASSES)


def digits8x8(folder: Path) -> SourceData:
    """1,797 digits of scikit-learn, 8 × 8, values 0–16; `folder` is not used."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images.astype(np.uint8)[:, None])
    y = torch.from_numpy(bunch.target.astype(np.int64))
    return SourceData(x, y, (len(x), 0, 0), CLASSES)
