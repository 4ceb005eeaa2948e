r"""All figures of a run on one split of its data, in nats per example unless stated otherwise.

likelihood   −ELBO = distortion + rate ≥ NLL_K ≥ −log p(x), and AIS if requested
latent       rate by layer and dimension, its split over the training rows, active units
prior        distance between codes and prior draws
samples      precision, recall, density, coverage, FID, KID, distance to the training data
factors      if requested: disentanglement against the factors of variation
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vaelab.compile import flush_denormals
from vaelab.core import fork_rng, permutation
from vaelab.data import Batches, Split
from vaelab.evaluation import factors, latents, likelihood, samples
from vaelab.evaluation.feature_spaces import space_of
from vaelab.evaluation.result import Result
from vaelab.evaluation.settings import Settings
from vaelab.metrics.layer import Layer
from vaelab.runs.run import Run
from vaelab.training import find_device
from vaelab.utils.messages import Message

REFERENCE = 60_000
"""Training rows that codes and samples are compared with: all, or this many at random."""

GAPS = Message(
    "gaps_for_samples",
    "Samples are not compared with the data: rows have missing cells, and distances need whole "
    "rows.",
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        found: figures, figures of each example, facts and notes.
        layers: the layers of latents; None if codes are points, or were not measured.
        n: number of evaluated examples.
        digest: SHA-256 of x at the model's scale: equal for two evaluations on the same rows.
        device: device of the measurement.
        pictures: samples (n, …) and the nearest training examples, raw; None without them.
    """

    found: Result
    layers: list[Layer] | None
    n: int
    digest: str
    device: str
    pictures: tuple[Tensor, Tensor] | None = field(default=None)


def evaluate_run(
    run: Run, held: Split, train: Split, settings: Settings, device: str = "cpu"
) -> Evaluation:
    """Evaluate a run on held-out rows.

    Args:
        run: run to evaluate; its model is back on the CPU afterwards.
        held: raw held-out rows.
        train: raw training rows.
        settings: figures to compute.
        device: auto, cpu, cuda, …
    """
    place = find_device(device)
    seed, found = settings.seed, Result()
    batches = Batches(held.x, run.spec, place, held.known(run.spec))
    digest = digest_of(batches, seed)
    layers, pictures = None, None
    with on(run, place), flush_denormals(place):
        if {"latent", "samples"} & set(settings.parts):
            some = reference(train, seed)
            rows = Batches(some.x, run.spec, place, some.known(run.spec))
            found |= Result(facts={"train": len(rows)})
        whole = not any(s.x[:].isnan().any() for s in (held, train)) if run.spec.missing else True
        if "samples" in settings.parts and not whole:
            settings = replace(settings, parts=tuple(p for p in settings.parts if p != "samples"))
            found |= Result(notes=(GAPS,))
        if "samples" in settings.parts:
            space, classifier = space_of(settings.features, run, rows, some.y, seed)
            space(next(rows.fixed(2, seed)))  # what cannot work is better met now than at the end
        if "likelihood" in settings.parts:
            with fork_rng(seed, place):
                found |= likelihood.measure_evidence(run, batches, settings)
        if "latent" in settings.parts:
            with fork_rng(seed, place):
                more, layers = latents.measure_latents(run, rows, batches, seed)
            found |= more
        if "samples" in settings.parts:
            with fork_rng(seed, place):
                more, pictures = samples.measure_samples(
                    run, rows, batches, space, classifier, settings.draw or run.spec.drawn, seed
                )
            found |= more
        if settings.factors:
            with fork_rng(seed, place):
                found |= factors.measure_disentanglement(run, batches, held.variation, seed)
    return Evaluation(found, layers, len(held.x), digest, str(place), pictures)


def reference(train: Split, seed: int) -> Split:
    """At most 60,000 training rows, chosen at random but kept in order."""
    if len(train) <= REFERENCE:
        return train
    return train.take(permutation(len(train), seed)[:REFERENCE].sort().values)


def digest_of(batches: Batches, seed: int) -> str:
    """SHA-256 of the rows at the model's scale, binarization included."""
    seen = hashlib.sha256()
    for x in batches.fixed(1024, seed):
        seen.update(x.cpu().contiguous().numpy().tobytes())
    return seen.hexdigest()


@contextmanager
def on(run: Run, place: torch.device) -> Iterator[None]:
    """Move the model to a device, and back to the CPU."""
    run.model.to(place)
    try:
        yield
    finally:
        run.model.to("cpu")
