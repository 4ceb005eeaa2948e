r"""Codes and samples against the prior, and a fitted prior against the model's own.

Of two priors −log p(z) is asked for the same draws z ~ q(z|x), and samples are compared with the
same test rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab import metrics as m
from vaelab.core import VAE, Condition, Trace, join
from vaelab.data import DataSpec
from vaelab.distributions import Distribution
from vaelab.doctor.comparison_space import View
from vaelab.fitted import WithPrior
from vaelab.metrics.features import PixelFeatures

BATCH, DRAWS = 256, 4000
FEWEST = 20
"""Rows that a threshold at 95% can be set with."""
WIDEST = 512
"""Latent numbers beyond which nearest neighbours say nothing of a cloud's shape."""
AVERAGED = 16
"""Draws behind a mean of encoded columns."""
FEW = 40
"""Test rows beside which samples can be judged."""


class AgainstPrior(NamedTuple):
    """Codes and samples against their references; None for a model without such a claim.

    Attributes:
        holes: share of prior draws where no code is.
        unreached: share of test codes that the prior does not reach.
        copies: share of samples twice as near to a training row as to any test row.
    """

    holes: m.Estimate | None = None
    unreached: m.Estimate | None = None
    copies: m.Estimate | None = None


class Lost(NamedTuple):
    """Loss of a fitted prior against the model's own; below 0 if it gains.

    Attributes:
        nats: −log p(z) of a test row's code, beyond that under the model's own.
        precision: share of samples that are like test rows, less that of the model's own.
        coverage: share of test rows that have a sample nearby, likewise. Both are None if test
            rows are few.
    """

    nats: m.Estimate
    precision: m.Estimate | None
    coverage: m.Estimate | None


class ReferenceRows(NamedTuple):
    """The rows that samples are set beside.

    Attributes:
        data: description of the rows.
        train: at the model's scale, never binarized, (N, …) on the CPU.
        test: likewise.
        told: conditions of the training rows.
        view: shows rows as numbers to compare.
    """

    data: DataSpec
    train: Tensor
    test: Tensor
    told: Condition
    view: View

    def sampled(self, model: VAE, n: int) -> list[Trace]:
        """At least n samples, with conditions of training rows."""
        size = (BATCH,)
        return [
            model.sample(BATCH, condition=tuple(c[torch.randint(len(c), size)] for c in self.told))
            for _ in range(math.ceil(n / BATCH))
        ]

    def seen(self, likelihood: Distribution) -> Tensor:
        """Generated rows of a likelihood, (B, F), to compare: its mean, or a draw for tables."""
        return self.view(likelihood.sample() if self.data.drawn else likelihood.mean)

    def expected(self, likelihood: Distribution) -> Tensor:
        """The mean of that, (B, F). Names have none, but their encoding has."""
        if not self.data.columns:
            return self.view(likelihood.mean)
        return torch.stack([self.view(likelihood.sample()) for _ in range(AVERAGED)]).mean(0)


def against_prior(model: VAE, codes: Tensor, others: Tensor, rows: ReferenceRows) -> AgainstPrior:
    """Codes (N, L) of training rows and of others against draws of the prior, and samples made of
    these against the data."""
    walks = rows.sampled(model, 2 * DRAWS)
    draws = torch.cat([join(list(walk.latents)).float().cpu() for walk in walks])
    n = min(len(rows.train), len(rows.test))  # as many rows to be near to on either side
    samples = torch.cat([rows.seen(walk.likelihood) for walk in walks[:4]])
    near, far = (m.nearest(samples, rows.view(x[:n]))[0] for x in (rows.train, rows.test))
    copies = m.Estimate.share(near < far / 2)
    if draws.shape[1] > WIDEST or min(len(codes), len(others)) <= FEWEST:
        return AgainstPrior(copies=copies)
    return AgainstPrior(
        m.hole_fraction(draws[:DRAWS], m.Support.calibrate(codes, others)),
        m.unreached_fraction(others, draws[:DRAWS], draws[DRAWS:]),
        copies,
    )


def lost(
    model: VAE, batches: Sequence[Tensor], told: Sequence[Condition], rows: ReferenceRows, seed: int
) -> Lost | None:
    """Loss of the current prior against the model's own; None if it is the model's own.

    Args:
        model: model with the fitted prior.
        batches: batches of test rows, in the form of the model's inputs.
        told: conditions of each batch.
        rows: rows that samples are compared with.
        seed: seed of the axes of comparison.
    """
    if not isinstance(model.generator, WithPrior):
        return None
    own = VAE(model.encoder, model.generator.generator).eval()
    more = []
    for x, condition in zip(batches, told, strict=True):
        trace = model(x, condition=condition)
        (site, *_) = trace.sites
        before = own.decode(trace.latents, condition=condition).sites[0].prior
        more.append((before.log_prob(site.z) - site.prior.log_prob(site.z)).cpu())
    nats = m.Estimate.mean(torch.cat(more))
    n = len(rows.test)
    if n < FEW or not bool((rows.train != rows.train[0]).any()):
        return Lost(nats, None, None)
    space = PixelFeatures.fit(rows.view(rows.train), seed=seed)
    real = space(rows.view(rows.test))
    fitted, theirs = (
        m.precision_recall_density_coverage(
            real,
            space(torch.cat([rows.seen(w.likelihood) for w in rows.sampled(which, n)])[:n]),
            seed=seed,
        )
        for which in (model, own)
    )
    return Lost(
        nats, less(theirs.precision, fitted.precision), less(theirs.coverage, fitted.coverage)
    )


def less(a: m.Estimate, b: m.Estimate) -> m.Estimate:
    """a − b, of figures that know nothing of each other."""
    return m.Estimate(a.value - b.value, math.hypot(a.se, b.se), a.n)
