r"""Measurements of a foreign loss with planted inputs.

    loss(x, r, μ, s) = a Σ d(x, r) + w Σ k(μ, s) + c          sums over the batch and every element

Uniform plants, with the same (x, r) or (μ, s) in every element, trace d and k over the range that
training comes across: log σ² from −8 to 3, r from 0.004 to 0.996. The candidates that leave nothing
unexplained are the forms; plants of two elements say whether elements are summed or averaged
before; the change of a and w with each size separates means from sums. Normal noise drawn
inside the loss is replaced by the nodes of a quadrature, so that a one-sample KL is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from vaelab.doctor.loss_bench import (
    CODE,
    DATA,
    Bench,
    planted,
    powers_of,
)
from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES
from vaelab.doctor.loss_kl import kl_term, kl_weight
from vaelab.doctor.loss_reconstruction import (
    likelihood_noise,
    reconstruction_term,
    reconstruction_weight,
)
from vaelab.doctor.loss_subject import ProbeInputs, Refused, Subject, chosen, slopes
from vaelab.doctor.loss_terms import (
    AXES,
    KL,
    LATENTS,
    SHAPES,
    Constant,
    Probe,
    Size,
    Term,
    averaged,
    named_axes,
)
from vaelab.utils.messages import Message


def probe(subject: Subject, shape: tuple[int, ...] | None = None) -> Probe:
    """Measure a loss.

    Args:
        subject: the loss.
        shape: shape of one example; by default the first of `SHAPES` that it accepts.

    Raises:
        ValueError: if it accepts none.
    """
    subject, size, dtype = _accepted(subject, SHAPES if shape is None else (shape,))
    first = planted(size, dtype)
    value, how = chosen(subject.raw(first))
    random = bool((subject(first, seed=1) != subject(first, seed=2)).item())
    bench = Bench(subject, size, dtype, random)
    _finite_at_usual(bench)
    d = reconstruction_term(bench) if subject.has(*DATA) else None
    k = kl_term(bench) if subject.has(*CODE) else None
    noise = likelihood_noise(bench, d) if d is not None and subject.has("noise") else None
    return Probe(
        subject,
        size,
        d,
        k,
        noise,
        tuple(_constants(bench, d, k)),
        _gradients(subject, first),
        tuple(value.shape),
        how,
        random,
        tuple(_broken(subject, size, d, k)),
        _elsewhere(bench, d, k) if shape is None else "",
    )


def _accepted(
    subject: Subject, shapes: tuple[tuple[int, ...], ...]
) -> tuple[Subject, Size, torch.dtype]:
    refusals = []
    one = [subject.with_one_noise()] if subject.has("noise") and subject.noise is None else []
    for shape in shapes:
        for latents in LATENTS:
            accepted = []
            for dtype in (torch.float64, torch.float32):
                size = Size(shape=shape, latents=latents)
                for tried in (subject, *one):
                    try:
                        tried(inputs := planted(size, dtype))
                        scalar = chosen(tried.raw(inputs))[0].ndim == 0
                        accepted.append((not scalar, tried, size, dtype))
                    except Refused as refused:
                        refusals.append(f"{shape}: {refused}")
                if accepted:  # one noise for all only if one for each is no loss
                    return min(accepted, key=lambda found: found[0])[1:]
    raise ValueError(
        f"it raises for data of every shape that was tried, {refusals[-1]}. Give the shape of one "
        "example with --shape, and the roles of its arguments with --arguments"
    )


def _finite_at_usual(bench: Bench) -> None:
    for seed in range(4):
        value = bench(planted(bench.size, bench.dtype, seed))
        if not math.isfinite(value):
            raise Refused(
                f"it returns {value} for a reconstruction between 0.02 and 0.98, μ of about 1 and "
                "s between 0.2 and 1.5. Correct that first; every loss is finite there"
            )


def _constants(bench: Bench, d: Term | None, k: KL | None) -> Iterator[Constant]:
    """The powers with which each number of a loss enters the weights of its terms."""
    for knob in bench.subject.knobs:
        log = knob.name.lower().startswith("log")
        if not log and knob.value == 0:
            continue
        turned = replace(
            bench, subject=bench.subject.turned(knob, knob.value + 1 if log else 2 * knob.value)
        )
        base = math.e if log else 2.0
        powers = []
        for term, weigh in (
            (d, lambda b: reconstruction_weight(b, b.size, d.form if d else "")),
            (k, lambda b: kl_weight(b, b.size, *((6.0, 5.0) if k and k.floor is not None else ()))),
        ):
            if term is None or not term.form:
                powers.append(0.0)
                continue
            before, after = weigh(bench), weigh(turned)  # type: ignore[no-untyped-call]
            ratio = after / before if before else math.nan
            power = math.log(ratio, base) if ratio > 0 else math.nan
            near = math.isfinite(power) and abs(2 * power - round(2 * power)) < 0.02
            powers.append(round(2 * power) / 2 if near else math.nan)
        if not any(map(math.isnan, powers)) and any(powers):
            yield Constant(knob.name, knob.value, powers[0], powers[1], log)


def _elsewhere(bench: Bench, d: Term | None, k: KL | None) -> str:
    """Axes of images that a loss of flat rows would average over, if it accepts images at all."""
    if d is None or k is None or not d.form or not k.form or len(bench.size.shape) > 1:
        return ""
    size = replace(bench.size, shape=SHAPES[1])
    images = replace(bench, size=size)
    weight = reconstruction_weight(images, size, d.form)
    if not math.isfinite(weight) or weight == 0 or not math.isfinite(kl_weight(images, size)):
        return ""
    powers = powers_of(images, lambda s: reconstruction_weight(images, s, d.form)).data
    other = powers_of(images, lambda s: kl_weight(images, s)).data
    axes = averaged(powers, other)
    return named_axes(axes, size.shape) if 0 < len(axes) < len(AXES) else ""


def _gradients(subject: Subject, inputs: ProbeInputs) -> dict[str, float | None]:
    """The norm of the gradient of each argument but the data; None if none arrives."""
    roles = [r for r in ("reconstruction", "mu", "scale", "noise") if subject.has(r)]
    roles = [r for r in roles if r != "noise" or subject.noise is None]
    leaves = {role: getattr(inputs, role).clone().requires_grad_() for role in roles}
    value = subject(replace(inputs, **leaves))
    found = slopes(value, list(leaves.values()))
    return {
        role: None if g is None else float(g.norm()) for role, g in zip(roles, found, strict=True)
    }


def _broken(subject: Subject, size: Size, d: Term | None, k: KL | None) -> list[str]:
    """Inputs that a network comes to, in float32, and that the loss is not finite for."""
    base = planted(size, torch.float32)
    black = (base.x > 0.5).float()
    trials: dict[str, ProbeInputs] = {}
    if d is not None and d.form in ("bce", "bce-logits"):
        name = subject.called["reconstruction"]
        if RECONSTRUCTIONS[d.form].logits:
            sure = torch.where(base.reconstruction > 0.5, 40.0, -40.0)
            trial = Message("part.at-40", "{name} at ±40", name=name)
            trials[trial] = replace(base, x=black, reconstruction=sure)
        else:
            trial = Message("part.at-ends", "{name} at 0 and 1", name=name)
            trials[trial] = replace(base, x=black, reconstruction=black)
    if k is not None and k.form in SCALES and not k.exchanged and not k.coupled:
        name, s = subject.called["scale"], torch.full_like(base.scale, 1.0)
        for extreme in SCALES[k.form].extremes:
            trial = Message("part.at", "{name} at {value:g}", name=name, value=extreme)
            trials[trial] = replace(base, scale=extreme * s)
    return [name for name, inputs in trials.items() if not _finite(subject, inputs)]


def _finite(subject: Subject, inputs: ProbeInputs) -> bool:
    leaves = inputs.mapped(lambda t: t.clone().requires_grad_())
    try:
        value = subject(replace(leaves, x=inputs.x))
    except Refused:  # a refusal in words is better than a silent nan
        return True
    if not torch.isfinite(value):
        return False
    found = slopes(value, [leaves.reconstruction, leaves.mu, leaves.scale])
    return all(g is None or bool(torch.isfinite(g).all()) for g in found)
