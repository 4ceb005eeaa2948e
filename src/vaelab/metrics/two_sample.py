r"""Classifier two-sample test by the area under the ROC curve (Lopez-Paz & Oquab 1610.06545).

    AUC = P(s(b) > s(a)) + ½ P(s(b) = s(a)),    s a score learned on half of both samples

½ if the classifier cannot separate the samples, 1 if it never errs. Measured on the other half;
the standard error is DeLong's (1988, Biometrics 44), with the classifier as it is. A blind
classifier gives ½ whatever the samples are: the figure proves differences, not likeness.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.metrics.classifier import Classifier
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import rows

STEPS, BATCH = 500, 256


def area_under_curve(negatives: Tensor, positives: Tensor) -> Estimate:
    """P(positive scores above negative), ties counting one half; DeLong's standard error.

    If every pair is in order the spread is 0 and no estimate; the standard error is then that
    of a share of the smaller sample that is never certain (Agresti & Coull's).

    Args:
        negatives: scores (N,).
        positives: scores (M,).
    """
    a, b = negatives.double(), positives.double()
    if a.ndim != 1 or b.ndim != 1 or min(len(a), len(b)) < 2:
        raise ValueError(
            f"two rows of at least 2 scores are needed, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    # The share of the other sample below each score, ties at one half.
    above = _below(a, b)
    under = 1 - _below(b, a)
    value = float(above.mean())
    se = math.sqrt(float(above.var()) / len(b) + float(under.var()) / len(a))
    n = min(len(a), len(b))
    if value in (0.0, 1.0):
        se = Estimate.share(torch.full((n,), bool(value))).se
    return Estimate(value, se, n)


def classifier_auc(a: Tensor, b: Tensor, seed: int = 0) -> Estimate:
    """Area under the curve of a small network, `a` (N, …) against `b` (M, …), on held-out halves.

    Args:
        a: the first sample, rows in no order; at least 8.
        b: the second, likewise.
        seed: seed of the network's training.
    """
    x, y = rows(a, "the first sample"), rows(b, "the second sample")
    if min(len(x), len(y)) < 8:
        raise ValueError(f"two samples of at least 8 rows are needed, got {len(x)} and {len(y)}")
    halves = [(part[: len(part) // 2], part[len(part) // 2 :]) for part in (x, y)]
    learn = torch.cat([halves[0][0], halves[1][0]])
    labels = torch.cat([torch.full((len(h[0]),), i) for i, h in enumerate(halves)])
    # Columns of unlike scale, as codes may be, are brought to one.
    mean, scale = learn.mean(0), learn.std(0).clamp(min=1e-6)
    epochs = max(1, round(STEPS * BATCH / len(learn)))
    judge = Classifier.fit((learn - mean) / scale, labels, seed, epochs, BATCH)
    scores = [judge.logits((held - mean) / scale).diff(dim=1)[:, 0] for _, held in halves]
    return area_under_curve(scores[0], scores[1])


def _below(reference: Tensor, scores: Tensor) -> Tensor:
    """For each of `scores` (M,) the share of `reference` (N,) below it, ties at one half."""
    ordered = reference.sort().values
    less = torch.searchsorted(ordered, scores)
    less_or_equal = torch.searchsorted(ordered, scores, right=True)
    return (less + less_or_equal).double() / (2 * len(reference))
