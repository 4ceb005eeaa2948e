r"""Measurements of a run, before any finding.

Everything is measured on the trained model itself, so that no check knows of a recipe's name: a
rate if its posteriors have one, a prior if its objective regularises it or it was fitted.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab import metrics as m
from vaelab.core import VAE, Condition, join
from vaelab.data import Batches, Split
from vaelab.distributions import Normal
from vaelab.doctor.comparison_space import view_of
from vaelab.doctor.prior_measurements import (
    BATCH,
    AgainstPrior,
    Lost,
    ReferenceRows,
    against_prior,
    lost,
)
from vaelab.fitted import WithPrior
from vaelab.metrics.aggregate import rate_split
from vaelab.metrics.likelihood import elbo
from vaelab.metrics.mean_code import excess_at_mean
from vaelab.metrics.probes import attention, effective_beta, misfit
from vaelab.runs.run import Run

NOTHING = 0.1
"""Nats below which z carries no information."""


class Codes(NamedTuple):
    """The latents of some rows, all sites side by side.

    Attributes:
        z: draws of q(z|x), (N, L).
        mean: posterior means of what are units and no code's numbers, (N, L').
        sigma: standard deviations (N, L); None if a posterior is no diagonal normal.
        rates: mean nats by site; None if a posterior has no density.
    """

    z: Tensor
    mean: Tensor
    sigma: Tensor | None
    rates: list[float] | None


class Explained(NamedTuple):
    """Shares of the variance of the test rows.

    Attributes:
        model: that reconstructions hold.
        linear: that principal components hold, as many as there are latents.
        astray: by which the error of decoded means exceeds that of decoded draws, over the rows'
            variance; negative for a trained model.
    """

    model: float
    linear: float
    astray: m.Estimate


@dataclasses.dataclass(frozen=True)
class RunMeasurements:
    """Measurements of a run, for the checks.

    Attributes:
        run: the run.
        train: −ELBO, rate and distortion on training rows.
        test: the same on test rows.
        codes: codes of the training rows.
        attention: rise of the distortion if z is another example's.
        beta: the effective weight of the rate; None if it cannot be determined.
        misfit: nats by which the data surprise more than the likelihood's own draws, per dimension.
        information: I_q(x; z), at most the logarithm of the rows; None if it cannot be determined.
        prior: how codes and samples compare with the prior and the data.
        lost: loss of a fitted prior against the model's own; None under its own.
        explained: share of the variance that reconstructions keep.
    """

    run: Run
    train: dict[str, m.Estimate]
    test: dict[str, m.Estimate]
    codes: Codes
    attention: m.Estimate
    beta: m.Estimate | None
    misfit: m.Estimate
    information: m.Estimate | None
    prior: AgainstPrior
    lost: Lost | None
    explained: Explained

    @property
    def bound(self) -> str:
        """The name of the loss that can be compared: −ELBO, or the distortion of a point code."""
        return "neg_elbo" if "neg_elbo" in self.test else "distortion"

    @property
    def active(self) -> Tensor:
        """Mask of the units that move with x, (L',)."""
        return m.active_units(self.codes.mean)

    @property
    def collapsed(self) -> bool:
        """True if z carries no information on x: swapping it costs, or its rate is, below 0.1 nats.

        The information in z about x is at most the rate, under whatever prior.
        """
        paid = self.train["rate"].value if "rate" in self.train else math.inf
        return paid < NOTHING or self.attention.value < max(NOTHING, 2 * self.attention.se)


@torch.no_grad()
def measure_run(
    run: Run, train: Split, test: Split, seed: int, device: torch.device
) -> RunMeasurements:
    """Measure a run whose model is on `device`; a conditional one gets the known conditions."""
    model = run.model
    rows, held = (batched(run, split, seed, device) for split in (train, test))
    codes, others = encode(model, rows), encode(model, held)
    grey = dataclasses.replace(run.spec, binarize="no")
    x, y = (grey.prepare(split.x[:]) for split in (train, test))
    told = tuple(torch.cat(parts) for parts in zip(*rows.told, strict=True))
    beside = ReferenceRows(run.spec, x, y, told, view_of(run.spec, x))
    objective, fitted = run.recipe.objective, isinstance(model.generator, WithPrior)
    bound_to_prior = (
        fitted
        or codes.rates is not None
        or objective.batch_coupled
        or bool(list(objective.parameters()))
    )
    return RunMeasurements(
        run,
        elbo(model, rows.x, 4, rows.told),
        elbo(model, held.x, 4, held.told),
        codes,
        attention(model, *rows.of_several()),
        # The model is at rest under the prior it was trained with, and under no other.
        None if fitted else effective_beta(model, rows.x, conditions=rows.told),
        scaled(misfit(model, rows.x, rows.told), 1 / run.spec.dims),
        information(codes, seed),
        against_prior(model, codes.z, others.z, beside) if bound_to_prior else AgainstPrior(),
        lost(model, *held, beside, seed),
        _explained(model, beside, held.told, run.latent),
    )


class Given(NamedTuple):
    """Rows in batches, on the model's device and at its scale.

    Attributes:
        x: the batches.
        told: the conditions of each.
    """

    x: list[Tensor]
    told: list[Condition]

    def of_several(self) -> Given:
        """The batches that hold more than one row."""
        kept = [i for i, x in enumerate(self.x) if len(x) > 1]
        return Given([self.x[i] for i in kept], [self.told[i] for i in kept])


def batched(run: Run, split: Split, seed: int, device: torch.device) -> Given:
    """The rows of a split as the run's model is given them."""
    rows = Batches(split.x, run.spec, device, split.known(run.spec))
    size = min(BATCH, len(rows))
    return Given(list(rows.fixed(size, seed)), list(rows.conditions(size)))


def encode(model: VAE, batches: Given) -> Codes:
    """The codes of batches, on the CPU."""
    z, means, sigmas, rates = [], [], [], []
    for x, condition in zip(*batches, strict=True):
        trace = model(x, condition=condition)
        z.append(_join([site.z for site in trace.sites]))
        means.append(trace.units.float().cpu())
        normal = [s.posterior.sigma for s in trace.sites if isinstance(s.posterior, Normal)]
        if len(normal) == len(trace.sites):
            sigmas.append(_join(normal))
        if trace.has_rate:
            rates.append(torch.stack([site.rate()[0] for site in trace.sites], 1).cpu())
    return Codes(
        torch.cat(z),
        torch.cat(means),
        torch.cat(sigmas) if sigmas else None,
        torch.cat(rates).mean(0).tolist() if rates else None,
    )


def _join(latents: list[Tensor]) -> Tensor:
    return join(latents).float().cpu()


def information(codes: Codes, seed: int) -> m.Estimate | None:
    """Information in z about the row x, for one site with normal posteriors."""
    if codes.sigma is None or codes.rates is None or len(codes.rates) > 1:
        return None
    zero = torch.zeros(1, codes.mean.shape[1])
    posteriors = [Normal(codes.mean, codes.sigma.log())]
    return rate_split(posteriors, Normal(zero, zero), seed=seed).information


def scaled(found: m.Estimate, factor: float) -> m.Estimate:
    """An estimate in another unit."""
    return m.Estimate(found.value * factor, found.se * factor, found.n)


def _explained(model: VAE, rows: ReferenceRows, told: list[Condition], latent: int) -> Explained:
    device = next(model.parameters()).device
    batches = [(b.to(device), c) for b, c in zip(rows.test.split(BATCH), told, strict=True)]
    walks = [model(b, 1, 0.0, c).likelihood for b, c in batches]
    x, y = rows.view(rows.train), rows.view(rows.test)
    decoded = torch.cat([rows.expected(likelihood) for likelihood in walks])
    centre = x.mean(0)
    total = float((y - centre).square().sum())
    if not total > 0:
        return Explained(math.nan, math.nan, m.Estimate(0.0, 0.0, len(y)))
    excess = [
        excess_at_mean(model, b, c, rows.expected, target)
        for (b, c), target in zip(batches, y.split(BATCH), strict=True)
        if len(target) > 1
    ]
    axes = torch.linalg.svd((x - centre)[:1000], full_matrices=False).Vh[:latent]
    rest = (y - centre) - (y - centre) @ axes.T @ axes
    return Explained(
        1 - float((y - decoded).square().sum()) / total,
        1 - float(rest.square().sum()) / total,
        m.Estimate.mean(torch.cat(excess)),
    )
