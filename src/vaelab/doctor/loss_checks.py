"""Checks of a loss: a known mistake each, with the number that shows it and a line of code."""

from __future__ import annotations

import math
from collections.abc import Callable

from vaelab.doctor.findings import Evidence, Finding, Findings, Fix
from vaelab.doctor.loss_fixes import (
    closed_form,
    kl_fix,
    meant,
    names,
    reconstruction_fix,
    right_line,
    total_fix,
)
from vaelab.doctor.loss_form_checks import noise, recognises_kl, recognises_reconstruction
from vaelab.doctor.loss_terms import Probe
from vaelab.doctor.loss_weight_checks import batch_size, dimensions, weights
from vaelab.utils.messages import Message, joined


def reaches(probe: Probe) -> Findings:
    """Does every argument receive a gradient?"""
    lost = {role: norm for role, norm in probe.gradients.items() if not norm}
    own = probe.subject.called
    code = [role for role in ("mu", "scale") if role in lost]
    if len(code) == 2 and len(lost) == 2 and probe.subject.has("mu", "scale"):
        clamped = lost["mu"] is not None or lost["scale"] is not None
        why = (
            Message("part.clamped", "clamped, or weighed by 0")
            if clamped
            else Message("part.absent", "not there, or detached")
        )
        yield Finding(
            "kl-without-effect",
            "error",
            Message(
                "what.kl-without-effect",
                "the KL has no effect: it is {why}, so neither {mu} nor {s} receives a gradient",
                why=why,
                mu=own["mu"],
                s=own["scale"],
            ),
            Evidence("norm of the gradient", 0.0),
            Message(
                "remedy.kl-without-effect",
                "{line}, without a clamp to a capacity of 0",
                line=closed_form(probe),
            ),
            kl_fix(probe),
        )
        return
    if lost and len(lost) == len(probe.gradients):
        yield Finding(
            "no-gradient",
            "error",
            Message(
                "what.no-gradient-at-all",
                "no argument receives a gradient: the loss leaves the graph",
            ),
            Evidence("arguments without a gradient", len(lost)),
            Message(
                "remedy.no-gradient-at-all",
                "no .item(), .detach(), .data or numpy on the way to the loss",
            ),
            total_fix(probe),
        )
        return
    for role in lost:
        code_lost = role in ("mu", "scale")
        yield Finding(
            "no-gradient",
            "error",
            Message("what.no-gradient", "{name} receives no gradient", name=own[role]),
            Evidence("norm of the gradient", 0.0),
            closed_form(probe)
            if code_lost
            else Message(
                "remedy.no-gradient",
                "no .detach(), rounding or comparison of {name}",
                name=own[role],
            ),
            kl_fix(probe) if code_lost else reconstruction_fix(probe),
        )


def returns(probe: Probe) -> Findings:
    """Does it return one number, the same at every call?"""
    if probe.shape not in ((), (1,)):
        change = "loss.mean()" if len(probe.shape) == 1 else "loss.flatten(1).sum(1).mean()"
        yield Finding(
            "not-scalar",
            "warning",
            Message(
                "what.not-scalar",
                "it returns a tensor of shape {shape}, which .backward() does not take",
                shape=probe.shape,
            ),
            Evidence("numbers returned", math.prod(probe.shape), 1),
            f"return {change}",
            Fix("loss", f"loss = {change}"),
        )
    exact = all(term is None or term.form for term in (probe.reconstruction, probe.kl))
    if probe.random and not exact:
        yield Finding(
            "random",
            "info",
            Message(
                "what.random",
                "it samples inside and returns another number at every call, so its figures are "
                "noisy",
            ),
            Evidence("calls that differ", 2),
            Message("remedy.random", "nothing if it is meant so; seed it to compare figures"),
        )


def stays_finite(probe: Probe) -> Findings:
    """Is it finite for all that a network can output?"""
    if not probe.broken:
        return
    own = names(probe)
    of_r = any(own["r"] in place for place in probe.broken)
    signed = meant(probe).signed
    clamp = ".clamp(-10, 10)" if signed else ".clamp(1e-4, 1e4)"
    line = right_line(probe, "bce-logits")
    yield Finding(
        "not-finite",
        "error",
        Message(
            "what.not-finite",
            "value or gradient is not finite with {inputs}",
            inputs=joined(", ", probe.broken),
        ),
        Evidence("inputs for which it is not", len(probe.broken), 0),
        Message("remedy.not-finite-logits", "{line}, with {r} before any sigmoid", line=line, **own)
        if of_r
        else Message(
            "remedy.not-finite", "{s} = {s}{clamp} before its exponential", clamp=clamp, **own
        ),
        Fix("reconstruction", f"reconstruction = {line}")
        if of_r
        else Fix("kl", closed_form(probe, clamp)),
    )


CHECKS: dict[str, Callable[[Probe], Findings]] = {
    "reconstruction term": recognises_reconstruction,
    "KL: closed form, sign, scale, range": recognises_kl,
    "gradients": reaches,
    "batch size": batch_size,
    "sums and means over dimensions": dimensions,
    "weights": weights,
    "noise of the likelihood": noise,
    "one number": returns,
    "finite at extremes": stays_finite,
}
