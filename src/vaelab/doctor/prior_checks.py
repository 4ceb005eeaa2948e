"""Checks of the prior of a run: its own beside the codes, and a fitted one beside its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vaelab.doctor.findings import Evidence, Finding, Findings, beyond
from vaelab.doctor.prior_measurements import Lost
from vaelab.doctor.run_measurements import NOTHING, RunMeasurements
from vaelab.metrics import Estimate
from vaelab.utils.messages import Message, joined

OVER, HOLES, UNREACHED, LOST = 1.1, 0.25, 0.25, 0.1
"""Limits of the effective β, of the shares of holes and of unreached codes, and of what is lost."""


def matches_prior(seen: RunMeasurements) -> Findings:
    """Do codes and prior cover the same region?"""
    remedy = _nearer(seen)
    if seen.prior.holes is not None and beyond(seen.prior.holes, HOLES):
        yield Finding(
            "holes",
            "warning",
            Message(
                "what.holes",
                "much of the prior falls where no code is: samples from there resemble nothing",
            ),
            Evidence.of("share of prior draws in holes", seen.prior.holes, HOLES),
            remedy,
        )
    if seen.prior.unreached is not None and beyond(seen.prior.unreached, UNREACHED):
        yield Finding(
            "unreached",
            "warning",
            Message(
                "what.unreached",
                "many codes lie where the prior does not come: such examples are never generated",
            ),
            Evidence.of("share of test codes unreached", seen.prior.unreached, UNREACHED),
            remedy,
        )


def _nearer(seen: RunMeasurements) -> str:
    """Advice that brings codes and prior together, and does not contradict other findings."""
    ways = []
    if seen.beta is None or not beyond(seen.beta, OVER):
        ways.append(Message("part.raise-beta", "raise --beta, or "))
    if not bool(seen.active.all()):
        ways.append(Message("part.fewer-latents", "take fewer latents, or "))
    return Message(
        "remedy.nearer-prior",
        "{first}{second}fit another prior: vaelab fit-prior mixture RUN",
        **dict(zip(("first", "second"), [*ways, "", ""], strict=False)),
    )


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
            Message(
                "what.worse-prior",
                "this prior is worse than the model's own: {figures}",
                figures=joined("; ", [one.said for one in worse]),
            ),
            Evidence.of(first.figure, first.found, first.limit, first.unit),
            Message(
                "remedy.worse-prior",
                "leave --prior out, or fit another: vaelab fit-prior mixture RUN takes no more "
                "components than held-out codes bear out",
            ),
        )


class _Loss(NamedTuple):
    """One figure by which a prior may be worse."""

    figure: str
    found: Estimate
    limit: float
    unit: str
    said: Message


def _losses(lost: Lost) -> Iterator[_Loss]:
    nats, precision, coverage = lost
    said = Message("part.code-costs", "a test code costs {nats:.2f} nats more", nats=nats.value)
    yield _Loss("−log p(z) beyond the own prior's", nats, NOTHING, "nats", said)
    if precision is not None:
        said = Message(
            "part.less-precise",
            "{share:.0%} fewer samples are like test rows",
            share=precision.value,
        )
        yield _Loss("precision lost", precision, LOST, "", said)
    if coverage is not None:
        said = Message(
            "part.less-covered",
            "{share:.0%} fewer test rows have a sample nearby",
            share=coverage.value,
        )
        yield _Loss("coverage lost", coverage, LOST, "", said)
