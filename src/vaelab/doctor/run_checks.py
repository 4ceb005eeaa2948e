"""Checks of a run: each yields findings on the measurements, and nothing else.

Limits were set on runs known to be healthy and on planted diseases; a figure counts as beyond its
limit only if it is so by two standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from vaelab.doctor.findings import Evidence, Finding, Findings
from vaelab.doctor.prior_measurements import Lost
from vaelab.doctor.run_measurements import NOTHING, RunMeasurements
from vaelab.doctor.training_checks import complete, converged, stable
from vaelab.metrics import Estimate, rate_per_dimension
from vaelab.metrics.mean_code import ASTRAY
from vaelab.parts.likelihoods import Likelihood

OVER, UNDER, POOR = 1.1, 0.2, 0.4
HOLES, UNREACHED = 0.25, 0.25
GAP, COPIES = 0.1, 0.2

BY_CHANCE = 3
"""By chance, 1 / (1 + 2^D) of samples in D dimensions are twice as near to a training row as to any
of as many others; if columns hold few values, and rows are alike, over twice as many are."""
LOST = 0.1
MISFIT = 0.25
PLENTY = 0.5


def beyond(found: Estimate, limit: float) -> bool:
    """Return True if a figure exceeds a limit by two standard errors."""
    return found.value - 2 * found.se > limit


def listens(seen: RunMeasurements) -> Findings:
    """Does the decoder make anything of z?"""
    if not seen.collapsed:
        yield from _levels(seen)
        return
    rate = seen.train.get("rate")
    if rate is None or rate.value >= NOTHING:
        paid = "" if rate is None else f", although {rate.value:.2f} nats are paid for it"
        yield Finding(
            "ignored-code",
            "error",
            f"the decoder ignores z{paid}: any other example's z does as well",
            Evidence.of(
                "rise of the distortion where z is swapped", seen.attention, NOTHING, "nats"
            ),
            "train longer or with a smaller --lr; where it stays so, a decoder that is less able "
            "on its own (a smaller --width)",
        )
        return
    active = int(seen.active.sum())
    yield Finding(
        "collapse",
        "error",
        f"z tells nothing of x: {active} of {len(seen.active)} units active, every posterior is "
        f"the prior, and swapping z costs {max(seen.attention.value, 0.0):.2f} nats",
        Evidence.of("rate", rate, NOTHING, "nats"),
        "train longer; where it stays so, lower the weight of the rate (--beta), raise it slowly, "
        "lower --lr, or take a likelihood with less noise",
    )


def _levels(seen: RunMeasurements) -> Findings:
    rates = seen.codes.rates or []
    dead = [i for i, nats in enumerate(rates) if nats < NOTHING]
    if len(rates) > 1 and dead:
        names = ", ".join(str(i + 1) for i in dead)
        yield Finding(
            "dead-level",
            "warning",
            f"of {len(rates)} groups of latents, from the top, number {names} says nothing",
            Evidence("rate of the least group", min(rates), NOTHING, "nats"),
            "fewer groups or levels, or a rate that is weighed less at first",
        )


def weighed(seen: RunMeasurements) -> Findings:
    """Is the rate weighed too much, or too little?"""
    beta = seen.beta
    if beta is None or seen.collapsed:
        return
    if beta.value + 2 * beta.se < UNDER:
        yield Finding(
            "under-regularised",
            "warning",
            f"the rate, {seen.train['rate'].value:.1f} nats, hardly counts: codes shrink to points "
            "and drift away from the prior",
            Evidence.of("effective β", beta, UNDER),
            "raise --beta towards 1, or fit another prior: vaelab fit-prior mixture RUN",
        )
    if beyond(beta, OVER) and seen.explained.model < POOR * seen.explained.linear:
        yield Finding(
            "over-regularised",
            "warning",
            f"z explains {seen.explained.model:.0%} of the variance, {seen.run.latent} principal "
            f"components {seen.explained.linear:.0%}; the rate is weighed {beta.value:.2g} times",
            Evidence.of("effective β", beta, OVER),
            "lower --beta towards 1",
        )


def decodes_means(seen: RunMeasurements) -> Findings:
    """Are reconstructions, which decode posterior means, as good as decoded draws?"""
    if beyond(seen.explained.astray, ASTRAY):
        yield Finding(
            "mean-astray",
            "warning",
            "posterior means decode far worse than draws of the posterior: reconstructions, "
            "interpolations and traversals show what the decoder was never trained on",
            Evidence.of(
                "excess error at the mean, over the variance", seen.explained.astray, ASTRAY
            ),
            "train longer (--epochs), or with fewer latents (--latent); until then look at "
            "variations, which decode draws",
        )


def matches_prior(seen: RunMeasurements) -> Findings:
    """Do codes and prior cover the same region?"""
    remedy = _nearer(seen)
    if seen.prior.holes is not None and beyond(seen.prior.holes, HOLES):
        yield Finding(
            "holes",
            "warning",
            "much of the prior falls where no code is: samples from there resemble nothing",
            Evidence.of("share of prior draws in holes", seen.prior.holes, HOLES),
            remedy,
        )
    if seen.prior.unreached is not None and beyond(seen.prior.unreached, UNREACHED):
        yield Finding(
            "unreached",
            "warning",
            "many codes lie where the prior does not come: such examples are never generated",
            Evidence.of("share of test codes unreached", seen.prior.unreached, UNREACHED),
            remedy,
        )


def _nearer(seen: RunMeasurements) -> str:
    """Advice that brings codes and prior together, and does not contradict other findings."""
    ways = []
    if seen.beta is None or not beyond(seen.beta, OVER):
        ways.append("raise --beta")
    if not bool(seen.active.all()):
        ways.append("take fewer latents")
    return ", or ".join([*ways, "fit another prior: vaelab fit-prior mixture RUN"])


def prior_gains(seen: RunMeasurements) -> Findings:
    """Is a prior that was fitted afterwards no worse than the model's own?"""
    if seen.lost is None:
        return
    worse = [one for one in _losses(seen.lost) if beyond(one.found, one.limit)]
    if worse:
        first = worse[0]
        yield Finding(
            "worse-prior",
            "warning",
            f"this prior is worse than the model's own: {', '.join(one.said for one in worse)}",
            Evidence.of(first.figure, first.found, first.limit, first.unit),
            "leave --prior out, or fit another: vaelab fit-prior mixture RUN takes no more "
            "components than held-out codes bear out",
        )


class _Loss(NamedTuple):
    """One figure by which a prior may be worse."""

    figure: str
    found: Estimate
    limit: float
    unit: str
    said: str


def _losses(lost: Lost) -> Iterator[_Loss]:
    nats, precision, coverage = lost
    said = f"a test code costs {nats.value:.2f} nats more"
    yield _Loss("−log p(z) beyond the own prior's", nats, NOTHING, "nats", said)
    if precision is not None:
        said = f"{precision.value:.0%} fewer samples are like test rows"
        yield _Loss("precision lost", precision, LOST, "", said)
    if coverage is not None:
        said = f"{coverage.value:.0%} fewer test rows have a sample nearby"
        yield _Loss("coverage lost", coverage, LOST, "", said)


def generalises(seen: RunMeasurements) -> Findings:
    """Does it do as well on rows it never saw, and are its samples its own?"""
    train, test = seen.train[seen.bound], seen.test[seen.bound]
    gap = Estimate(test.value - train.value, math.hypot(test.se, train.se), test.n)
    scale = max(seen.attention.value, 1.0)
    if gap.value > GAP * scale and gap.value > 4 * gap.se:
        yield Finding(
            "over-fitting",
            "warning",
            f"test rows cost {test.value:.1f} nats, training rows {train.value:.1f}",
            Evidence.of("gap", gap, GAP * scale, "nats"),
            "more data, a smaller --width or --latent, more --weight-decay, or --patience 10",
        )
    copies = max(COPIES, BY_CHANCE / (1 + 2.0 ** min(seen.run.spec.dims, 64)))
    if seen.prior.copies is not None and beyond(seen.prior.copies, copies):
        yield Finding(
            "memorised",
            "warning",
            "samples are copies of training rows: twice as near to one of these as to any test row",
            Evidence.of("share of samples that are", seen.prior.copies, copies),
            "more data, or a smaller --width and --latent",
        )


def likelihood_fits(seen: RunMeasurements) -> Findings:
    """Is the noise in the data the noise that the likelihood claims?"""
    likelihood = seen.run.model.generator.likelihood
    name = seen.run.recipe.reason.partition(":")[0]
    domain = seen.run.spec.domain
    if domain == "binary" and isinstance(likelihood, Likelihood) and not likelihood.discrete:
        yield Finding(
            "density-on-binary",
            "warning",
            f"the {name} likelihood is a density, and the data have two values: its nats are no "
            "probabilities, and may fall for ever",
            Evidence("values", 2),
            "--likelihood bernoulli",
        )
    if abs(seen.misfit.value) - 2 * seen.misfit.se > MISFIT:
        much = seen.misfit.value < 0
        yield Finding(
            "misfit",
            "warning",
            f"the {name} likelihood claims {'more' if much else 'less'} noise than there is in "
            "the training rows",
            Evidence.of(
                "surprise beyond its own draws'",
                seen.misfit,
                math.copysign(MISFIT, -much or 1),
                "nats per dimension",
            ),
            "learn the noise: --likelihood auto"
            if name.endswith("fixed")
            else "train longer; where it stays so, another --likelihood",
        )


def enough_latents(seen: RunMeasurements) -> Findings:
    """Are there too many latents, or too few?"""
    rates, sigma = seen.codes.rates, seen.codes.sigma
    if seen.collapsed or sigma is None or rates is None or len(rates) > 1:
        return
    idle, latent = int((~seen.active).sum()), seen.run.latent
    if idle > PLENTY * latent:
        yield Finding(
            "idle-latents",
            "info",
            f"{idle} of {latent} units never move; they cost time and nothing else",
            Evidence("share of idle units", idle / latent, PLENTY),
            f"--latent {max(1, latent - idle + 2)} would do",
        )
    # Codes that nothing holds back use every unit, however many there are.
    held_back = seen.beta is None or seen.beta.value + 2 * seen.beta.se >= UNDER
    if held_back and not idle:
        least = min(rate_per_dimension(seen.codes.mean, sigma), key=lambda r: r.value)
        if beyond(least, PLENTY):
            yield Finding(
                "few-latents",
                "info",
                f"every one of the {latent} units is in full use; more of them would carry more",
                Evidence.of("rate of the least unit", least, PLENTY, "nats"),
                f"--latent {2 * latent}, and look at the active units again",
            )


CHECKS: dict[str, Callable[[RunMeasurements], Findings]] = {
    "collapse": listens,
    "weight of the rate": weighed,
    "decoded means": decodes_means,
    "match with the prior": matches_prior,
    "fitted prior": prior_gains,
    "over-fitting and copies": generalises,
    "fit of the likelihood": likelihood_fits,
    "number of latents": enough_latents,
    "training complete": lambda seen: complete(seen.run),
    "training stable": lambda seen: stable(seen.run),
    "training long enough": lambda seen: converged(seen.run),
}
