"""Checks of the weights in a loss: batch size, sums and means over dimensions, named numbers."""

from __future__ import annotations

import math
import re

from vaelab.doctor.findings import Evidence, Finding, Findings, Fix, short
from vaelab.doctor.loss_arguments import WEIGHTS
from vaelab.doctor.loss_fixes import (
    closed_form,
    kl_fix,
    names,
    reconstruction_fix,
    right_line,
    total_fix,
)
from vaelab.doctor.loss_forms import RECONSTRUCTIONS
from vaelab.doctor.loss_terms import Constant, Probe, Term, averaged, named_axes
from vaelab.utils.messages import Message


def batch_size(probe: Probe) -> Findings:
    """Is the loss, and the weight of the KL in it, the same at every batch size?"""
    d = probe.reconstruction.powers.batch if probe.reconstruction else None
    k = probe.kl.powers.batch if probe.kl else None
    x = names(probe)["x"]
    if d is not None and k is not None and d != k:
        odd = (
            Message("part.kl", "KL")
            if d == -1
            else Message("part.reconstruction", "reconstruction")
        )
        yield Finding(
            "batch-tied-beta",
            "error",
            Message(
                "what.batch-tied-beta",
                "one term is summed over the batch and the other averaged: the weight of the KL "
                "changes with the batch size",
            ),
            Evidence("effective β at a batch of 128 over that at 64", 2.0 ** (k - d), 1.0),
            Message("remedy.batch-tied-beta", "divide the {odd} term by {x}.shape[0]", odd=odd, x=x)
            if (k if d == -1 else d) == 0
            else Message(
                "remedy.batch-tied-beta-mean",
                "sum each term over dimensions, then take one .mean() over the batch",
            ),
            total_fix(probe),
        )
        return
    growth = next((power + 1 for power in (d, k) if power is not None), 0)
    if growth not in (0, 1):  # a mean or a sum
        yield Finding(
            "batch-power",
            "error",
            Message(
                "what.batch-power",
                "the loss changes with the batch size otherwise than as a mean or a sum",
            ),
            Evidence("loss of a doubled batch over that of the batch", 2.0**growth, 1.0),
            Message("remedy.batch-power", "take a mean over the batch, once"),
            total_fix(probe),
        )


def dimensions(probe: Probe) -> Findings:
    """Are both terms summed over dimensions, so that β has its usual meaning?"""
    d, k, beta = probe.reconstruction, probe.kl, probe.beta
    if d is None or k is None or beta is None or d.coupled or k.coupled:
        return
    size = probe.size
    evidence = Evidence(
        "effective β",
        beta,
        unit=Message(
            "unit.at",
            "at {dims} dimensions, {latent} latents",
            dims=size.dims,
            latent=size.latent,
        ),
    )
    over_data = _averaged(probe, d, k, size.shape, "data")
    over_latents = _averaged(probe, k, d, size.latents, "latent")
    rest = beta / probe.declared
    if over_data:
        rest *= math.prod(size.shape[i] for i in over_data) ** -1
        yield Finding(
            "mean-reconstruction",
            "error",
            Message(
                "what.mean-reconstruction",
                "the reconstruction is averaged over {axes}, the KL is not: this is a β-VAE with "
                "β = {beta}{end}",
                axes=named_axes(over_data, size.shape),
                beta=short(beta),
                end=Message("part.collapses", ", whose codes collapse") if beta > 4 else "",
            ),
            evidence,
            Message(
                "remedy.mean-reconstruction",
                "sum it over dimensions: {line}",
                line=right_line(probe),
            ),
            reconstruction_fix(probe),
        )
    if over_latents:
        count = math.prod(size.latents[i] for i in over_latents)
        rest *= count
        yield Finding(
            "mean-kl",
            "error",
            Message(
                "what.mean-kl",
                "the KL is averaged over latent dimensions, so that it counts 1/{count} of its "
                "value",
                count=count,
            ),
            evidence,
            closed_form(probe),
            kl_fix(probe),
        )
    yield from _halves(probe, rest, evidence)
    if not over_data and not over_latents and not 0.01 <= abs(rest) <= 100:
        yield Finding(
            "odd-beta",
            "warning",
            Message(
                "what.odd-beta-high",
                "the KL is weighed {beta} times against summed nats: codes collapse",
                beta=short(beta),
            )
            if abs(beta) > 1
            else Message(
                "what.odd-beta-low",
                "the KL is weighed {beta} times against summed nats: nearly an autoencoder",
                beta=short(beta),
            ),
            evidence,
            Message(
                "remedy.odd-beta",
                "weigh both terms in nats, summed over dimensions: {line} beside {kl}",
                line=right_line(probe),
                kl=closed_form(probe),
            ),
            total_fix(probe),
        )


def _halves(probe: Probe, beta: float, evidence: Evidence) -> Findings:
    """Is the ½ of the KL there?"""
    d, k = probe.reconstruction, probe.kl
    assert d is not None
    assert k is not None
    squared = RECONSTRUCTIONS[d.form].nats == 0.5
    if math.isclose(beta, 2, rel_tol=1e-3):
        what = Message(
            "what.kl-twice", "the KL counts twice: its ½ is missing, or it is added twice"
        )
    elif squared and math.isclose(beta, 1, rel_tol=1e-3) and _doubled(probe):
        what = Message(
            "what.kl-twice-both",
            "the ½ of the KL is missing, and that of the squared error too: they balance, and the "
            "loss is twice the −ELBO of σ = 1",
        )
    else:
        return
    lines = Message(
        "remedy.kl-twice", "{kl}, beside {line}", kl=closed_form(probe), line=right_line(probe)
    )
    yield Finding("kl-twice", "warning", what, evidence, lines, total_fix(probe))


def _doubled(probe: Probe) -> bool:
    """True if the KL of an example weighs 2 by itself."""
    k = probe.kl
    assert k is not None
    own = math.prod((math.exp(c.value) if c.log else c.value) ** c.kl for c in probe.constants)
    per_example = abs(k.weight) * probe.size.batch ** -(k.powers.batch or 0) / own
    return math.isclose(per_example, 2, rel_tol=1e-3)


def _averaged(
    probe: Probe, term: Term, other: Term, sizes: tuple[int, ...], axes: str
) -> tuple[int, ...]:
    """The axes that one term is averaged over; by its weight if a loss takes one size only."""
    own, its = getattr(term.powers, axes), getattr(other.powers, axes)
    if all(power is not None for power in own):
        return averaged(own, its)
    usual = (1.0, 0.5, 2.0)
    beta = abs(probe.beta or 0) / abs(probe.declared)
    factor = beta if axes == "data" else 1 / beta if beta else 0.0
    for chosen in (tuple(range(len(sizes))), *((i,) for i in range(len(sizes)))):
        count = math.prod(sizes[i] for i in chosen)
        if count > 2 and any(math.isclose(factor, u * count, rel_tol=1e-3) for u in usual):
            return chosen
    return ()


STD, VARIANCE = r"std|sigma|^sd$|^scale$|noise", r"var|sigma2|sq"


def weights(probe: Probe) -> Findings:
    """Does every named number enter with the power that its name has?"""
    for c in probe.constants:
        name = c.name.lower().replace("_", "")
        if re.search(f"{STD}|{VARIANCE}", name):
            yield from _noise_number(probe, c, name)
        elif c.log:
            continue
        elif abs(c.kl - c.reconstruction) == 2 or max(abs(c.kl), abs(c.reconstruction)) == 2:
            yield Finding(
                "weight-twice",
                "error",
                Message(
                    "what.weight-twice",
                    "{name} enters twice: the KL is weighed by its square",
                    name=c.name,
                ),
                Evidence(_power(c), c.kl - c.reconstruction, 1.0),
                Message(
                    "remedy.weight-twice",
                    "multiply by {name} once: loss = reconstruction + {name} * kl",
                    name=c.name,
                ),
                total_fix(probe, c.name),
            )
        elif c.kl == c.reconstruction != 0 and re.search(WEIGHTS, name):
            yield Finding(
                "weight-twice",
                "error",
                Message(
                    "what.weight-both",
                    "{name} multiplies both terms: it scales the loss, and weighs nothing",
                    name=c.name,
                ),
                Evidence(_power(c), 0.0, 1.0),
                Message(
                    "remedy.weight-both",
                    "multiply the KL by {name} alone: loss = reconstruction + {name} * kl",
                    name=c.name,
                ),
                total_fix(probe, c.name),
            )


def _power(c: Constant) -> Message:
    return Message("figure.power-in-beta", "power of {name} in the effective β", name=c.name)


def _noise_number(probe: Probe, c: Constant, name: str) -> Findings:
    """Is the squared error divided by σ², for a σ that is a number?"""
    if probe.reconstruction is None or RECONSTRUCTIONS[probe.reconstruction.form].nats != 0.5:
        return
    variance = re.search(VARIANCE, name) is not None
    right = -1.0 if variance else -2.0
    if c.reconstruction in (0.0, right) and c.kl == 0:
        return
    own = names(probe)
    power = "" if variance else "**2"
    sigma = f"{'torch.tensor(' if c.log else ''}{c.name}{').exp()' if c.log else ''}"
    line = f"0.5 * (({own['x']} - {own['r']}) ** 2).sum() / {sigma}{power} / {own['x']}.shape[0]"
    yield Finding(
        "noise-power",
        "error",
        Message(
            "what.noise-number",
            "the squared error is divided by {name} to the power {power}; a normal with this "
            "{kind} has {right}",
            name=c.name,
            power=short(-c.reconstruction),
            kind=Message("part.variance", "variance")
            if variance
            else Message("part.deviation", "standard deviation"),
            right=short(-right),
        ),
        Evidence(Message("figure.power", "power of {name}", name=c.name), c.reconstruction, right),
        line,
        Fix("reconstruction", f"reconstruction = {line}"),
    )
