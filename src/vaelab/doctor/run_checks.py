"""Checks of a run: each yields findings on the measurements, and nothing else.

Limits were set on runs known to be healthy and on planted diseases; a figure counts as beyond its
limit only if it is so by two standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vaelab.doctor.findings import Evidence, Finding, Findings, beyond
from vaelab.doctor.prior_checks import OVER, matches_prior, prior_gains
from vaelab.doctor.run_measurements import NOTHING, RunMeasurements
from vaelab.doctor.training_checks import complete, converged, stable
from vaelab.metrics import Estimate, rate_per_dimension
from vaelab.metrics.mean_code import ASTRAY
from vaelab.parts.likelihoods import Likelihood
from vaelab.utils.messages import Message

UNDER, POOR = 0.2, 0.4
GAP, COPIES = 0.1, 0.2

BY_CHANCE = 3
"""By chance, 1 / (1 + 2^D) of samples in D dimensions are twice as near to a training row as to any
of as many others; if columns hold few values, and rows are alike, over twice as many are."""
MISFIT = 0.25
PLENTY = 0.5


def listens(seen: RunMeasurements) -> Findings:
    """Does the decoder make anything of z?"""
    if not seen.collapsed:
        yield from _levels(seen)
        return
    rate = seen.train.get("rate")
    if rate is None or rate.value >= NOTHING:
        yield Finding(
            "ignored-code",
            "error",
            Message(
                "what.ignored-code", "the decoder ignores z: any other example's z does as well"
            )
            if rate is None
            else Message(
                "what.ignored-code-paid",
                "the decoder ignores z, although {rate:.2f} nats are paid for it: any other "
                "example's z does as well",
                rate=rate.value,
            ),
            Evidence.of(
                "rise of the distortion where z is swapped", seen.attention, NOTHING, "nats"
            ),
            Message(
                "remedy.ignored-code",
                "train longer or with a smaller --lr; if it stays so, a decoder that is less able "
                "on its own (a smaller --width)",
            ),
        )
        return
    active = int(seen.active.sum())
    yield Finding(
        "collapse",
        "error",
        Message(
            "what.collapse",
            "z carries no information about x: {active} of {units} units active, every posterior "
            "is the prior, and swapping z costs {cost:.2f} nats",
            active=active,
            units=len(seen.active),
            cost=max(seen.attention.value, 0.0),
        ),
        Evidence.of("rate", rate, NOTHING, "nats"),
        Message(
            "remedy.collapse",
            "train longer; if it stays so, lower the weight of the rate (--beta), raise it slowly, "
            "lower --lr, or take a likelihood with less noise",
        ),
    )


def _levels(seen: RunMeasurements) -> Findings:
    rates = seen.codes.rates or []
    dead = [i for i, nats in enumerate(rates) if nats < NOTHING]
    if len(rates) > 1 and dead:
        names = ", ".join(str(i + 1) for i in dead)
        yield Finding(
            "dead-level",
            "warning",
            Message(
                "what.dead-level",
                "of {groups} groups of latents, from the top, number {names} carries nothing",
                groups=len(rates),
                names=names,
            ),
            Evidence("rate of the least group", min(rates), NOTHING, "nats"),
            Message(
                "remedy.dead-level",
                "fewer groups or levels, or a rate that is weighed less at first",
            ),
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
            Message(
                "what.under-regularised",
                "the rate, {rate:.1f} nats, hardly counts: codes shrink to points and drift away "
                "from the prior",
                rate=seen.train["rate"].value,
            ),
            Evidence.of("effective β", beta, UNDER),
            Message(
                "remedy.under-regularised",
                "raise --beta towards 1, or fit another prior: vaelab fit-prior mixture RUN",
            ),
        )
    if beyond(beta, OVER) and seen.explained.model < POOR * seen.explained.linear:
        yield Finding(
            "over-regularised",
            "warning",
            Message(
                "what.over-regularised",
                "z explains {model:.0%} of the variance, {latent} principal components "
                "{linear:.0%}; the rate is weighed {beta:.2g} times",
                model=seen.explained.model,
                latent=seen.run.latent,
                linear=seen.explained.linear,
                beta=beta.value,
            ),
            Evidence.of("effective β", beta, OVER),
            Message("remedy.over-regularised", "lower --beta towards 1"),
        )


def decodes_means(seen: RunMeasurements) -> Findings:
    """Are reconstructions, which decode posterior means, as good as decoded draws?"""
    if beyond(seen.explained.astray, ASTRAY):
        yield Finding(
            "mean-astray",
            "warning",
            Message(
                "what.mean-astray",
                "posterior means decode far worse than draws of the posterior: reconstructions, "
                "interpolations and traversals show what the decoder was never trained on",
            ),
            Evidence.of(
                "excess error at the mean, over the variance", seen.explained.astray, ASTRAY
            ),
            Message(
                "remedy.mean-astray",
                "train longer (--epochs), or with fewer latents (--latent); until then look at "
                "variations, which decode draws",
            ),
        )


def generalises(seen: RunMeasurements) -> Findings:
    """Does it do as well on rows it never saw, and are its samples its own?"""
    train, test = seen.train[seen.bound], seen.test[seen.bound]
    gap = Estimate(test.value - train.value, math.hypot(test.se, train.se), test.n)
    scale = max(seen.attention.value, 1.0)
    if gap.value > GAP * scale and gap.value > 4 * gap.se:
        yield Finding(
            "over-fitting",
            "warning",
            Message(
                "what.over-fitting",
                "test rows cost {test:.1f} nats, training rows {train:.1f}",
                test=test.value,
                train=train.value,
            ),
            Evidence.of("gap", gap, GAP * scale, "nats"),
            Message(
                "remedy.over-fitting",
                "more data, a smaller --width or --latent, more --weight-decay, or --patience 10",
            ),
        )
    copies = max(COPIES, BY_CHANCE / (1 + 2.0 ** min(seen.run.spec.dims, 64)))
    if seen.prior.copies is not None and beyond(seen.prior.copies, copies):
        yield Finding(
            "memorised",
            "warning",
            Message(
                "what.memorised",
                "samples are copies of training rows: twice as near to one of these as to any test "
                "row",
            ),
            Evidence.of("share of samples that are", seen.prior.copies, copies),
            Message("remedy.memorised", "more data, or a smaller --width and --latent"),
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
            Message(
                "what.density-on-binary",
                "the {name} likelihood is a density, and the data have two values: its nats are no "
                "probabilities, and may fall for ever",
                name=name,
            ),
            Evidence("values", 2),
            "--likelihood bernoulli",
        )
    if abs(seen.misfit.value) - 2 * seen.misfit.se > MISFIT:
        much = seen.misfit.value < 0
        yield Finding(
            "misfit",
            "warning",
            Message(
                "what.misfit-more",
                "the {name} likelihood claims more noise than there is in the training rows",
                name=name,
            )
            if much
            else Message(
                "what.misfit-less",
                "the {name} likelihood claims less noise than there is in the training rows",
                name=name,
            ),
            Evidence.of(
                "surprise beyond its own draws'",
                seen.misfit,
                math.copysign(MISFIT, -much or 1),
                "nats per dimension",
            ),
            Message("remedy.misfit-fixed", "learn the noise: --likelihood auto")
            if name.endswith("fixed")
            else Message("remedy.misfit", "train longer; if it stays so, another --likelihood"),
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
            Message(
                "what.idle-latents",
                "{idle} of {latent} units never move; they cost time and nothing else",
                idle=idle,
                latent=latent,
            ),
            Evidence("share of idle units", idle / latent, PLENTY),
            Message(
                "remedy.idle-latents",
                "--latent {latent} would do",
                latent=max(1, latent - idle + 2),
            ),
        )
    # Codes that nothing holds back use every unit, however many there are.
    held_back = seen.beta is None or seen.beta.value + 2 * seen.beta.se >= UNDER
    if held_back and not idle:
        least = min(rate_per_dimension(seen.codes.mean, sigma), key=lambda r: r.value)
        if beyond(least, PLENTY):
            yield Finding(
                "few-latents",
                "info",
                Message(
                    "what.few-latents",
                    "every one of the {latent} units is in full use; more of them would carry more",
                    latent=latent,
                ),
                Evidence.of("rate of the least unit", least, PLENTY, "nats"),
                Message(
                    "remedy.few-latents",
                    "--latent {latent}, and look at the active units again",
                    latent=2 * latent,
                ),
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
