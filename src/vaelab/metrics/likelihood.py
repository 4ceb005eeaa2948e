r"""Bounds on the evidence over a whole data set, in nats per example with standard errors.

    −ELBO = D + R                       D = −E_q log p(x|z)        R = KL(q(z|x) ‖ p(z))
    NLL_K = −log (1/K) Σ_k p(x, z_k)/q(z_k|x) ≥ −log p(x)          (1509.00519)

Every x has its own binarization, drawn once from a stated seed; every z is sampled, whatever the
mode of the model. The standard errors are over examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate
from vaelab.walk import VAE, Evidence

ROWS = 4096
"""Rows (samples times examples) that are decoded at once: large enough for the matrix products."""


@torch.no_grad()
def elbo(model: VAE, batches: Iterable[Tensor], samples: int = 1) -> dict[str, Estimate]:
    """−ELBO, rate and distortion; for a deterministic encoder the distortion alone.

    Args:
        model: on the batches' device.
        batches: x (B, …) at the model's scale.
        samples: draws of z for each x, averaged.
    """
    found: dict[str, list[Tensor]] = {}
    for x in batches:
        trace = model(x, samples)
        distortion = -trace.unfold(trace.log_likelihood(x)).mean(0)
        found.setdefault("distortion", []).append(distortion)
        if trace.has_rate:
            rate = trace.unfold(trace.rate()[0]).mean(0)
            found.setdefault("rate", []).append(rate)
            found.setdefault("neg_elbo", []).append(distortion + rate)
    return {name: Estimate.mean(torch.cat(nats)) for name, nats in found.items()}


@torch.no_grad()
def importance_weighted(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 1000,
    on_batch: Callable[[int], None] | None = None,
) -> Estimate:
    """NLL_K, an upper bound on −log p(x) that tightens as K grows.

    The encoder runs once for each x; its evidence is tiled, and log-weights are accumulated as a
    running log-sum-exp, so that memory does not depend on K.

    Args:
        model: with posteriors that have a density.
        batches: x (B, …) at the model's scale.
        samples: K ≥ 1.
        on_batch: told how many examples are done, after each batch.
    """
    found, done = [], 0
    for x in batches:
        for rows in x.split(max(1, ROWS // samples) if samples < ROWS else 1):
            found.append(_negative_bound(model, rows, model.encoder(rows), samples))
        done += len(x)
        if on_batch is not None:
            on_batch(done)
    return Estimate.mean(torch.cat(found))


def _negative_bound(model: VAE, x: Tensor, evidence: Evidence, samples: int) -> Tensor:
    total = torch.full((len(x),), -math.inf, device=x.device)
    for start in range(0, samples, ROWS):
        count = min(ROWS, samples - start)
        log_w = model.infer(evidence, count).log_weights(x)
        total = torch.logaddexp(total.to(log_w), torch.logsumexp(log_w, 0))
    return math.log(samples) - total
