r"""Bounds on the evidence over a whole data set, in nats per example with standard errors.

    −ELBO = D + R                       D = −E_q log p(x|z)        R = KL(q(z|x) ‖ p(z))
    NLL_K = −log (1/K) Σ_k p(x, z_k)/q(z_k|x) ≥ −log p(x)          (1509.00519)
    ESS   = (Σ_k w_k)² / Σ_k w_k²,  w_k = p(x, z_k)/q(z_k|x)         how many draws carry weight

Every x has its own binarization, drawn once from a stated seed; every z is sampled, whatever the
mode of the model. The standard errors are over examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate
from vaelab.walk import VAE, Evidence

CACHED, WIDTH = 2**20, 256
"""Numbers that are decoded at once on a processor: 4 MB, which its caches hold (MNIST: 1,337 rows,
8 to 30% faster than 4,096); and numbers of a row at least, as networks are wider than small data.
"""


LEAST = 10
"""Draws that must carry weight before an importance-weighted bound is called tight."""


@torch.no_grad()
def elbo_of_each(model: VAE, batches: Iterable[Tensor], samples: int = 1) -> dict[str, Tensor]:
    """−ELBO, rate and distortion of every x, (N,); for a deterministic encoder distortion alone.

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
    return {name: torch.cat(nats) for name, nats in found.items()}


def elbo(model: VAE, batches: Iterable[Tensor], samples: int = 1) -> dict[str, Estimate]:
    """The means of `elbo_of_each`, with standard errors over x."""
    found = elbo_of_each(model, batches, samples)
    return {name: Estimate.mean(nats) for name, nats in found.items()}


@dataclass(frozen=True, eq=False)
class Weighed:
    """The importance-weighted bound of every x, and how much its K draws could tell.

    Attributes:
        nll: NLL_K in nats, (N,).
        ess: (Σ w)² / Σ w², the draws that carry weight, between 1 and K; (N,).
        samples: K.
    """

    nll: Tensor
    ess: Tensor
    samples: int

    @property
    def loose(self) -> Estimate:
        """Share of x for which fewer than 10 draws carry weight."""
        return Estimate.share(self.ess < LEAST)

    @property
    def slack(self) -> Estimate:
        """Nats by which NLL_K exceeds −log p(x), to first order: ½ (1/ESS − 1/K), averaged.

        The variance of the weights over 2K; where the bound is loose it is more than that.
        """
        return Estimate.mean(0.5 * (1 / self.ess - 1 / self.samples))

    @property
    def is_loose(self) -> bool:
        """Whether more draws would lower the figure by what its standard error does not cover.

        So it is called where more than 5% of x are `loose`, or where the `slack` exceeds the
        standard error over x.
        """
        return self.loose.value > 0.05 or self.slack.value > Estimate.mean(self.nll).se


@torch.no_grad()
def weigh(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 1000,
    on_batch: Callable[[int], None] | None = None,
) -> Weighed:
    """NLL_K of every x, an upper bound on −log p(x) that tightens as K grows.

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
    sums, squares, done = [], [], 0
    for x in batches:
        most = rows_at_once(x)
        for rows in x.split(max(1, most // samples)):
            one, two = _log_sums(model, rows, model.encoder(rows), samples, most)
            sums.append(one)
            squares.append(two)
        done += len(x)
        if on_batch is not None:
            on_batch(done)
    total, square = torch.cat(sums), torch.cat(squares)
    # Rounding must not lead out of what the definition allows.
    ess = torch.exp(2 * total - square).clamp(1, samples)
    return Weighed(math.log(samples) - total, ess, samples)


def importance_weighted(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 1000,
    on_batch: Callable[[int], None] | None = None,
) -> Estimate:
    """The mean of `weigh` over x, with its standard error over x."""
    return Estimate.mean(weigh(model, batches, samples, on_batch).nll)


def rows_at_once(x: Tensor) -> int:
    """Rows (samples times examples) to decode at once, for data like x (B, …).

    What caches hold, or on an accelerator what memory is free now, with 1 KB for each number of
    the data: a convolutional decoder keeps over a hundred activations a pixel, twice.
    """
    numbers = CACHED
    if x.device.type == "cuda":
        numbers = max(numbers, torch.cuda.mem_get_info(x.device)[0] // 1024)
    return max(1, numbers // max(WIDTH, x[0].numel()))


def _log_sums(
    model: VAE, x: Tensor, evidence: Evidence, samples: int, most: int
) -> tuple[Tensor, Tensor]:
    """log Σ w and log Σ w² over K draws, (B,) each."""
    sums = torch.full((2, len(x)), -math.inf, device=x.device)
    for start in range(0, samples, most):
        count = min(most, samples - start)
        log_w = model.infer(evidence, count).log_weights(x)
        new = torch.stack([torch.logsumexp(log_w, 0), torch.logsumexp(2 * log_w, 0)])
        sums = torch.logaddexp(sums.to(log_w), new)
    return sums[0], sums[1]
