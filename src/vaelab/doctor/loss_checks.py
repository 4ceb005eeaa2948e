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


def reaches(probe: Probe) -> Findings:
    """Does every argument receive a gradient?"""
    lost = {role: norm for role, norm in probe.gradients.items() if not norm}
    own = probe.subject.called
    code = [role for role in ("mu", "scale") if role in lost]
    if len(code) == 2 and len(lost) == 2 and probe.subject.has("mu", "scale"):
        clamped = lost["mu"] is not None or lost["scale"] is not None
        why = "clamped, or weighed by 0" if clamped else "not there, or detached"
        yield Finding(
            "kl-without-effect",
            "error",
            f"the KL has no effect: it is {why}, so neither {own['mu']} nor {own['scale']} "
            "receives a gradient",
            Evidence("norm of the gradient", 0.0),
            f"{closed_form(probe)}, without a clamp to a capacity of 0",
            kl_fix(probe),
        )
        return
    if lost and len(lost) == len(probe.gradients):
        yield Finding(
            "no-gradient",
            "error",
            "no argument receives a gradient: the loss leaves the graph",
            Evidence("arguments without a gradient", len(lost)),
            "no .item(), .detach(), .data or numpy on the way to the loss",
            total_fix(probe),
        )
        return
    for role in lost:
        code_lost = role in ("mu", "scale")
        yield Finding(
            "no-gradient",
            "error",
            f"{own[role]} receives no gradient",
            Evidence("norm of the gradient", 0.0),
            closed_form(probe)
            if code_lost
            else f"no .detach(), rounding or comparison of {own[role]}",
            kl_fix(probe) if code_lost else reconstruction_fix(probe),
        )


def returns(probe: Probe) -> Findings:
    """Does it return one number, the same at every call?"""
    if probe.shape not in ((), (1,)):
        change = "loss.mean()" if len(probe.shape) == 1 else "loss.flatten(1).sum(1).mean()"
        yield Finding(
            "not-scalar",
            "warning",
            f"it returns a tensor of shape {probe.shape}, which .backward() does not take",
            Evidence("numbers returned", math.prod(probe.shape), 1),
            f"return {change}",
            Fix("loss", f"loss = {change}"),
        )
    exact = all(term is None or term.form for term in (probe.reconstruction, probe.kl))
    if probe.random and not exact:
        yield Finding(
            "random",
            "info",
            "it samples inside and returns another number at every call, so its figures are noisy",
            Evidence("calls that differ", 2),
            "nothing if it is meant so; seed it to compare figures",
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
        f"value or gradient is not finite with {' and with '.join(probe.broken)}",
        Evidence("inputs for which it is not", len(probe.broken), 0),
        f"{line}, with {own['r']} before any sigmoid"
        if of_r
        else f"{own['s']} = {own['s']}{clamp} before its exponential",
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
