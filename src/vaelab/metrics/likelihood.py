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

CACHED, WIDTH = 2**20, 256
"""Numbers that are decoded at once on a processor: 4 MB, which its caches hold (MNIST: 1,337 rows,
8 to 30% faster than 4,096); and numbers of a row at least, as networks are wider than small data.
"""


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

    Raises:
        ValueError: where K is below 1.
        TypeError: where a posterior is a point, which has no density.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; the bound needs at least 1")
    found, done = [], 0
    for x in batches:
        most = rows_at_once(x)
        for rows in x.split(max(1, most // samples)):
            found.append(_negative_bound(model, rows, model.encoder(rows), samples, most))
        done += len(x)
        if on_batch is not None:
            on_batch(done)
    return Estimate.mean(torch.cat(found))


def rows_at_once(x: Tensor) -> int:
    """Rows (samples times examples) to decode at once, for data like x (B, …).

    What caches hold, or on an accelerator what memory is free now, with 1 KB for each number of
    the data: a convolutional decoder keeps over a hundred activations a pixel, twice.
    """
    numbers = CACHED
    if x.device.type == "cuda":
        numbers = max(numbers, torch.cuda.mem_get_info(x.device)[0] // 1024)
    return max(1, numbers // max(WIDTH, x[0].numel()))


def _negative_bound(model: VAE, x: Tensor, evidence: Evidence, samples: int, most: int) -> Tensor:
    total = torch.full((len(x),), -math.inf, device=x.device)
    for start in range(0, samples, most):
        count = min(most, samples - start)
        log_w = model.infer(evidence, count).log_weights(x)
        total = torch.logaddexp(total.to(log_w), torch.logsumexp(log_w, 0))
    return math.log(samples) - total
