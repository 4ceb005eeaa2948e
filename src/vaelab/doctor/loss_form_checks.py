"""Checks of the form of each term of a loss: error, KL, and scale of the likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

from vaelab.doctor.findings import Evidence, Finding, Findings, Fix, short
from vaelab.doctor.loss_arguments import kinds
from vaelab.doctor.loss_fixes import (
    closed_form,
    kl_fix,
    names,
    reconstruction_fix,
    right_line,
)
from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES
from vaelab.doctor.loss_kl import SIGNED
from vaelab.doctor.loss_terms import OTHER, Probe, listed
from vaelab.utils.messages import Message


def _line(line: str, **own: str) -> str:
    """A remedy that is a line of code."""
    return line


KNOWN_MISTAKES: dict[str, tuple[str, Callable[..., str], Callable[..., str]]] = {
    "bce-double": (
        "double-sigmoid",
        partial(
            Message,
            "what.double-sigmoid",
            "the reconstruction goes through two sigmoids: only 0.5 to 0.73 can come out",
        ),
        partial(Message, "remedy.double-sigmoid", "{line}, with {r} before any sigmoid"),
    ),
    "squared-logits": (
        "hidden-sigmoid",
        partial(
            Message,
            "what.hidden-sigmoid",
            "a sigmoid is taken inside the loss: {r} must not have gone through one already",
        ),
        partial(
            Message, "remedy.hidden-sigmoid", "take the sigmoid in the decoder, and {line} here"
        ),
    ),
    "bce-swapped": (
        "swapped",
        partial(
            Message,
            "what.swapped",
            "data and reconstruction are exchanged: the logarithm of the data is taken",
        ),
        _line,
    ),
    "bce-half": (
        "half-cross-entropy",
        partial(
            Message,
            "what.half-cross-entropy",
            "only x log r is there: a reconstruction of 1 everywhere costs nothing",
        ),
        _line,
    ),
}


def recognises_reconstruction(probe: Probe) -> Findings:
    """Is the reconstruction term a known error, the right way round?"""
    d, own = probe.reconstruction, names(probe)
    if d is None or probe.gradients.get("reconstruction") in (None, 0.0):
        return
    if not d.form:
        yield Finding(
            "reconstruction-unknown",
            "info",
            Message(
                "what.reconstruction-unknown",
                "the reconstruction term is no sum of a known error over elements, so its scale "
                "against the KL cannot be determined",
            ),
            Evidence("relative error of the nearest form", d.left),
            Message(
                "remedy.reconstruction-unknown",
                "nothing if it is meant so; a square root or a clamp of a sum rarely is",
            ),
        )
        return
    line = right_line(probe)
    if d.coupled:
        yield Finding(
            "reconstruction-of-averages",
            "error",
            Message(
                "what.reconstruction-of-averages",
                "x and the reconstruction are averaged before they are compared: errors of "
                "opposite sign cancel",
            ),
            Evidence("elements that are combined", 2, 0),
            Message(
                "remedy.reconstruction-of-averages", "compare element by element: {line}", line=line
            ),
            reconstruction_fix(probe),
        )
    if d.weight < 0:
        yield Finding(
            "reconstruction-sign",
            "error",
            Message(
                "what.reconstruction-sign",
                "the reconstruction term has the wrong sign: training makes reconstructions worse",
            ),
            Evidence("weight", d.weight * probe.size.batch, 0.0),
            Message(
                "remedy.reconstruction-sign",
                "change the sign of the term of {r}: {line}",
                line=line,
                **own,
            ),
            reconstruction_fix(probe),
        )
    if d.form in KNOWN_MISTAKES:
        code, what, remedy = KNOWN_MISTAKES[d.form]
        yield Finding(
            code,
            "warning" if d.form == "squared-logits" else "error",
            what(**own),
            Evidence("share of the term's variation it explains", 1 - d.left),
            remedy(line=line, **own),
            reconstruction_fix(probe),
        )
    form = RECONSTRUCTIONS[d.form]
    says_logits = "logit" in own["r"].lower()
    says_probability = any(w in own["r"].lower() for w in ("prob", "sigmoid"))
    if form.bernoulli and (says_logits != form.logits) and (says_logits or says_probability):
        right = "bce-logits" if says_logits else "bce"
        yield Finding(
            "logits-mismatch",
            "error",
            Message(
                "what.logits-mismatch",
                "the name {r} means {name}, and the loss takes it as {use}",
                name=_logits(says_logits),
                use=_logits(form.logits),
                **own,
            ),
            Evidence("share of the term's variation that explains", 1 - d.left),
            right_line(probe, right),
            reconstruction_fix(probe, right),
        )


def recognises_kl(probe: Probe) -> Findings:
    """Is the KL the closed form, of each posterior, over the whole range of s, with its sign?"""
    k, own = probe.kl, names(probe)
    if k is None or all(probe.gradients.get(r) in (None, 0.0) for r in ("mu", "scale")):
        return
    right = closed_form(probe)
    if not k.form:
        told = " ".join(
            f"{'+' if w >= 0 else '−'} {short(abs(w))} {term.format(**own)}" for term, w in k.pieces
        )
        what = (
            Message(
                "what.kl-form",
                "the KL is no closed form of normals: for each latent it is {terms}",
                terms=told,
            )
            if told
            else Message(
                "what.kl-form-unknown",
                "the KL is no sum of known terms of μ and s: another prior, or an estimate",
            )
        )
        yield Finding(
            "kl-form",
            "error" if told else "info",
            what,
            Evidence("relative error of the nearest closed form", k.left),
            right if told else Message("remedy.kl-form-unknown", "nothing if it is meant so"),
            kl_fix(probe) if told else None,
        )
        return
    if k.coupled:
        over = (
            Message("part.batch", "the batch")
            if k.coupled == "rows"
            else Message("part.latents", "the latent dimensions")
        )
        yield Finding(
            "kl-of-averages",
            "error",
            Message(
                "what.kl-of-averages",
                "the KL is of averages over {over}, not of each posterior: single posteriors may "
                "be anything, as long as their average is the prior",
                over=over,
            ),
            Evidence("elements that are combined", 2, 0),
            Message(
                "remedy.kl-of-averages", "average after the KL, not before: {line}", line=right
            ),
            kl_fix(probe),
        )
        return
    if k.exchanged:
        yield Finding(
            "kl-reversed",
            "error",
            Message(
                "what.kl-reversed",
                "the KL is KL(p‖q), of the prior from the posterior: its arguments are exchanged",
            ),
            Evidence("share of the KL's variation that explains", 1 - k.left),
            Message("remedy.kl-reversed", "KL(q‖p): kl_divergence(q, p), or {line}", line=right),
            kl_fix(probe),
        )
    if k.weight < 0:
        yield Finding(
            "kl-sign",
            "error",
            Message(
                "what.kl-sign",
                "the KL has the wrong sign: the further posteriors are from the prior, the better",
            ),
            Evidence("weight", k.weight * probe.size.batch, 0.0),
            right,
            kl_fix(probe),
        )
    by_name, said = kinds(own["s"])
    if by_name and k.form not in (*by_name, OTHER, *_raw_of(by_name)):
        yield Finding(
            "scale-mismatch",
            "error",
            Message(
                "what.scale-mismatch",
                "the name {s} means {name}, and the loss takes it as {use}",
                name=said,
                use=SCALES[k.form].title,
                **own,
            ),
            Evidence("share of the KL's variation that explains", 1 - k.left),
            right,
            kl_fix(probe),
        )
    if abs(k.offset) > 1e-3:
        yield Finding(
            "kl-offset",
            "warning",
            Message(
                "what.kl-offset",
                "the KL is not 0 if every posterior is the prior: gradients are right, the "
                "reported ELBO is not",
            ),
            Evidence("offset", k.offset, 0.0, "nats per latent dimension"),
            right,
            kl_fix(probe),
        )
    yield from _bounds(probe)


def _logits(are: bool) -> Message:
    if are:
        return Message("part.logits", "logits")
    return Message("part.probability", "a probability")


def _raw_of(by_name: Iterable[str]) -> tuple[str, ...]:
    """Raw outputs that a name such as `std` or `variance` does not contradict."""
    raw = {"std": "softplus", "var": "softplus-var"}
    return tuple(raw[name] for name in by_name if name in raw)


def _bounds(probe: Probe) -> Findings:
    """Does the KL depend on s and on itself wherever trained posteriors are?"""
    k, own = probe.kl, names(probe)
    assert k is not None
    low, high = k.clamp
    ends = [
        Message("part.below", "below {s} = {end}", end=short(end), **own)
        if end == low
        else Message("part.above", "above {s} = {end}", end=short(end), **own)
        for end in k.clamp
        if math.isfinite(end)
    ]
    if ends:
        end = low if math.isfinite(low) else high
        yield Finding(
            "scale-clamped",
            "warning",
            Message(
                "what.scale-clamped",
                "the KL no longer depends on {s} {ends}: trained posteriors are there, and receive "
                "no gradient",
                ends=listed(ends),
                **own,
            ),
            Evidence(own["s"], end, SIGNED[0] if end == low else SIGNED[-1]),
            Message(
                "remedy.scale-clamped",
                "clamp no nearer than −10 and 10, against overflow: {line}",
                line=closed_form(probe),
            ),
            kl_fix(probe),
        )
    if k.cap is not None:
        yield Finding(
            "kl-capped",
            "warning",
            Message(
                "what.kl-capped",
                "the KL costs nothing more beyond {cap} nats: posteriors that are further from the "
                "prior receive no gradient",
                cap=short(k.cap),
            ),
            Evidence("nats at which it ends", k.cap, unit="nats per example"),
            closed_form(probe),
            kl_fix(probe),
        )


def noise(probe: Probe) -> Findings:
    """Is a learned scale of the likelihood the scale of a density: its power, and its own cost?"""
    found = probe.noise
    if found is None or not found.form or probe.reconstruction is None:
        return
    if probe.reconstruction.form != "squared":
        return
    own = names(probe)
    s = probe.subject.called["noise"]
    by_name = kinds(s)[0]
    reading = found.form if found.form in by_name or not by_name else by_name[0]
    log_variance = {
        "logvar": s,
        "logstd": f"2 * {s}",
        "std": f"2 * {s}.log()",
        "var": f"{s}.log()",
        "softplus": f"2 * F.softplus({s}).log()",
        "softplus-var": f"F.softplus({s}).log()",
    }[reading]
    line = (
        f"0.5 * (({own['x']} - {own['r']}) ** 2 * (-({log_variance})).exp() + {log_variance} + "
        f"math.log(2 * math.pi)).sum() / {own['x']}.shape[0]"
    )
    fix = Fix("reconstruction", f"reconstruction = {line}")
    if abs(found.power - 1) > 0.01:
        yield Finding(
            "noise-power",
            "error",
            Message(
                "what.noise-power",
                "the squared error is divided by σ to the power {power}, with {s} as {use}; a "
                "normal has 2",
                power=short(2 * found.power),
                s=s,
                use=SCALES[found.form].title,
            ),
            Evidence("power of σ", 2 * found.power, 2.0),
            line,
            fix,
        )
    elif not abs(found.cost - 1) < 0.01:
        missing = found.cost == 0
        yield Finding(
            "noise-cost",
            "error",
            Message(
                "what.noise-cost-missing",
                "the cost of {s} itself, log σ per element, is missing: a larger σ is always "
                "better",
                s=s,
            )
            if missing
            else Message(
                "what.noise-cost",
                "the cost of {s} itself, log σ per element, is not that of a normal",
                s=s,
            ),
            Evidence("share of the cost that is there", found.cost, 1.0),
            line,
            fix,
        )
