r"""Probes of a trained model by perturbation; nats per example.

    attention      D(z of another x) − D(z)                       0 if the decoder ignores z
    effective β    −(dD/dt) / (dR/dt) at t = 1,  z = μ + t σ ε     the β its posteriors fit
    misfit         D − H(p(x|z)),  H by draws x' ~ p(x|z)          0 if the likelihood fits

If D + β R is stationary it is so against one factor t on all standard deviations, a direction
that the encoder's last bias allows. So the β a model was trained for can be read off the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor

from vaelab.core import VAE, Condition, Trace, fork_rng
from vaelab.distributions import Normal
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import paired

NUDGE = 0.05
"""Half the difference in t: D is smooth in it, and the noise is the same on both sides."""


@torch.no_grad()
def attention(
    model: VAE, batches: Iterable[Tensor], conditions: Iterable[Condition] | None = None
) -> Estimate:
    """Rise of the distortion if every x is decoded from the latents of another one.

    A row meets its own latents and those of the row before, which share their luck: with r_i the
    rise less its mean, se² = Σ (r_i² + 2 r_i r_i+1) / N².

    Args:
        model: on the batches' device.
        batches: x (B, …) at the model's scale, B of at least 2, rows in no order.
        conditions: condition of each batch, ((B, C),), for a conditional model; each x keeps
            its own, whatever latents it is given.
    """
    found = []
    for x, condition in paired(batches, conditions):
        trace = model(x, condition=condition)
        other = model.decode([z.roll(1, 0) for z in trace.latents], condition=condition)
        found.append((trace.log_likelihood(x) - other.log_likelihood(x)).double())
    alone = Estimate.mean(torch.cat(found))
    off = [rise - alone.value for rise in found]
    shared = float(sum((r * r.roll(1, 0)).sum() for r in off)) / alone.n**2
    # Of few rows the sum may come out as anything: no less than half of what rows alone would have.
    variance = max(0.5 * alone.se**2, alone.se**2 + 2 * shared)
    return Estimate(alone.value, math.sqrt(variance), alone.n)


@torch.no_grad()
def effective_beta(
    model: VAE,
    batches: Iterable[Tensor],
    samples: int = 4,
    conditions: Iterable[Condition] | None = None,
) -> Estimate | None:
    """The weight β of the rate for which the posteriors' scales minimise D + β R on these data.

    Give training rows: it is there that a trained model is stationary. The standard error is the
    ratio's, over examples.

    Args:
        model: on the batches' device.
        batches: x (B, …) at the model's scale.
        samples: draws of z for each x.
        conditions: condition of each batch, for a conditional model.

    Returns:
        None if a posterior is no diagonal normal, or all are the prior whatever x is.
    """
    slopes: list[Tensor] = []
    for x, condition in paired(batches, conditions):
        ends = []
        for t in (1 - NUDGE, 1 + NUDGE):
            with fork_rng(len(slopes), x.device):  # the same noise on both sides
                evidence = model.encoder(x, *condition)
                trace = model.infer(evidence, samples, t, condition)
                if not all(isinstance(site.posterior, Normal) for site in trace.sites):
                    return None
                ends.append(torch.stack([-trace.log_likelihood(x), _rate(trace, t)]))
        slopes.append(trace.unfold((ends[1] - ends[0]).T).mean(0))
    d, r = torch.cat(slopes).double().unbind(1)
    if abs(float(r.mean())) < 0.1 * NUDGE:  # less than a tenth of one unit is in use
        return None
    beta = float(-d.mean() / r.mean())
    doubt = Estimate.mean(d + beta * r).se / abs(float(r.mean()))
    return Estimate(beta, doubt, len(d))


def _rate(trace: Trace, t: float) -> Tensor:
    """log q_t(z) − log p(z) at z = μ + t σ ε, without the terms in ε, which are the same at all t:
    (K·B,)."""
    total = torch.zeros(())
    for site in trace.sites:
        log_sigma = cast(Normal, site.posterior).log_sigma.flatten(1)
        entropy = (log_sigma + math.log(t)).sum(1)
        total = total.to(entropy) - entropy - site.prior.log_prob(site.z)
    return total


@torch.no_grad()
def misfit(
    model: VAE, batches: Iterable[Tensor], conditions: Iterable[Condition] | None = None
) -> Estimate:
    """Excess of the distortion of data over that of draws from the model's own likelihood.

    0 on training data if the noise has the size and the shape of the likelihood's; below 0
    if the likelihood has more noise than the data, above 0 if it has less.

    Args:
        model: on the batches' device.
        batches: x (B, …) at the model's scale.
        conditions: condition of each batch, for a conditional model.
    """
    found = []
    for x, condition in paired(batches, conditions):
        trace = model(x, condition=condition)
        found.append(trace.log_likelihood(trace.likelihood.sample()) - trace.log_likelihood(x))
    return Estimate.mean(torch.cat(found))
