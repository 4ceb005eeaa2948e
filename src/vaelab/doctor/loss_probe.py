r"""A foreign loss, measured with planted inputs.

    loss(x, r, μ, s) = a Σ d(x, r) + w Σ k(μ, s) + c          sums over the batch and every element

Its forms d and k are the candidates that leave nothing unexplained. How a and w change with the
batch B, the data's dimensions n and the latent's L says what is a mean and what a sum; w over a,
in nats, is the effective β.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES, TERMS, fitted
from vaelab.doctor.loss_loader import ProbeInputs, Refused, Subject, chosen, slopes

SHAPES = ((784,), (1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 64, 64), (1, 32, 32))
BATCH, LATENT = 6, 5
PLANTS = 24


@dataclass(frozen=True)
class Size:
    """Of planted inputs: batch, shape of the data, latent dimensions."""

    batch: int = BATCH
    shape: tuple[int, ...] = SHAPES[0]
    latent: int = LATENT

    @property
    def dims(self) -> int:
        """Numbers in one example."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Term:
    """One of the two terms of a loss.

    Attributes:
        form: its name among the candidates; empty where none fits.
        weight: of the sum over batch and elements.
        left: what the form leaves unexplained.
        powers: the exponents of B, n and L in the weight; None where the size could not be varied.
    """

    form: str
    weight: float
    left: float
    powers: tuple[int | None, int | None, int | None] = (None, None, None)


@dataclass(frozen=True)
class Probe:
    """What was measured of a loss.

    Attributes:
        subject: the loss.
        size: of the inputs it was measured with.
        exact: whether it could be measured in float64.
        reconstruction: the term of x and r; None where it has no such arguments.
        kl: the term of μ and s; None likewise.
        pieces: coefficients of the terms of an odd KL, over those of the batch mean.
        offset: nats per latent dimension of its KL where the posterior is the prior.
        gradients: norm of the gradient by role; None where there is none at all.
        shape: of what it returns.
        chosen: how the loss was chosen among several values.
        random: whether it is another number at every call.
        broken: inputs, in words, for which value or gradient is not finite.
    """

    subject: Subject
    size: Size
    exact: bool
    reconstruction: Term | None
    kl: Term | None
    pieces: dict[str, float]
    offset: float
    gradients: dict[str, float | None]
    shape: tuple[int, ...]
    chosen: str
    random: bool
    broken: tuple[str, ...]

    @property
    def tolerance(self) -> float:
        """What a form may leave unexplained and still be the one."""
        return 1e-6 if self.exact else 1e-3

    @property
    def beta(self) -> float | None:
        """Weight of the KL against the reconstruction, both in summed nats; None if unknown."""
        d, k = self.reconstruction, self.kl
        if d is None or k is None or not d.form or not k.form or d.weight == 0:
            return None
        return k.weight / d.weight * RECONSTRUCTIONS[d.form].nats


def probe(subject: Subject, shape: tuple[int, ...] | None = None) -> Probe:
    """Measures a loss.

    Args:
        subject: the loss.
        shape: of one example; by default the first of `SHAPES` that it takes.

    Raises:
        ValueError: where it takes none.
    """
    size, exact = _accepted(subject, SHAPES if shape is None else (shape,))
    dtype = torch.float64 if exact else torch.float32
    first = planted(size, dtype)
    value, how = chosen(subject.raw(first))
    tolerance = 1e-6 if exact else 1e-3
    d = _reconstruction(subject, size, dtype, tolerance) if subject.has(*DATA) else None
    k, pieces = _kl(subject, size, dtype, tolerance) if subject.has(*CODE) else (None, {})
    offset = 0.0
    if d is not None and d.form:
        d = replace(d, powers=_powers(subject, size, dtype, d, reconstruction_weight))
    if k is not None and k.form:
        k = replace(k, powers=_powers(subject, size, dtype, k, kl_weight))
        offset = _offset(subject, size, dtype, k)
    return Probe(
        subject,
        size,
        exact,
        d,
        k,
        pieces,
        offset,
        _gradients(subject, first),
        tuple(value.shape),
        how,
        bool((subject(first, seed=1) != subject(first, seed=2)).item()),
        tuple(_broken(subject, size, d, k)),
    )


DATA, CODE = ("x", "reconstruction"), ("mu", "scale")


def planted(size: Size, dtype: torch.dtype, seed: int = 0, spread: float = 1.0) -> ProbeInputs:
    """Inputs of a size: x and r in (0.02, 0.98), so that every form is defined; s in (0.2, 1.5).

    Args:
        size: of the inputs.
        dtype: of the inputs.
        seed: of the draws.
        spread: 0 for r = x, μ = 0 and one s; 1 for all the variety there is.
    """
    g = torch.Generator().manual_seed(seed)
    x = 0.02 + 0.96 * torch.rand(size.batch, *size.shape, generator=g, dtype=torch.float64)
    other = 0.02 + 0.96 * torch.rand(x.shape, generator=g, dtype=torch.float64)
    mu = spread * 1.5 * torch.randn(size.batch, size.latent, generator=g, dtype=torch.float64)
    s = 0.2 + spread * 1.3 * torch.rand(mu.shape, generator=g, dtype=torch.float64)
    return ProbeInputs(x, torch.lerp(x, other, spread), mu, s).mapped(lambda t: t.to(dtype))


def _accepted(subject: Subject, shapes: tuple[tuple[int, ...], ...]) -> tuple[Size, bool]:
    refusals = []
    for shape in shapes:
        for dtype in (torch.float64, torch.float32):
            try:
                subject(planted(Size(shape=shape), dtype))
                return Size(shape=shape), dtype == torch.float64
            except Refused as refused:
                refusals.append(f"{shape}: {refused}")
    raise ValueError(
        f"it raises for data of every shape that was tried, {refusals[-1]}. Give the shape of one "
        "example with --shape, and what its arguments are with --arguments"
    )


def _measured(subject: Subject, plants: Sequence[ProbeInputs]) -> Tensor:
    """Its values (P,) for inputs that every loss can take.

    Raises:
        Refused: where one of them is not finite.
    """
    values = torch.stack([subject(p).detach().double() for p in plants])
    if not values.isfinite().all():
        raise Refused(
            f"it returns {float(values[~values.isfinite()][0])} for a reconstruction between 0.02 "
            "and 0.98, μ of about 1 and s between 0.2 and 1.5. Mend that first; every loss is "
            "finite there"
        )
    return values


def _reconstruction(subject: Subject, size: Size, dtype: torch.dtype, tolerance: float) -> Term:
    """The candidate that explains how the loss changes with x and r."""
    fixed = planted(size, dtype, 99)
    plants = [planted(size, dtype, i, (i + 1) / PLANTS) for i in range(PLANTS)]
    plants = [replace(fixed, x=p.x, reconstruction=p.reconstruction) for p in plants]
    values = _measured(subject, plants)
    best = Term("", 0.0, 1.0)
    for name, form in RECONSTRUCTIONS.items():
        sums = torch.stack(
            [form.term(p.x.double(), p.reconstruction.double()).sum() for p in plants]
        )
        weight, left = fitted(sums[:, None], values)
        if left < best.left:
            best = Term(name, float(weight), left)
    return best if best.left < tolerance else replace(best, form="")


def _kl(
    subject: Subject, size: Size, dtype: torch.dtype, tolerance: float
) -> tuple[Term, dict[str, float]]:
    """The closed form that explains how the loss changes with μ and s; else its terms."""
    fixed = planted(size, dtype, 99)
    plants = [planted(size, dtype, 100 + i, (i + 1) / PLANTS) for i in range(PLANTS)]
    plants = [replace(fixed, mu=p.mu, scale=p.scale) for p in plants]
    values = _measured(subject, plants)
    if float(values.max() - values.min()) <= 1e-12 * float(values.abs().max()):
        return Term("", 0.0, 1.0), {}
    best = Term("", 0.0, 1.0)
    for name, scale in SCALES.items():
        sums = torch.stack([scale.closed(p.mu.double(), p.scale.double()).sum() for p in plants])
        weight, left = fitted(sums[:, None], values)
        if left < best.left:
            best = Term(name, float(weight), left)
    if best.left < tolerance:
        return best, {}
    features = torch.stack(
        [
            torch.stack([t(p.mu.double(), p.scale.double()).sum() for t in TERMS.values()])
            for p in plants
        ]
    )
    weights, left = fitted(features, values)
    pieces = {}
    if left < tolerance:
        found = dict(zip(TERMS, (weights * size.batch).tolist(), strict=True))
        largest = max(map(abs, found.values()))
        pieces = {name: w for name, w in found.items() if abs(w) > 1e-4 * largest}
    return replace(best, form=""), pieces


Weigh = Callable[[Subject, Size, torch.dtype, str], float]


def reconstruction_weight(subject: Subject, size: Size, dtype: torch.dtype, form: str) -> float:
    """The weight of Σ d(x, r), from two plants."""
    a, b = planted(size, dtype, 1), planted(size, dtype, 2, 0.3)
    b = replace(a, x=b.x, reconstruction=b.reconstruction)
    term = RECONSTRUCTIONS[form].term
    rise = term(a.x.double(), a.reconstruction.double()).sum()
    rise = rise - term(b.x.double(), b.reconstruction.double()).sum()
    return float((subject(a) - subject(b)).double() / rise)


def kl_weight(subject: Subject, size: Size, dtype: torch.dtype, form: str) -> float:
    """The weight of Σ k(μ, s), from two plants."""
    a, b = planted(size, dtype, 1), planted(size, dtype, 2, 0.3)
    b = replace(a, mu=b.mu, scale=b.scale)
    closed = SCALES[form].closed
    rise = closed(a.mu.double(), a.scale.double()).sum()
    rise = rise - closed(b.mu.double(), b.scale.double()).sum()
    return float((subject(a) - subject(b)).double() / rise)


def _powers(
    subject: Subject, size: Size, dtype: torch.dtype, term: Term, weigh: Weigh
) -> tuple[int | None, int | None, int | None]:
    """How the weight changes with batch, data dimensions and latent dimensions."""
    wider = (*size.shape[:-1], 2 * size.shape[-1])
    larger = (
        (replace(size, batch=2 * size.batch), 2),
        (replace(size, shape=wider), 2),
        (replace(size, latent=2 * size.latent), 2),
    )
    found: list[int | None] = []
    for changed, factor in larger:
        try:
            ratio = abs(weigh(subject, changed, dtype, term.form) / term.weight)
        except (Refused, ZeroDivisionError):
            ratio = math.nan
        power = math.log(ratio, factor) if ratio > 0 else math.nan
        near = math.isfinite(power) and abs(power - round(power)) < 0.02
        found.append(round(power) if near else None)
    return found[0], found[1], found[2]


def _offset(subject: Subject, size: Size, dtype: torch.dtype, kl: Term) -> float:
    """Nats per latent dimension where every posterior is the prior; 0 where it cannot be told."""
    if kl.powers[2] != 0:
        return 0.0
    values = []
    for latent in (size.latent, 2 * size.latent):
        p = planted(replace(size, latent=latent), dtype, 3)
        neutral = torch.full_like(p.scale, SCALES[kl.form].neutral)
        values.append(float(subject(replace(p, mu=torch.zeros_like(p.mu), scale=neutral))))
    return (values[1] - values[0]) / (size.latent * size.batch * kl.weight)


def _gradients(subject: Subject, inputs: ProbeInputs) -> dict[str, float | None]:
    """The norm of the gradient of each argument but the data; None where none arrives."""
    roles = [role for role in ("reconstruction", "mu", "scale") if subject.has(role)]
    leaves = {role: getattr(inputs, role).clone().requires_grad_() for role in roles}
    value = subject(replace(inputs, **leaves))
    found = slopes(value, list(leaves.values()))
    return {
        role: None if g is None else float(g.norm()) for role, g in zip(roles, found, strict=True)
    }


def _broken(subject: Subject, size: Size, d: Term | None, k: Term | None) -> list[str]:
    """What a network can come to, in float32, and the loss cannot bear."""
    base = planted(size, torch.float32)
    black = (base.x > 0.5).float()
    trials: dict[str, ProbeInputs] = {}
    if d is not None and d.form in ("bce", "bce-logits"):
        name = subject.called["reconstruction"]
        if RECONSTRUCTIONS[d.form].logits:
            sure = torch.where(base.reconstruction > 0.5, 40.0, -40.0)
            trials[f"{name} at ±40"] = replace(base, x=black, reconstruction=sure)
        else:
            trials[f"{name} at 0 and 1"] = replace(base, x=black, reconstruction=black)
    if k is not None and k.form:
        name, s = subject.called["scale"], torch.full_like(base.scale, 1.0)
        for extreme in SCALES[k.form].extremes:
            trials[f"{name} at {extreme:g}"] = replace(base, scale=extreme * s)
    return [name for name, inputs in trials.items() if not _finite(subject, inputs)]


def _finite(subject: Subject, inputs: ProbeInputs) -> bool:
    leaves = inputs.mapped(lambda t: t.clone().requires_grad_())
    try:
        value = subject(replace(leaves, x=inputs.x))
    except Refused:  # it says what it does not take, which is better than a silent nan
        return True
    if not torch.isfinite(value):
        return False
    found = slopes(value, [leaves.reconstruction, leaves.mu, leaves.scale])
    return all(g is None or bool(torch.isfinite(g).all()) for g in found)
