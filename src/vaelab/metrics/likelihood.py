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
from functools import partial

import torch
from torch import Tensor

from vaelab.compile import Program
from vaelab.core import VAE, Condition, Evidence
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import paired

CACHED, WIDTH = 2**20, 256
"""Numbers that are decoded at once on a processor: 4 MB, which its caches hold (MNIST: 1,337 rows,
8 to 30% faster than 4,096); and numbers of a row at least, as networks are wider than small data.
"""


LEAST = 10
"""Draws that must carry weight before an importance-weighted bound is called tight."""


@torch.no_grad()
def elbo_of_each(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 1,
    conditions: Iterable[Condition] | None = None,
) -> dict[str, Tensor]:
    """−ELBO, rate and distortion of every x, (N,); for a deterministic encoder distortion alone.

    Args:
        model: on the batches' device.
        batches: x (B, …) at the model's scale.
        samples: draws of z for each x, averaged.
        conditions: condition of each batch, ((B, C),), for a conditional model.
    """
    found: dict[str, list[Tensor]] = {}
    for x, condition in paired(batches, conditions):
        trace = model(x, samples, condition=condition)
        distortion = -trace.unfold(trace.log_likelihood(x)).mean(0)
        found.setdefault("distortion", []).append(distortion)
        if trace.has_rate:
            rate = trace.unfold(trace.rate()[0]).mean(0)
            found.setdefault("rate", []).append(rate)
            found.setdefault("neg_elbo", []).append(distortion + rate)
    return {name: torch.cat(nats) for name, nats in found.items()}


def elbo(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 1,
    conditions: Iterable[Condition] | None = None,
) -> dict[str, Estimate]:
    """The means of `elbo_of_each`, with standard errors over x."""
    found = elbo_of_each(model, batches, samples, conditions)
    return {name: Estimate.mean(nats) for name, nats in found.items()}


@dataclass(frozen=True, eq=False)
class Weighed:
    """Importance-weighted bound of every x, with diagnostics of its K draws.

    Attributes:
        nll: NLL_K in nats, (N,).
        neg_elbo: −1/K Σ log w over the same draws, (N,): the concave log makes it NLL_K or more.
        ess: (Σ w)² / Σ w², the draws that carry weight, between 1 and K; (N,).
        samples: K.
    """

    nll: Tensor
    neg_elbo: Tensor
    ess: Tensor
    samples: int

    @property
    def loose(self) -> Estimate:
        """Share of x for which fewer than 10 draws carry weight."""
        return Estimate.share(self.ess < LEAST)

    @property
    def slack(self) -> Estimate:
        """Nats by which NLL_K exceeds −log p(x), to first order: ½ (1/ESS − 1/K), averaged.

        The variance of the weights over 2K; if the bound is loose it is more than that.
        """
        return Estimate.mean(0.5 * (1 / self.ess - 1 / self.samples))

    @property
    def is_loose(self) -> bool:
        """True if more draws would lower the figure by more than its standard error.

        This holds if more than 5% of x are `loose`, or if the `slack` exceeds the
        standard error over x.
        """
        return self.loose.value > 0.05 or self.slack.value > Estimate.mean(self.nll).se


@torch.no_grad()
def weigh(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 1000,
    on_batch: Callable[[int], None] | None = None,
    *,
    bf16: bool = False,
    compile: bool = False,
    conditions: Iterable[Condition] | None = None,
) -> Weighed:
    """NLL_K of every x, an upper bound on −log p(x) that tightens as K grows, and −ELBO.

    The encoder runs once for each x; its evidence is tiled, and log-weights are accumulated as a
    running log-sum-exp, so that memory does not depend on K.

    Args:
        model: with posteriors that have a density.
        batches: x (B, …) at the model's scale.
        samples: K ≥ 1.
        on_batch: callback, called with the number of examples done after each batch.
        bf16: run the networks in bf16; likelihoods and weights stay in full precision.
        compile: compile the model's pass; this takes seconds, and changes rounding only.
        conditions: condition of each batch, ((B, C),), for a conditional model.

    Raises:
        ValueError: if K is below 1.
        TypeError: if a posterior is a point, which has no density.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; the bound needs at least 1")
    found, done = [], 0
    walk = _Walk(model, bf16, compile)
    for x, condition in paired(batches, conditions):
        most = rows_at_once(x)
        # In one place for a batch: small results kept between large buffers would part the memory.
        of_batch, size = x.new_empty(3, len(x)), max(1, most // samples)
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            known = tuple(c[rows] for c in condition)
            of_batch[:, rows] = _log_sums(walk, x[rows], known, samples, most)
        found.append(of_batch)
        done += len(x)
        if on_batch is not None:
            on_batch(done)
    total, square, mean = torch.cat(found, 1)
    nll = math.log(samples) - total
    # Rounding must not lead out of what the definitions allow.
    ess = torch.exp(2 * total - square).clamp(1, samples)
    return Weighed(nll, torch.maximum(-mean, nll), ess, samples)


def importance_weighted(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 1000,
    on_batch: Callable[[int], None] | None = None,
    *,
    bf16: bool = False,
    compile: bool = False,
    conditions: Iterable[Condition] | None = None,
) -> Estimate:
    """The mean of `weigh` over x, with its standard error over x."""
    found = weigh(
        model, batches, samples, on_batch, bf16=bf16, compile=compile, conditions=conditions
    )
    return Estimate.mean(found.nll)


def rows_at_once(x: Tensor) -> int:
    """Rows (samples times examples) to decode at once, for data like x (B, …).

    What caches hold, or half the memory of an accelerator, with 1 KB for each number of the data: a
    convolutional decoder keeps over a hundred activations a pixel, twice. Of the memory there is,
    not of what is free now: draws differ with the rows, and one seed is to give the same.
    """
    numbers = CACHED
    if x.device.type == "cuda":
        numbers = max(numbers, torch.cuda.get_device_properties(x.device).total_memory // 2048)
    return max(1, numbers // max(WIDTH, x[0].numel()))


class _Walk:
    """log Σ w, log Σ w² and Σ log w of draws, (3, B): eagerly, or by one program for each count."""

    def __init__(self, model: VAE, bf16: bool, compile: bool) -> None:
        self.model, self.bf16, self.compile = model, bf16, compile
        self.programs: dict[int, Program[Tensor]] = {}

    def encode(self, x: Tensor, condition: Condition) -> Evidence:
        with self._autocast(x):
            return self.model.encoder(x, *condition)

    def sums(self, x: Tensor, evidence: Evidence, condition: Condition, count: int) -> Tensor:
        if not self.compile:
            return self._sums(x, evidence, condition, count)
        if count not in self.programs:
            self.programs[count] = Program("a walk", partial(self._sums, count=count))
        return self.programs[count](x, evidence, condition)

    def _sums(self, x: Tensor, evidence: Evidence, condition: Condition, count: int) -> Tensor:
        with self._autocast(x):
            trace = self.model.infer(evidence, count, condition=condition)
        log_w = trace.log_weights(x)
        sums = [torch.logsumexp(log_w, 0), torch.logsumexp(2 * log_w, 0), log_w.sum(0)]
        return torch.stack(sums)

    def _autocast(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16)


def _log_sums(walk: _Walk, x: Tensor, condition: Condition, samples: int, most: int) -> Tensor:
    """log Σ w, log Σ w² and the mean of log w over K draws, (3, B)."""
    evidence = walk.encode(x, condition)
    logs = torch.full((2, len(x)), -math.inf, device=x.device)
    sum_of_logs = torch.zeros(len(x), device=x.device)
    for start in range(0, samples, most):
        new = walk.sums(x, evidence, condition, min(most, samples - start))
        logs = torch.logaddexp(logs.to(new), new[:2])
        sum_of_logs = sum_of_logs + new[2]
    return torch.cat([logs, sum_of_logs[None] / samples])
