"""Samples beside held-out data, in a stated feature space.

Means of the likelihood are compared with the data as they are (grey if training binarizes), and
draws from the likelihood with the data that the model was given, binarized once by the seed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.core import permutation
from vaelab.data import Batches
from vaelab.evaluation.result import Result
from vaelab.metrics.classifier import Classifier, class_balance
from vaelab.metrics.discrepancy import frechet_distances, kernel_distance
from vaelab.metrics.features import FeatureSpace
from vaelab.metrics.neighbours import nearest
from vaelab.metrics.samples import nearest_training_distance, precision_recall_density_coverage
from vaelab.runs.run import Run
from vaelab.utils.messages import Message
from vaelab.utils.progress import counting

MOST, KERNEL, K, SHOWN, BATCH = 10_000, 5_000, 5, 12, 1000
FEW = 40


def measure_samples(
    run: Run,
    train: Batches,
    held: Batches,
    space: FeatureSpace,
    classifier: Classifier | None,
    draw: bool,
    seed: int,
) -> tuple[Result, tuple[Tensor, Tensor] | None]:
    """Figures of as many samples as there are held-out rows (at most 10,000), and some pictures.

    Args:
        run: on the batches' device.
        train: training rows.
        held: held-out rows.
        space: feature space of the comparison.
        classifier: classifier of the training data, if it has labels.
        draw: compare draws from the likelihood, or else its means.
        seed: seed of the choice of rows and of binarization.
    """
    n = min(len(held), MOST)
    if n < FEW:
        note = Message(
            "few_for_samples",
            "{n} held-out rows are too few to compare samples with; at least {least} are needed.",
            n=str(n),
            least=str(FEW),
        )
        return Result(notes=(note,)), None
    with torch.no_grad(), counting("samples", 4) as done:
        real, seen = as_given(held, n, draw, seed), as_given(train, len(train), draw, seed)
        fake = generated(run, n, draw, held, seed)
        real_f, fake_f, seen_f = space(real), space(fake), space(seen)
        done(1)
        four = precision_recall_density_coverage(real_f, fake_f, K, seed)
        done(2)
        fid, corrected = frechet_distances(real_f, fake_f)
        few = min(n, KERNEL)
        kid = kernel_distance(real_f[:few], fake_f[:few])
        done(3)
        figures = {
            "precision": four.precision,
            "recall": four.recall,
            "density": four.density,
            "coverage": four.coverage,
            "fid": fid,
            "fid_corrected": corrected,
            "kid": kid,
            "nearest_sample": nearest_training_distance(fake_f, seen_f),
            "nearest_held": nearest_training_distance(real_f, seen_f),
        }
        if classifier is not None:
            judged = class_balance(classifier.probabilities(fake))
            figures |= {"confidence": judged.confidence, "balance": judged.balance}
        _, closest = nearest(fake_f[:SHOWN], seen_f)
        done(4)
    facts = {
        "features": space.name,
        "sample_count": n,
        "neighbours": K,
        "output": "draws from the likelihood" if draw else "means of the likelihood",
    }
    pictures = tuple(run.spec.unscale(x.cpu()) for x in (fake[:SHOWN], seen[closest]))
    return Result(figures, facts=facts), (pictures[0], pictures[1])


def as_given(batches: Batches, n: int, binarized: bool, seed: int) -> Tensor:
    """n rows in random order at the model's scale (n, …), binarized on request."""
    order = chosen(batches, n, seed)
    if binarized:
        return torch.cat(list(batches.fixed(BATCH, seed)))[order.to(batches.device)]
    parts = [batches.spec.prepare(batches.x[part]) for part in order.split(BATCH)]
    return torch.cat(parts).to(batches.device)


def chosen(batches: Batches, n: int, seed: int) -> Tensor:
    """n rows in random order, by number."""
    return permutation(len(batches), seed)[:n]


@torch.no_grad()
def generated(run: Run, n: int, draw: bool, held: Batches, seed: int) -> Tensor:
    """n samples (n, …) at the model's scale; bounded data in [0, 1].

    A conditional model is given the conditions of the held-out rows they are compared with.
    """
    parts = []
    told = next(held.conditions(len(held)))
    for which in chosen(held, n, seed).to(held.device).split(BATCH):
        known = tuple(c[which] for c in told)
        likelihood = run.model.sample(len(which), condition=known).likelihood
        parts.append(likelihood.sample() if draw else likelihood.mean)
    x = torch.cat(parts)
    return x.clamp(0, 1) if run.spec.bounded else x
