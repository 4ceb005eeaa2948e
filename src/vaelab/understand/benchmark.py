r"""The common ground of a study: data, draws and spaces that every model is measured on alike.

Codes are codes of the *grey* values (if training binarizes, the encoder is given the mean of
its training targets), as every other command does; the same is true of decoded
images on their way back through the encoder, so that like is compared with like. The distortion
and the rate alone are of a fixed binarization, which their likelihood asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaelab.core import permutation
from vaelab.data import Data, DataSpec, Split
from vaelab.metrics import (
    Classifier,
    Estimate,
    FeatureSpace,
    PixelFeatures,
    Support,
    code_scale,
    different_class_pairs,
)
from vaelab.metrics.neighbours import kth_distance
from vaelab.recipes.design import compared
from vaelab.runs.run import Run

MOST, MOST_REFERENCE = 10_000, 60_000
ENOUGH = 2_000
"""Test rows that suffice for thresholds; fewer are joined by the validation rows."""

K, LEVEL, STEPS, PAIRS = 5, 0.95, 32, 500
CLASSIFIER_STEPS = 1_000
EQUAL = 1e-5
"""Distance of copies, in units of the features' scale: a network's rounding."""

ROWS = 4096
"""Rows that go through a network at once."""


@dataclass(frozen=True, eq=False)
class BenchmarkRows:
    """Rows of the data: raw, and x at model scale as the encoder is given it.

    Attributes:
        split: source of the rows.
        raw: (N, …).
        x: (N, …).
        y: labels (N,), None without labels.
    """

    split: str
    raw: Tensor
    x: Tensor
    y: Tensor | None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """The common reference of all models of a study.

    Attributes:
        spec: the data as the models see it.
        train: reference rows, at most 60,000.
        held: held-out rows, at most 10,000.
        classifier: classifier of the training data; None without labels.
        space: the features in which samples are compared with held-out data.
        features: features of the held-out rows.
        pixels: principal components of the training images.
        support: support of the training images, in these components.
        pairs: held-out rows (500, 2) that walks join.
        seed: seed of every draw.
    """

    spec: DataSpec
    train: BenchmarkRows
    held: BenchmarkRows
    classifier: Classifier | None
    space: FeatureSpace
    features: Tensor
    pixels: PixelFeatures
    support: Support
    pairs: Tensor
    seed: int

    @property
    def chance(self) -> float | None:
        """The share of the commonest class: what an accuracy that knows nothing can reach."""
        if self.held.y is None or not self.paired_by_class:
            return None
        return float(torch.bincount(self.held.y).max()) / len(self.held)

    @property
    def accuracy(self) -> Estimate | None:
        """Accuracy of the classifier on held-out rows."""
        if self.classifier is None or self.held.y is None:
            return None
        return self.classifier.accuracy(self.held.x, self.held.y)

    @property
    def paired_by_class(self) -> bool:
        """True if paths join rows of different classes; else any two."""
        return (
            self.classifier is not None
            and self.held.y is not None
            and len(self.held.y.unique()) > 1
        )

    @property
    def repeats(self) -> bool:
        """True if distances between rows mean nothing, as too many rows have exact copies.

        That is, if 95% of the held-out rows are equal to a training row, or more than 5% of them
        to k others: their balls hold nothing but copies, and all else counts as unlike the data.
        """
        if self.support.threshold.value <= EQUAL * code_scale(self.support.reference):
            return True
        if len(self.held) <= K:
            return False
        radii = kth_distance(self.features, self.features, K, exclude_self=True)
        equal = radii <= EQUAL * code_scale(self.features)
        return float(equal.double().mean()) > 1 - LEVEL

    def generator(self, purpose: int) -> torch.Generator:
        """Draws of one purpose: the same for every model of a study."""
        return torch.Generator().manual_seed(1_000 * self.seed + purpose)


def ground(data: Data, spec: DataSpec, seed: int = 0) -> Benchmark:
    """Prepare the common ground. Labels that name one class only are left out.

    Args:
        data: training, validation and test rows.
        spec: the data as the models see it, binarization included.
        seed: seed of the classifier and of every draw.
    """
    train = _rows("train", [data.train], spec, MOST_REFERENCE, seed)
    small = len(data.test.x) < ENOUGH
    splits = [data.valid, data.test] if small else [data.test]
    held = _rows("valid+test" if small else "test", splits, spec, MOST, seed)
    if train.y is not None and len(train.y.unique()) < 2:
        train, held = replace(train, y=None), replace(held, y=None)
    draws = torch.Generator().manual_seed(seed)
    view = compared(spec)
    classifier, pairs = None, torch.randint(len(held), (PAIRS, 2), generator=draws)
    if train.y is not None and held.y is not None:
        epochs = max(5, round(CLASSIFIER_STEPS * 256 / len(train)))
        classifier = Classifier.fit(train.x, train.y, seed, epochs, view=view)
        if len(held.y.unique()) > 1:
            pairs = different_class_pairs(held.y, PAIRS, draws)
    pixels = PixelFeatures.fit(train.x, seed=seed, view=view)
    space = pixels if classifier is None else classifier
    support = Support.calibrate(train.x, held.x, k=1, level=LEVEL, space=pixels)
    features = space(held.x)
    return Benchmark(spec, train, held, classifier, space, features, pixels, support, pairs, seed)


def _rows(
    name: str, splits: Sequence[Split], spec: DataSpec, most: int, seed: int
) -> BenchmarkRows:
    raws, labels = [], []
    share = most / max(most, sum(len(split.x) for split in splits))
    for split in splits:
        order = permutation(len(split.x), seed)
        chosen = order[: round(share * len(order))]
        raws.append(split.x[chosen])
        if split.y is not None:
            labels.append(split.y[chosen])
    raw = torch.cat(raws)
    y = torch.cat(labels) if len(labels) == len(splits) else None
    return BenchmarkRows(name, raw, spec.prepare(raw), y)


@dataclass(frozen=True, eq=False)
class Cloud:
    """The posteriors of some rows: means and standard deviations (N, L), 0 for points."""

    mu: Tensor
    sigma: Tensor

    @property
    def is_points(self) -> bool:
        """True if the encoder is deterministic."""
        return not bool(self.sigma.any())

    def draw(self, generator: torch.Generator) -> Tensor:
        """z ~ q(z|x), one for each row: (N, L)."""
        noise = torch.randn(self.mu.shape, generator=generator)
        return self.mu + self.sigma * noise


@torch.no_grad()
def encode(run: Run, x: Tensor) -> Cloud:
    """The posteriors of x (N, …) at model scale, for models with one site of latents."""
    mus, sigmas = [], []
    for part in x.split(ROWS):
        q = run.model(part, temperature=0.0).sites[0].posterior
        mus.append(q.mean)
        sigmas.append(q.tensors()["log_sigma"].exp() if q.has_density else torch.zeros_like(q.mean))
    return Cloud(torch.cat(mus), torch.cat(sigmas))


@torch.no_grad()
def decode(run: Run, z: Tensor) -> Tensor:
    """The likelihood's mean (N, …) at model scale for codes z (N, L); bounded data in [0, 1]."""
    x = torch.cat([run.model.decode([part]).likelihood.mean for part in z.split(ROWS)])
    return x.clamp(0, 1) if run.spec.bounded else x


def returned(run: Run, z: Tensor) -> Tensor:
    """The mean codes (N, L) of examples decoded from z (N, L); never all images at once."""
    return torch.cat([encode(run, decode(run, part)).mu for part in z.split(ROWS)])
