"""The checks of a loss: each names a known mistake, the number that shows it, and the one-line fix.

Fixes are lines of code in the user's own names; `kl` and `loss` stand for the loss's own terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vaelab.doctor.findings import Evidence, Finding, Findings, short
from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES, Scale
from vaelab.doctor.loss_loader import kinds
from vaelab.doctor.loss_probe import Probe

WORDS = {
    "bce-double": (
        "double-sigmoid",
        "the reconstruction goes through two sigmoids: only 0.5 to 0.73 can come out",
        "F.binary_cross_entropy_with_logits({r}, {x}, reduction='sum') / {x}.shape[0], with {r} "
        "before any sigmoid",
    ),
    "squared-logits": (
        "hidden-sigmoid",
        "a sigmoid is taken inside the loss: {r} must not have gone through one already",
        "take the sigmoid in the decoder, and ({x} - {r}).pow(2) here",
    ),
    "bce-swapped": (
        "swapped",
        "data and reconstruction are the wrong way round: log of the data is taken",
        "F.binary_cross_entropy({r}, {x}, reduction='sum') / {x}.shape[0]",
    ),
    "bce-half": (
        "half-cross-entropy",
        "only x log r is there: a reconstruction of 1 everywhere costs nothing",
        "F.binary_cross_entropy({r}, {x}, reduction='sum') / {x}.shape[0]",
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


def closed_form(probe: Probe) -> str:
    """The line that computes the right KL, for what the name of s says it is."""
    own = names(probe)
    kl = meant(probe).kl.format(mu=own["mu"], s=own["s"])
    return f"kl = 0.5 * ({kl}).sum(1).mean()"


def meant(probe: Probe) -> Scale:
    """What s is, by its name, else by what the loss makes of it."""
    by_name = kinds(names(probe)["s"])[0]
    form = probe.kl.form if probe.kl is not None else ""
    return SCALES[form if form in by_name or (form and not by_name) else (*by_name, "logvar")[0]]


def reconstructs(probe: Probe) -> Findings:
    """Is the reconstruction term one that is known, and the right way round?"""
    d, own = probe.reconstruction, names(probe)
    if d is None or probe.gradients.get("reconstruction") in (None, 0.0):
        return
    if not d.form:
        yield Finding(
            "reconstruction-unknown",
            "info",
            "the reconstruction term is no sum of a known error over elements, so its scale "
            "against the KL cannot be told",
            Evidence("share of its variation that the nearest form leaves", d.left),
            "nothing, if it is meant so; a square root or a clamp of a sum is rarely meant",
        )
        return
    if d.weight < 0:
        yield Finding(
            "reconstruction-sign",
            "error",
            "the reconstruction term has the wrong sign: training makes reconstructions worse",
            Evidence("weight", d.weight * probe.size.batch, 0.0),
            f"change the sign of the term of {own['r']}",
        )
    if d.form in WORDS:
        code, what, remedy = WORDS[d.form]
        yield Finding(
            code,
            "warning" if d.form == "squared-logits" else "error",
            what.format(**own),
            Evidence("share of the term's variation it explains", 1 - d.left),
            remedy.format(**own),
        )
    form = RECONSTRUCTIONS[d.form]
    says_logits = "logit" in own["r"].lower()
    says_probability = any(w in own["r"].lower() for w in ("prob", "sigmoid"))
    if form.bernoulli and (says_logits != form.logits) and (says_logits or says_probability):
        yield Finding(
            "logits-mismatch",
            "error",
            f"the name {own['r']} says {'logits' if says_logits else 'a probability'}, and the "
            f"loss takes it as {'logits' if form.logits else 'a probability'}",
            Evidence("share of the term's variation that explains", 1 - d.left),
            f"F.binary_cross_entropy_with_logits({own['r']}, {own['x']}, reduction='sum') / "
            f"{own['x']}.shape[0]"
            if says_logits
            else f"F.binary_cross_entropy({own['r']}, {own['x']}, reduction='sum') / "
            f"{own['x']}.shape[0]",
        )


def has_kl(probe: Probe) -> Findings:
    """Is the KL the closed form, with the right sign?"""
    k, own = probe.kl, names(probe)
    if k is None or all(probe.gradients.get(r) in (None, 0.0) for r in ("mu", "scale")):
        return
    if not k.form:
        told = " ".join(
            f"{'+' if w >= 0 else '−'} {short(abs(w))} {term.format(**own)}"
            for term, w in probe.pieces.items()
        )
        what = (
            f"the KL is no closed form of normals: for each latent it is {told}"
            if told
            else "the KL is no sum of known terms of μ and s: a clamp, a sample, or another prior"
        )
        yield Finding(
            "kl-form",
            "error" if told else "info",
            what,
            Evidence("share of its variation that the nearest closed form leaves", k.left),
            closed_form(probe) if told else "nothing, if it is meant so",
        )
        return
    if k.weight < 0:
        yield Finding(
            "kl-sign",
            "error",
            "the KL has the wrong sign: the further posteriors are from the prior, the better",
            Evidence("weight", k.weight * probe.size.batch, 0.0),
            closed_form(probe),
        )
    by_name, said = kinds(own["s"])
    if by_name and k.form not in by_name:
        yield Finding(
            "scale-mismatch",
            "error",
            f"the name {own['s']} says {said}, and the loss takes it as {SCALES[k.form].title}",
            Evidence("share of the KL's variation that explains", 1 - k.left),
            closed_form(probe),
        )
    if abs(probe.offset) > 1e-3:
        yield Finding(
            "kl-offset",
            "warning",
            "the KL is not 0 where every posterior is the prior: gradients are right, the ELBO it "
            "reports is not",
            Evidence("offset", probe.offset, 0.0, "nats per latent dimension"),
            closed_form(probe),
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
        )
        return
    if lost and len(lost) == len(probe.gradients):
        yield Finding(
            "no-gradient",
            "error",
            "no argument receives a gradient: the loss leaves the graph",
            Evidence("arguments without a gradient", len(lost)),
            "no .item(), .detach(), .data or numpy on the way to the loss",
        )
        return
    for role in lost:
        yield Finding(
            "no-gradient",
            "error",
            f"{own[role]} receives no gradient",
            Evidence("norm of the gradient", 0.0),
            closed_form(probe)
            if role != "reconstruction"
            else f"no .detach(), rounding or comparison of {own[role]}",
        )


def batch_size(probe: Probe) -> Findings:
    """Is the loss, and the weight of the KL in it, the same at every batch size?"""
    d = probe.reconstruction.powers[0] if probe.reconstruction else None
    k = probe.kl.powers[0] if probe.kl else None
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
        )
        return
    growth = next((power + 1 for power in (d, k) if power is not None), 0)
    if growth != 0:
        summed = growth == 1
        yield Finding(
            "batch-sum",
            "info" if summed else "error",
            "the loss is summed over the batch: logged values and gradients grow with its size"
            if summed
            else "the loss changes with the batch size otherwise than as a mean or a sum",
            Evidence("loss of a doubled batch over that of the batch", 2.0**growth, 1.0),
            f"return loss / {x}.shape[0]",
        )


def dimensions(probe: Probe) -> Findings:
    """Are both terms summed over dimensions, so that β is what it is called?"""
    d, k, beta = probe.reconstruction, probe.kl, probe.beta
    if d is None or k is None or beta is None or _plain(probe, beta):
        return
    own, n, latent = names(probe), probe.size.dims, probe.size.latent
    evidence = Evidence("effective β", beta, unit=f"at {n} dimensions and {latent} latents")
    over_data = _relative(d.powers[1], k.powers[1])
    if d.powers[1] is None:  # only one size is taken: the weight itself must tell
        over_data = -1 if _is_mean(d.weight * probe.size.batch * n) else 0
    over_latents = _relative(k.powers[2], d.powers[2])
    if k.powers[2] is None:
        over_latents = -1 if _is_mean(2 * k.weight * probe.size.batch * latent) else 0
    if over_data == -1:
        yield Finding(
            "mean-reconstruction",
            "error",
            f"the reconstruction is averaged over dimensions, the KL is not: this is a β-VAE "
            f"with β = {short(beta)}{', whose codes collapse' if beta > 4 else ''}",
            evidence,
            f"sum it over dimensions: reduction='sum', then / {own['x']}.shape[0]",
        )
    if over_latents == -1:
        yield Finding(
            "mean-kl",
            "error",
            f"the KL is averaged over latent dimensions, so that it counts 1/{latent} of what it "
            "should",
            evidence,
            closed_form(probe),
        )
    if math.isclose(beta, 2, rel_tol=1e-3):
        yield Finding(
            "kl-twice",
            "info",
            "the KL counts twice: is its ½ missing?",
            evidence,
            closed_form(probe),
        )
    if over_data != -1 and over_latents != -1 and not 0.01 <= abs(beta) <= 100:
        yield Finding(
            "odd-beta",
            "warning",
            f"the KL is weighed {short(beta)} times against summed nats: "
            f"{'codes collapse' if abs(beta) > 1 else 'nearly an autoencoder'}",
            evidence,
            "weigh both terms in nats, summed over dimensions, and set β yourself",
        )


def _plain(probe: Probe, beta: float) -> bool:
    """Whether β is 1 in nats: also for a squared error without its ½, a normal of σ = 0.71."""
    assert probe.reconstruction is not None
    usual = (1.0, RECONSTRUCTIONS[probe.reconstruction.form].nats)
    return any(math.isclose(beta, b, rel_tol=1e-3) for b in usual)


def _relative(own: int | None, other: int | None) -> int:
    """A power of one term's weight, as far as the other term does not share it."""
    return (own or 0) - (other or 0)


def _is_mean(times_count: float) -> bool:
    return any(math.isclose(abs(times_count), c, rel_tol=1e-3) for c in (1.0, 0.5, 2.0))


def returns(probe: Probe) -> Findings:
    """Does it return one number, the same at every call?"""
    if probe.shape not in ((), (1,)):
        yield Finding(
            "not-scalar",
            "warning",
            f"it returns a tensor of shape {probe.shape}, which .backward() does not take",
            Evidence("numbers returned", math.prod(probe.shape), 1),
            "return loss.mean()"
            if len(probe.shape) == 1
            else "return loss.flatten(1).sum(1).mean()",
        )
    if probe.random:
        yield Finding(
            "random",
            "info",
            "it is another number at every call: it samples inside, so figures of it are noisy",
            Evidence("calls that differ", 2),
            "nothing, if it is meant so; seed it where figures are compared",
        )


def bears(probe: Probe) -> Findings:
    """Is it finite for all that a network can come to?"""
    if probe.broken:
        own = names(probe)
        of_r = any(own["r"] in where for where in probe.broken)
        yield Finding(
            "not-finite",
            "error",
            f"value or gradient is not finite with {' and with '.join(probe.broken)}",
            Evidence("inputs for which it is not", len(probe.broken), 0),
            f"F.binary_cross_entropy_with_logits({own['r']}, {own['x']}, reduction='sum') / "
            f"{own['x']}.shape[0], with {own['r']} before any sigmoid"
            if of_r
            else f"{own['s']} = {own['s']}.clamp(-10, 10) before its exponential",
        )


CHECKS: dict[str, Callable[[Probe], Findings]] = {
    "reconstruction term": reconstructs,
    "KL: closed form, sign, scale": has_kl,
    "gradients": reaches,
    "batch size": batch_size,
    "sums and means over dimensions": dimensions,
    "one number": returns,
    "finite at extremes": bears,
}
