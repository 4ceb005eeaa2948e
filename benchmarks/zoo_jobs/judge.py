"""Precision, recall, density and coverage of everybody's samples, in one space of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import vaelab
from vaelab.metrics.classifier import Classifier
from vaelab.metrics.samples import precision_recall_density_coverage

TRAINED_ON = 20_000
FIGURES = ("precision", "recall", "density", "coverage")


class Judge:
    """A classifier of MNIST's digits, and held-out digits as it sees them.

    Args:
        count: held-out images; samples are as many.
    """

    def __init__(self, count: int) -> None:
        data = vaelab.load_data("mnist")
        assert data.train.y is not None
        x, y = data.train.x[:TRAINED_ON].float() / 255, data.train.y[:TRAINED_ON]
        self.eye = Classifier.fit(x, y, seed=0)
        self.real = self.eye.features(data.test.x[:count].float() / 255)

    def __call__(self, path: str | Path) -> dict[str, float]:
        """The four figures of a file of samples in [0, 1]."""
        x: Tensor = torch.from_numpy(np.load(path)).float()
        found = precision_recall_density_coverage(self.real, self.eye.features(x), k=5)
        return {name: getattr(found, name).value for name in FIGURES}
