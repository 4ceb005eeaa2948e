r"""Every figure of one model, on the common ground of its study; definitions in `vaelab.metrics`.

A figure is an `Estimate`, or `Missing` with the reason why this model or this data has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vaelab import metrics as m
from vaelab.core import fork_rng
from vaelab.data import Batches
from vaelab.metrics.likelihood import elbo
from vaelab.runs.run import Run
from vaelab.understand.benchmark import LEVEL, STEPS, Benchmark, Cloud, K, decode, encode, returned

SAMPLES, PRIOR_DRAWS = 10_000, 60_000
KL_DRAWS, MMD_DRAWS = 2_000, 5_000
COMPARED = ("precision", "recall", "density", "coverage", "precision_coverage")
"""Figures of generated examples beside held-out ones."""

Why = Literal["point", "unlabelled", "collapsed", "repeats"]


@dataclass(frozen=True)
class Missing:
    """A figure that does not exist.

    Attributes:
        why: "point", a deterministic code has no density; "unlabelled", it needs classes;
            "collapsed", every code is the same; "repeats", too many rows have exact copies, so that
            no distance between rows says what resembles them.
    """

    why: Why


Figure = m.Estimate | Missing


@dataclass(frozen=True)
class Measured:
    """Measurements of a model.

    Attributes:
        figures: by name, those of `verdicts.ROWS`.
        classes: share of the generated samples by class; None without labels.
    """

    figures: dict[str, Figure]
    classes: tuple[float, ...] | None


def reach(ground: Benchmark, latent: int) -> m.Support:
    """Region that the prior of a latent size reaches, by 60,000 draws; the same for all models."""
    draws = torch.randn(PRIOR_DRAWS, latent, generator=ground.generator(6))
    fresh = torch.randn(SAMPLES, latent, generator=ground.generator(4))
    return m.Support.calibrate(draws, fresh, K, LEVEL)


def measure_model(run: Run, ground: Benchmark, reached: m.Support) -> Measured:
    """Measure one model.

    Args:
        run: the model.
        ground: the same for all models, and with it the draws.
        reached: `reach` of the model's latent size.
    """
    train, held = encode(run, ground.train.x), encode(run, ground.held.x)
    generated = decode(run, _prior(run, ground, len(ground.held), 1))
    figures = _evidence(run, ground)
    figures |= _regions(ground, train, held)
    figures |= _continuity(run, ground, train, held, reached)
    figures |= _paths(run, ground, held)
    figures |= _samples(ground, generated)
    figures |= {"spread": spread(run, ground, held)}
    found, classes = _classes(ground, generated)
    return Measured(figures | found, classes)


def _prior(run: Run, ground: Benchmark, n: int, purpose: int) -> Tensor:
    return torch.randn(n, run.latent, generator=ground.generator(purpose))


def _evidence(run: Run, ground: Benchmark) -> dict[str, Figure]:
    """Distortion, rate and −ELBO of held-out data under a fixed binarization."""
    batches = Batches(ground.held.raw, ground.spec).fixed(1000, ground.seed)
    with fork_rng(ground.seed):
        found = elbo(run.model, batches)
    names = ("distortion", "rate", "neg_elbo")
    return {name: found.get(name, Missing("point")) for name in names}


def _regions(ground: Benchmark, train: Cloud, held: Cloud) -> dict[str, Figure]:
    """Properties of the regions q(z|x), and their information on the class."""
    accuracy: Figure = Missing("unlabelled")
    if ground.train.y is not None and ground.held.y is not None and ground.paired_by_class:
        codes = [cloud.draw(ground.generator(2)) for cloud in (train, held)]
        accuracy = m.knn_accuracy(codes[0], ground.train.y, codes[1], ground.held.y, K)
    return {
        "posterior_scale": m.posterior_scale(held.sigma),
        "knn_accuracy": accuracy,
        "overlap": m.overlap(held.mu, held.sigma, K),
    }


def _continuity(
    run: Run, ground: Benchmark, train: Cloud, held: Cloud, reached: m.Support
) -> dict[str, Figure]:
    """Holes, reach, round trips, and the match of q(z) with the prior."""
    codes, fresh = train.draw(ground.generator(2)), held.draw(ground.generator(3))
    prior = _prior(run, ground, SAMPLES, 4)
    support = m.Support.calibrate(codes, fresh, K, LEVEL)
    ellipse = m.own_ellipse(codes, SAMPLES, ground.generator(5))
    few = min(MMD_DRAWS, len(codes))
    figures: dict[str, Figure] = {
        "hole_prior": m.hole_fraction(prior, support),
        "hole_ellipse": m.hole_fraction(ellipse, support),
        "unreached": m.hole_fraction(fresh, reached),
    }
    scale = m.code_scale(codes)
    errors = [m.round_trip_error(z, returned(run, z), scale) for z in (prior, fresh)]
    figures |= {
        "round_trip": m.Estimate.mean(errors[0]),
        "round_trip_gaps": Missing("repeats")
        if ground.repeats
        else m.round_trip_gaps(errors[0], errors[1], LEVEL),
        "aggregate_kl": Missing("point")
        if train.is_points
        else m.aggregate_kl(train.mu, train.sigma, KL_DRAWS, ground.generator(7)),
        # The ground's rows are in random order, so the first are a sample of them.
        "mmd": m.mmd(codes[:few], _prior(run, ground, few, 8)),
    }
    return figures


def _paths(run: Run, ground: Benchmark, held: Cloud) -> dict[str, Figure]:
    """Straight paths between the mean codes of two held-out rows, decoded."""
    paths = m.interpolation_path(held.mu[ground.pairs[:, 0]], held.mu[ground.pairs[:, 1]], STEPS)
    images = decode(run, paths.flatten(0, 1)).unflatten(0, paths.shape[:2])
    seen = ground.pixels.view(images.flatten(0, 1)).unflatten(0, paths.shape[:2])
    return {
        "roughness": m.roughness(seen),
        "off_support": Missing("repeats")
        if ground.repeats
        else m.off_support_share(images, ground.support),
    }


def _samples(ground: Benchmark, generated: Tensor) -> dict[str, Figure]:
    """Decoded prior draws against held-out data: means against grey values."""
    if ground.repeats:
        return dict.fromkeys(COMPARED, Missing("repeats"))
    found = m.precision_recall_density_coverage(ground.features, ground.space(generated), K)
    precision, coverage = found.precision, found.coverage
    return {
        "precision": precision,
        "recall": found.recall,
        "density": found.density,
        "coverage": coverage,
        "precision_coverage": product(precision, coverage),
    }


def product(a: m.Estimate, b: m.Estimate) -> m.Estimate:
    """a · b with the standard error of independent factors to first order; n is that of a.

    >>> found = product(m.Estimate(0.5, 0.1, 9), m.Estimate(0.2, 0.05, 9))
    >>> round(found.value, 3), round(found.se, 5)
    (0.1, 0.03202)
    """
    se = math.hypot(a.se * b.value, b.se * a.value)
    return m.Estimate(a.value * b.value, se, a.n)


def _classes(
    ground: Benchmark, generated: Tensor
) -> tuple[dict[str, Figure], tuple[float, ...] | None]:
    """Classifier confidence and class balance of the generated examples."""
    if ground.classifier is None:
        return {"confidence": Missing("unlabelled"), "balance": Missing("unlabelled")}, None
    found = m.class_balance(ground.classifier.probabilities(generated))
    return {"confidence": found.confidence, "balance": found.balance}, found.histogram


def spread(run: Run, ground: Benchmark, held: Cloud) -> Figure:
    """E ‖x̂ − x̂'‖ for two draws z, z' of one input, over the same for draws of two inputs.

    0 if an input always decodes alike, 1 if it differs from itself as from any other.
    """
    rows = ground.pairs.flatten().unique()
    first, second = (
        ground.pixels.view(
            decode(run, Cloud(held.mu[rows], held.sigma[rows]).draw(ground.generator(purpose)))
        )
        for purpose in (9, 10)
    )
    within = m.Estimate.mean((first - second).flatten(1).norm(dim=1))
    between = m.Estimate.mean((first - first.roll(1, 0)).flatten(1).norm(dim=1))
    if not between.value > 0:
        return Missing("collapsed")
    ratio = within.value / between.value
    se = math.hypot(within.se, ratio * between.se) / between.value
    return m.Estimate(ratio, se, within.n)
