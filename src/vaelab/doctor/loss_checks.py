"""Checks of a loss: a known mistake each, with the number that shows it and the line that fixes it.

Fixes are lines of code in the user's own names; `kl`, `reconstruction` and `loss` stand for the
loss's own terms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

from vaelab.doctor.findings import Evidence, Finding, Findings, Fix, short
from vaelab.doctor.loss_forms import RAW, RECONSTRUCTIONS, SCALES, Scale
from vaelab.doctor.loss_loader import WEIGHTS, kinds
from vaelab.doctor.loss_probe import AXES, OTHER, SIGNED, Constant, Probe, Term, averaged

BCE = "F.binary_cross_entropy({r}, {x}, reduction='sum') / {x}.shape[0]"
LOGITS = "F.binary_cross_entropy_with_logits({r}, {x}, reduction='sum') / {x}.shape[0]"

LINES = {
    "bce": BCE,
    "bce-swapped": BCE,
    "bce-half": BCE,
    "bce-logits": LOGITS,
    "bce-double": LOGITS,
    "squared": "0.5 * F.mse_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
    "squared-logits": "0.5 * F.mse_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
    "absolute": "F.l1_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
    "log-cosh": "({x} - {r}).cosh().log().sum() / {x}.shape[0]",
    "": "0.5 * F.mse_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
}
"""The right line for each form of the reconstruction, in nats per example."""

KNOWN_MISTAKES = {
    "bce-double": (
        "double-sigmoid",
        "the reconstruction goes through two sigmoids: only 0.5 to 0.73 can come out",
        "{line}, with {r} before any sigmoid",
    ),
    "squared-logits": (
        "hidden-sigmoid",
        "a sigmoid is taken inside the loss: {r} must not have gone through one already",
        "take the sigmoid in the decoder, and {line} here",
    ),
    "bce-swapped": (
        "swapped",
        "data and reconstruction are exchanged: the logarithm of the data is taken",
        "{line}",
    ),
    "bce-half": (
        "half-cross-entropy",
        "only x log r is there: a reconstruction of 1 everywhere costs nothing",
        "{line}",
    ),
}


def names(probe: Probe) -> dict[str, str]:
    """The user's own names of x, r, mu and s."""
    called = probe.subject.called
    return {
        "x": called.get("x", "x"),
        "r": called.get("reconstruction", "reconstruction"),
        "mu": called.get("mu", "mu"),
        "s": called.get("scale", "logvar"),
    }


def closed_form(probe: Probe, clamp: str = "") -> str:
    """The line that computes the right KL, for the meaning that the name of s has."""
    own = names(probe)
    kl = meant(probe).kl.format(mu=own["mu"], s=f"{own['s']}{clamp}")
    return f"kl = 0.5 * ({kl}).flatten(1).sum(1).mean()"


def kl_fix(probe: Probe) -> Fix:
    """The closed form as a change."""
    return Fix("kl", closed_form(probe))


def right_line(probe: Probe, form: str | None = None) -> str:
    """The line that computes the reconstruction's nats."""
    d = probe.reconstruction
    known = form if form is not None else d.form if d is not None else ""
    return LINES[known].format(**names(probe))


def reconstruction_fix(probe: Probe, form: str | None = None) -> Fix:
    """That line as a change."""
    return Fix("reconstruction", f"reconstruction = {right_line(probe, form)}")


def total_fix(probe: Probe, weight: str = "") -> Fix:
    """Both lines, added up, the KL weighed once."""
    lines = [f"reconstruction = {right_line(probe)}", closed_form(probe)]
    total = f"loss = reconstruction + {weight}{' * ' if weight else ''}kl"
    return Fix("loss", "\n".join([*lines, total]))


def meant(probe: Probe) -> Scale:
    """The meaning of s by its name, else by the loss's use of it."""
    by_name = kinds(names(probe)["s"])[0]
    form = probe.kl.form if probe.kl is not None and probe.kl.form in SCALES else ""
    if form in by_name or (form and (not by_name or form in RAW)):
        return SCALES[form]
    return SCALES[(*by_name, "logvar")[0]]


def recognises_reconstruction(probe: Probe) -> Findings:
    """Is the reconstruction term a known error, the right way round?"""
    d, own = probe.reconstruction, names(probe)
    if d is None or probe.gradients.get("reconstruction") in (None, 0.0):
        return
    if not d.form:
        yield Finding(
            "reconstruction-unknown",
            "info",
            "the reconstruction term is no sum of a known error over elements, so its scale "
            "against the KL cannot be determined",
            Evidence("relative error of the nearest form", d.left),
            "nothing if it is meant so; a square root or a clamp of a sum rarely is",
        )
        return
    line = right_line(probe)
    if d.coupled:
        yield Finding(
            "reconstruction-of-averages",
            "error",
            "x and the reconstruction are averaged before they are compared: errors of opposite "
            "sign cancel",
            Evidence("elements that are combined", 2, 0),
            f"compare element by element: {line}",
            reconstruction_fix(probe),
        )
    if d.weight < 0:
        yield Finding(
            "reconstruction-sign",
            "error",
            "the reconstruction term has the wrong sign: training makes reconstructions worse",
            Evidence("weight", d.weight * probe.size.batch, 0.0),
            f"change the sign of the term of {own['r']}: {line}",
            reconstruction_fix(probe),
        )
    if d.form in KNOWN_MISTAKES:
        code, what, remedy = KNOWN_MISTAKES[d.form]
        yield Finding(
            code,
            "warning" if d.form == "squared-logits" else "error",
            what.format(**own),
            Evidence("share of the term's variation it explains", 1 - d.left),
            remedy.format(line=line, **own),
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
            f"the name {own['r']} means {'logits' if says_logits else 'a probability'}, and the "
            f"loss takes it as {'logits' if form.logits else 'a probability'}",
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
            f"the KL is no closed form of normals: for each latent it is {told}"
            if told
            else "the KL is no sum of known terms of μ and s: another prior, or an estimate"
        )
        yield Finding(
            "kl-form",
            "error" if told else "info",
            what,
            Evidence("relative error of the nearest closed form", k.left),
            right if told else "nothing if it is meant so",
            kl_fix(probe) if told else None,
        )
        return
    if k.coupled:
        over = "the batch" if k.coupled == "rows" else "the latent dimensions"
        yield Finding(
            "kl-of-averages",
            "error",
            f"the KL is of averages over {over}, not of each posterior: single posteriors may be "
            "anything, as long as their average is the prior",
            Evidence("elements that are combined", 2, 0),
            f"average after the KL, not before: {right}",
            kl_fix(probe),
        )
        return
    if k.exchanged:
        yield Finding(
            "kl-reversed",
            "error",
            "the KL is KL(p‖q), of the prior from the posterior: its arguments are exchanged",
            Evidence("share of the KL's variation that explains", 1 - k.left),
            f"KL(q‖p): kl_divergence(q, p), or {right}",
            kl_fix(probe),
        )
    if k.weight < 0:
        yield Finding(
            "kl-sign",
            "error",
            "the KL has the wrong sign: the further posteriors are from the prior, the better",
            Evidence("weight", k.weight * probe.size.batch, 0.0),
            right,
            kl_fix(probe),
        )
    by_name, said = kinds(own["s"])
    if by_name and k.form not in (*by_name, OTHER, *_raw_of(by_name)):
        yield Finding(
            "scale-mismatch",
            "error",
            f"the name {own['s']} means {said}, and the loss takes it as {SCALES[k.form].title}",
            Evidence("share of the KL's variation that explains", 1 - k.left),
            right,
            kl_fix(probe),
        )
    if abs(k.offset) > 1e-3:
        yield Finding(
            "kl-offset",
            "warning",
            "the KL is not 0 if every posterior is the prior: gradients are right, the reported "
            "ELBO is not",
            Evidence("offset", k.offset, 0.0, "nats per latent dimension"),
            right,
            kl_fix(probe),
        )
    yield from _bounds(probe)


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
        f"{'below' if end == low else 'above'} {own['s']} = {short(end)}"
        for end in k.clamp
        if math.isfinite(end)
    ]
    if ends:
        end = low if math.isfinite(low) else high
        yield Finding(
            "scale-clamped",
            "warning",
            f"the KL no longer depends on {own['s']} {' and '.join(ends)}: trained posteriors are "
            "there, and receive no gradient",
            Evidence(own["s"], end, SIGNED[0] if end == low else SIGNED[-1]),
            f"clamp no nearer than −10 and 10, against overflow: {closed_form(probe)}",
            kl_fix(probe),
        )
    if k.cap is not None:
        yield Finding(
            "kl-capped",
            "warning",
            f"the KL costs nothing more beyond {short(k.cap)} nats: posteriors that are further "
            "from the prior receive no gradient",
            Evidence("nats at which it ends", k.cap, unit="nats per example"),
            closed_form(probe),
            kl_fix(probe),
        )


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


def batch_size(probe: Probe) -> Findings:
    """Is the loss, and the weight of the KL in it, the same at every batch size?"""
    d = probe.reconstruction.powers.batch if probe.reconstruction else None
    k = probe.kl.powers.batch if probe.kl else None
    x = names(probe)["x"]
    if d is not None and k is not None and d != k:
        odd = "KL" if d == -1 else "reconstruction"
        yield Finding(
            "batch-tied-beta",
            "error",
            "one term is summed over the batch and the other averaged: the weight of the KL "
            "changes with the batch size",
            Evidence("effective β at a batch of 128 over that at 64", 2.0 ** (k - d), 1.0),
            f"divide the {odd} term by {x}.shape[0]"
            if (k if odd == "KL" else d) == 0
            else "sum each term over dimensions, then take one .mean() over the batch",
            total_fix(probe),
        )
        return
    growth = next((power + 1 for power in (d, k) if power is not None), 0)
    if growth not in (0, 1):  # a mean or a sum
        yield Finding(
            "batch-power",
            "error",
            "the loss changes with the batch size otherwise than as a mean or a sum",
            Evidence("loss of a doubled batch over that of the batch", 2.0**growth, 1.0),
            "take a mean over the batch, once",
            total_fix(probe),
        )


def dimensions(probe: Probe) -> Findings:
    """Are both terms summed over dimensions, so that β has its usual meaning?"""
    d, k, beta = probe.reconstruction, probe.kl, probe.beta
    if d is None or k is None or beta is None or d.coupled or k.coupled:
        return
    size = probe.size
    evidence = Evidence(
        "effective β", beta, unit=f"at {size.dims} dimensions, {size.latent} latents"
    )
    over_data = _averaged(probe, d, k, size.shape, "data")
    over_latents = _averaged(probe, k, d, size.latents, "latent")
    rest = beta / probe.declared
    if over_data:
        axes = _named_axes(over_data, size.shape)
        rest *= math.prod(size.shape[i] for i in over_data) ** -1
        yield Finding(
            "mean-reconstruction",
            "error",
            f"the reconstruction is averaged over {axes}, the KL is not: this is a β-VAE with β = "
            f"{short(beta)}{', whose codes collapse' if beta > 4 else ''}",
            evidence,
            f"sum it over dimensions: {right_line(probe)}",
            reconstruction_fix(probe),
        )
    if over_latents:
        count = math.prod(size.latents[i] for i in over_latents)
        rest *= count
        yield Finding(
            "mean-kl",
            "error",
            f"the KL is averaged over latent dimensions, so that it counts 1/{count} of its value",
            evidence,
            closed_form(probe),
            kl_fix(probe),
        )
    yield from _halves(probe, rest, evidence)
    if not over_data and not over_latents and not 0.01 <= abs(rest) <= 100:
        yield Finding(
            "odd-beta",
            "warning",
            f"the KL is weighed {short(beta)} times against summed nats: "
            f"{'codes collapse' if abs(beta) > 1 else 'nearly an autoencoder'}",
            evidence,
            f"weigh both terms in nats, summed over dimensions: {right_line(probe)} beside "
            f"{closed_form(probe)}",
            total_fix(probe),
        )


def _halves(probe: Probe, beta: float, evidence: Evidence) -> Findings:
    """Is the ½ of the KL there?"""
    d, k = probe.reconstruction, probe.kl
    assert d is not None
    assert k is not None
    squared = RECONSTRUCTIONS[d.form].nats == 0.5
    if math.isclose(beta, 2, rel_tol=1e-3):
        what = "the KL counts twice: its ½ is missing, or it is added twice"
    elif squared and math.isclose(beta, 1, rel_tol=1e-3) and _doubled(probe):
        what = (
            "the ½ of the KL is missing, and that of the squared error too: they balance, and the "
            "loss is twice the −ELBO of σ = 1"
        )
    else:
        return
    lines = f"{closed_form(probe)}, beside {right_line(probe)}"
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


def _named_axes(axes: tuple[int, ...], sizes: tuple[int, ...]) -> str:
    if len(axes) == len(sizes):
        return "dimensions"
    return " and ".join(AXES[i] if len(sizes) == len(AXES) else f"axis {i + 1}" for i in axes)


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
                f"{c.name} enters twice: the KL is weighed by its square",
                Evidence(f"power of {c.name} in the effective β", c.kl - c.reconstruction, 1.0),
                f"multiply by {c.name} once: loss = reconstruction + {c.name} * kl",
                total_fix(probe, c.name),
            )
        elif c.kl == c.reconstruction != 0 and re.search(WEIGHTS, name):
            yield Finding(
                "weight-twice",
                "error",
                f"{c.name} multiplies both terms: it scales the loss, and weighs nothing",
                Evidence(f"power of {c.name} in the effective β", 0.0, 1.0),
                f"multiply the KL by {c.name} alone: loss = reconstruction + {c.name} * kl",
                total_fix(probe, c.name),
            )


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
        f"the squared error is divided by {c.name} to the power {short(-c.reconstruction)}; a "
        f"normal with this {'variance' if variance else 'standard deviation'} has {short(-right)}",
        Evidence(f"power of {c.name}", c.reconstruction, right),
        line,
        Fix("reconstruction", f"reconstruction = {line}"),
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
            f"the squared error is divided by σ to the power {short(2 * found.power)}, with {s} as "
            f"{SCALES[found.form].title}; a normal has 2",
            Evidence("power of σ", 2 * found.power, 2.0),
            line,
            fix,
        )
    elif not abs(found.cost - 1) < 0.01:
        missing = found.cost == 0
        yield Finding(
            "noise-cost",
            "error",
            f"the cost of {s} itself, log σ per element, is "
            + ("missing: a larger σ is always better" if missing else "not that of a normal"),
            Evidence("share of the cost that is there", found.cost, 1.0),
            line,
            fix,
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
