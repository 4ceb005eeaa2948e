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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES, TERMS, Scale, fitted
from vaelab.doctor.loss_loader import (
    NODES,
    ProbeInputs,
    Refused,
    Subject,
    chosen,
    kinds,
    slopes,
)

SHAPES = ((784,), (3, 20, 28), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 64, 64), (1, 32, 32))
LATENTS = ((5,), (4, 3, 2))
BATCH = 6

TOLERANCE = 2e-3
"""Relative error up to which a form explains a loss: small constants such as 1e-6 are no error."""
EXACT, ROUNDED = 1e-7, 1e-4

MU = (-2.2, -0.6, 0.0, 0.9, 1.7)
SIGNED = tuple(torch.linspace(-8.1, 3.1, 24).tolist())
POSITIVE = tuple(torch.linspace(-8.1, 1.1, 16).exp().tolist())
X, R = (0.05, 0.3, 0.5, 0.8, 0.97), (0.004, 0.02, 0.15, 0.35, 0.6, 0.85, 0.98, 0.996)
USUAL = 0.7
"""A scale that every reading can take."""


@dataclass(frozen=True)
class Size:
    """Sizes of planted inputs: batch, shape of an example, shape of its latents."""

    batch: int = BATCH
    shape: tuple[int, ...] = SHAPES[0]
    latents: tuple[int, ...] = LATENTS[0]

    @property
    def dims(self) -> int:
        """Numbers in one example."""
        return math.prod(self.shape)

    @property
    def latent(self) -> int:
        """Numbers in its latents."""
        return math.prod(self.latents)


class Powers(NamedTuple):
    """Exponents of a weight in each size; None if that size could not be varied.

    Attributes:
        batch: exponent of B.
        data: exponents of the axes of the data.
        latent: exponents of the axes of the latents.
    """

    batch: int | None = None
    data: tuple[int | None, ...] = ()
    latent: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Term:
    """One of the two terms of a loss.

    Attributes:
        form: name among the candidates; empty if none fits.
        weight: coefficient of the sum over batch and elements.
        left: largest relative error of the nearest form.
        powers: exponents of the sizes in the weight.
        coupled: elements are combined before the form is taken: "rows", "elements" or "".
    """

    form: str
    weight: float
    left: float
    powers: Powers = field(default_factory=Powers)
    coupled: str = ""


@dataclass(frozen=True)
class KL(Term):
    """The term of μ and s.

    Attributes:
        exchanged: it is KL(p‖q).
        clamp: values of s beyond which it no longer depends on s, infinite if there are none.
        floor: nats of KL below which it no longer falls (free bits, a capacity); None if none.
        cap: nats of KL above which it no longer rises; None if none.
        pieces: coefficients of known terms that explain it instead, times the batch.
        offset: nats per latent dimension if the posterior is the prior.
    """

    exchanged: bool = False
    clamp: tuple[float, float] = (-math.inf, math.inf)
    floor: float | None = None
    cap: float | None = None
    pieces: tuple[tuple[str, float], ...] = ()
    offset: float = 0.0


class Noise(NamedTuple):
    """The scale of the likelihood, if it is an argument.

    Attributes:
        form: reading of it; empty if none fits.
        power: p in a weight of the squared error of σ^−2p; 1 is right.
        cost: weight of log σ² over what −log N asks for; 1 is right, 0 is none.
    """

    form: str
    power: float
    cost: float

    @property
    def variance(self) -> float:
        """The divisor of a squared error, for the noise of the other measurements."""
        if not self.form:
            return 1.0
        usual = torch.tensor(USUAL, dtype=torch.float64)
        return float((self.power * SCALES[self.form].log_variance(usual)).exp())


class Constant(NamedTuple):
    """A number that a loss uses, and the powers with which it enters the weights of both terms.

    Attributes:
        name: name of the parameter or global variable.
        value: present value.
        reconstruction: exponent in the weight of the reconstruction.
        kl: exponent in the weight of the KL.
        log: the exponents are those of exp(value).
    """

    name: str
    value: float
    reconstruction: float
    kl: float
    log: bool


@dataclass(frozen=True)
class Probe:
    """Measurements of a loss.

    Attributes:
        subject: the loss.
        size: sizes of the inputs it was measured with.
        reconstruction: term of x and r; None without such arguments.
        kl: term of μ and s; None likewise.
        noise: scale of the likelihood; None if it is no argument.
        constants: numbers that weigh its terms.
        gradients: norm of the gradient by role; None if there is no gradient.
        shape: shape of the returned tensor.
        chosen: rule by which the loss was chosen among several values.
        random: two calls return different numbers.
        broken: inputs, in words, for which value or gradient is not finite.
        elsewhere: axes that another accepted shape averages the reconstruction over.
    """

    subject: Subject
    size: Size
    reconstruction: Term | None
    kl: KL | None
    noise: Noise | None
    constants: tuple[Constant, ...]
    gradients: dict[str, float | None]
    shape: tuple[int, ...]
    chosen: str
    random: bool
    broken: tuple[str, ...]
    elsewhere: str = ""

    @property
    def beta(self) -> float | None:
        """Weight of the KL against the reconstruction of σ = 1, in nats; None if unknown."""
        d, k = self.reconstruction, self.kl
        if d is None or k is None or not d.form or not k.form or d.weight == 0:
            return None
        beta = k.weight / d.weight * RECONSTRUCTIONS[d.form].nats
        return beta if self.noise is None else beta / self.noise.variance

    @property
    def declared(self) -> float:
        """The part of β that the loss's own named numbers account for."""
        factors = (
            (math.exp(c.value) if c.log else c.value) ** (c.kl - c.reconstruction)
            for c in self.constants
        )
        return math.prod(factors)


DATA, CODE = ("x", "reconstruction"), ("mu", "scale")


@dataclass(frozen=True)
class Bench:
    """Evaluate a loss on planted inputs.

    Attributes:
        subject: the loss.
        size: sizes of the inputs.
        dtype: their precision.
        random: the loss draws noise, which is integrated out.
    """

    subject: Subject
    size: Size
    dtype: torch.dtype
    random: bool = False

    def __call__(self, inputs: ProbeInputs) -> float:
        """The loss, or its expectation over normal noise; nan if it refuses these inputs."""
        try:
            if not self.random:
                return float(self.subject(inputs).detach().double())
            return sum(w * float(self.subject(inputs, node=z).detach()) for z, w in NODES)
        except Refused:
            return math.nan

    def at(self, size: Size | None = None, **values: float) -> float:
        """The loss of inputs with these values in every element of the roles that are named."""
        base = planted(size or self.size, self.dtype, 99)
        noise = torch.full_like(base.noise, USUAL)
        base = replace(base, noise=noise)
        uniform = {role: torch.full_like(getattr(base, role), v) for role, v in values.items()}
        return self(replace(base, **uniform))


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
    d = _reconstruction(bench) if subject.has(*DATA) else None
    k = _kl(bench) if subject.has(*CODE) else None
    noise = _noise(bench, d) if d is not None and subject.has("noise") else None
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


def planted(size: Size, dtype: torch.dtype, seed: int = 0) -> ProbeInputs:
    """Random inputs that every loss can take: x and r in (0.02, 0.98), s in (0.2, 1.5).

    Args:
        size: sizes of the inputs.
        dtype: their precision.
        seed: seed of the draws.
    """
    g = torch.Generator().manual_seed(seed)
    x, r = 0.02 + 0.96 * torch.rand(2, size.batch, *size.shape, generator=g, dtype=torch.float64)
    mu = 1.5 * torch.randn(size.batch, *size.latents, generator=g, dtype=torch.float64)
    s = 0.2 + 1.3 * torch.rand(mu.shape, generator=g, dtype=torch.float64)
    noise = 0.2 + 1.3 * torch.rand(x.shape, generator=g, dtype=torch.float64)
    return ProbeInputs(x, r, mu, s, noise).mapped(lambda t: t.to(dtype))


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


# The reconstruction.


def _reconstruction(bench: Bench) -> Term:
    """The candidate that explains how the loss changes with x and r."""
    pairs = [(x, r) for x in X for r in R]
    values = torch.tensor([bench.at(x=x, reconstruction=r) for x, r in pairs], dtype=torch.float64)
    x, r = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    kept = values.isfinite()
    if int(kept.sum()) < 12 or float(values[kept].std()) <= 1e-12 * float(values[kept].abs().max()):
        return Term("", 0.0, 1.0)
    count = bench.size.batch * bench.size.dims
    best = Term("", 0.0, 1.0)
    for name, form in RECONSTRUCTIONS.items():
        d = count * form.term(x, r)[kept]
        weights, _, left = fitted(d[:, None], values[kept], d.abs() + count)
        if left < best.left:
            best = Term(name, float(weights[0]), left)
    if best.left > TOLERANCE:
        return replace(best, form="")
    powers = _powers(bench, lambda size: reconstruction_weight(bench, size, best.form))
    best = replace(best, powers=powers, coupled=_averaged_before(bench, DATA))
    term = RECONSTRUCTIONS[best.form].term
    if not best.coupled and not _adds_up(
        bench, DATA, best.weight, lambda p: term(p.x.double(), p.reconstruction.double())
    ):
        return replace(best, form="")
    return best


def reconstruction_weight(bench: Bench, size: Size, form: str, near: float = 0.3) -> float:
    """The weight of Σ d(x, r), from r = 0.8 and r = 0.3 at the same x."""
    rise = bench.at(size, x=near, reconstruction=0.8) - bench.at(size, x=near, reconstruction=0.3)
    x, far, close = torch.tensor([near, 0.8, 0.3], dtype=torch.float64)
    term = RECONSTRUCTIONS[form].term
    return rise / (float(term(x, far) - term(x, close)) * size.batch * size.dims)


# The KL.


class Codes(NamedTuple):
    """Values (P,) of the loss over a grid of (μ, s), and the number of elements."""

    mu: Tensor
    s: Tensor
    values: Tensor
    elements: int

    def kept(self, which: Tensor) -> Codes:
        return Codes(self.mu[which], self.s[which], self.values[which], self.elements)


def _kl(bench: Bench) -> KL:
    """The form that explains how the loss changes with μ and s."""
    grid = _codes(bench)
    if grid is None:
        return _of_statistics(bench)
    spread = float(grid.values.max() - grid.values.min())
    if spread <= 1e-12 * float(grid.values.abs().max()):
        return KL("", 0.0, 1.0)
    exact = EXACT if bench.dtype == torch.float64 else ROUNDED
    best = None
    for recognise in (
        partial(_closed, within=exact),
        _sum_of_terms,
        _closed,
        _clamped,
        _bent,
        _transformed,
    ):
        best = recognise(bench, grid)
        if best is not None and (best.form or best.pieces):
            break
    else:
        statistics = _of_statistics(bench)
        return statistics if statistics.form else _closed(bench, grid)
    if not best.form:
        return best
    start, end = (6.0, 5.0) if best.floor is not None else (1.3, 0.0)
    powers = _powers(bench, lambda size: kl_weight(bench, size, start, end))
    offset = 0.0 if best.floor is not None else _offset(bench, best, powers)
    # Free bits and capacities are of a mean over rows more often than not, and may be.
    bent = best.floor is not None or best.cap is not None
    coupled = "" if bent else _averaged_before(bench, CODE)
    if best.form in SCALES and not bent and not coupled and best.clamp == KL.clamp:
        scale = SCALES[best.form]
        form = scale.reversed if best.exchanged else scale.closed
        if not _adds_up(bench, CODE, best.weight, lambda p: form(p.mu.double(), p.scale.double())):
            return replace(best, form="")
    return replace(best, powers=powers, offset=offset, coupled=coupled)


def _codes(bench: Bench) -> Codes | None:
    """The grid, of negative s too if the loss is finite there; None if it is finite nowhere."""
    for scales in ((*SIGNED, *POSITIVE), POSITIVE):
        pairs = [(mu, s) for mu in MU for s in scales]
        values = torch.tensor([bench.at(mu=mu, scale=s) for mu, s in pairs], dtype=torch.float64)
        if bool(values.isfinite().all()):
            mu, s = torch.tensor(pairs, dtype=torch.float64).unbind(1)
            return Codes(mu, s, values, bench.size.batch * bench.size.latent)
    return None


def _readings(grid: Codes) -> Iterator[tuple[str, Scale]]:
    """The readings of s that are defined on a grid."""
    for name, scale in SCALES.items():
        if bool(scale.log_variance(grid.s).isfinite().all()):
            yield name, scale


def _closed(bench: Bench, grid: Codes, within: float = TOLERANCE) -> KL:
    """The closed form, or the one with exchanged arguments; without a form if neither fits."""
    best = KL("", 0.0, 1.0)
    for name, scale in _readings(grid):
        for exchanged, form in ((False, scale.closed), (True, scale.reversed)):
            k = form(grid.mu, grid.s)
            weights, _, left = fitted(grid.elements * k[:, None], grid.values, k.abs() + 1)
            if left < best.left:
                best = KL(name, float(weights[0]), left, exchanged=exchanged)
    return best if best.left < within else replace(best, form="")


def _clamped(bench: Bench, grid: Codes) -> KL | None:
    """The closed form between two values of s, beyond which nothing depends on s."""
    at_zero = grid.mu == 0
    s, order = grid.s[at_zero].sort()
    values = grid.values[at_zero][order]
    near = 1e-6 * float(values.max() - values.min())
    low = int(((values - values[0]).abs() > near).int().argmax())  # the first that differs
    high = len(s) - int(((values - values[-1]).abs() > near).flip(0).int().argmax())
    if low < 2 and high > len(s) - 2:
        return None
    bottom = s[low - 1] if low >= 2 else torch.tensor(-math.inf)
    top = s[high] if high <= len(s) - 2 else torch.tensor(math.inf)
    inner = grid.kept((grid.s > bottom) & (grid.s < top))
    for name, scale in _readings(grid):
        k = scale.closed(inner.mu, inner.s)
        if len(inner.s) < 4 * len(MU):
            return None
        weights, constant, left = fitted(inner.elements * k[:, None], inner.values, k.abs() + 1)
        if left > TOLERANCE:
            continue

        def level(value: Tensor, w: float = float(weights[0]), c: float = constant) -> float:
            return (float(value) - c) / (w * grid.elements)

        start = _where(scale, level(values[0]), float(bottom), float(s[low])) if low >= 2 else None
        end = (
            _where(scale, level(values[-1]), float(s[high - 1]), float(top))
            if high <= len(s) - 2
            else None
        )
        return KL(
            name,
            float(weights[0]),
            left,
            clamp=(
                -math.inf if start is None else start,
                math.inf if end is None else end,
            ),
        )
    return None


def _where(scale: Scale, nats: float, low: float, high: float) -> float:
    """The s in an interval with ½ (σ² − 1 − log σ²) of these nats."""
    zero = torch.zeros((), dtype=torch.float64)

    def beyond(s: float) -> float:
        return float(scale.closed(zero, torch.tensor(s, dtype=torch.float64))) - nats

    start = beyond(low)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) * start > 0 else (low, middle)
    return (low + high) / 2


def _bent(bench: Bench, grid: Codes) -> KL | None:
    """The closed form above a floor or below a cap of its own value."""
    for name, scale in _readings(grid):
        k = grid.elements * scale.closed(grid.mu, grid.s)
        order = k.argsort()
        k, values = k[order], grid.values[order]
        for most in (True, False):
            part = slice(3 * len(k) // 4, None) if most else slice(None, len(k) // 4)
            weights, c, left = fitted(k[part][:, None], values[part], k[part].abs() + 1)
            w = float(weights[0])
            if left > TOLERANCE or w == 0:
                continue
            beside = (values - c) / w - k  # above a floor's line, below a cap's
            off = (beside if most else -beside) > TOLERANCE * (k + 1)
            if bool(off.any()) and bool(
                (off == (k <= k[off].max() if most else k >= k[off].min())).all()
            ):
                edge = float(k[off].max() if most else k[off].min()) / bench.size.batch
                return KL(name, w, left, floor=edge if most else None, cap=None if most else edge)
    return None


def _sum_of_terms(bench: Bench, grid: Codes) -> KL | None:
    """Known terms of μ and s with coefficients of their own."""
    terms = {n: t(grid.mu, grid.s) for n, t in TERMS.items()}
    terms = {n: t for n, t in terms.items() if bool(t.isfinite().all())}
    features = grid.elements * torch.stack(list(terms.values()), 1)
    middle = grid.values.median()
    weights, _, left = fitted(
        features,
        grid.values,
        (grid.values - middle).abs() + 1e-300 + float((grid.values - middle).abs().median()),
    )
    if left > (EXACT if bench.dtype == torch.float64 else ROUNDED):
        return None
    found = dict(zip(terms, (weights * bench.size.batch).tolist(), strict=True))
    largest = max(map(abs, found.values()))
    pieces = tuple((name, w) for name, w in found.items() if abs(w) > 1e-4 * largest)
    return KL("", 0.0, left, pieces=pieces)


OTHER = "other"
"""The form of a KL of μ² and of a scale that is no known function of s, but rises with it."""


def _transformed(bench: Bench, grid: Codes) -> KL | None:
    """½ μ² beside a function of s with one least value: σ² in some transform of s."""
    zero = grid.kept(grid.mu == 0)
    weights = []
    for mu in MU:
        if mu:
            rise = grid.values[grid.mu == mu] - zero.values
            weights.append(rise / (0.5 * mu**2 * grid.elements))
    w = torch.stack(weights)
    weight = float(w.mean())
    if weight == 0 or float((w - weight).abs().max()) > TOLERANCE * abs(weight):
        return None
    s, order = zero.s.sort()
    g = (zero.values[order] - zero.values.min()) / (abs(weight) * grid.elements)
    g = g if weight > 0 else g.max() - g
    least = int(g.argmin())
    falls, rises = g[: least + 1].diff(), g[least:].diff()
    falling = 1 <= least < len(g) - 1 and bool((falls < 0).all()) and bool((rises > 0).all())
    if not falling or float(g[0]) > DEEPEST:
        half = ("{mu}²", 0.5 * weight * bench.size.batch)
        return KL("", 0.0, 1.0, pieces=(half, ("f({s}), which is of no σ", 1.0)))
    return KL(OTHER, weight, 0.0, clamp=_saturates(s, g, least))


DEEPEST = 30.0
"""Nats of −½ log σ² that no s in the grid may come to."""

FLAT = 0.05
"""Change of log σ² with s below which s has as good as no effect."""


def _saturates(s: Tensor, g: Tensor, least: int) -> tuple[float, float]:
    """The s below and above which log σ² hardly follows, from g = ½ (σ² − 1 − log σ²)."""
    if float(s[0]) > 0:
        return KL.clamp
    low = [_where(SCALES["logvar"], float(v), -60.0, 0.0) for v in g[:least]]
    high = [_where(SCALES["logvar"], float(v), 0.0, 60.0) for v in g[least + 1 :]]
    ends = [-math.inf, math.inf]
    for side, levels, at in ((0, low, s[:least]), (1, high[::-1], s[least + 1 :].flip(0))):
        slopes_ = (torch.tensor(levels, dtype=torch.float64).diff() / at.diff()).tolist()
        flat = next((i for i, slope in enumerate(slopes_) if slope >= FLAT), len(slopes_))
        if flat:
            ends[side] = float(at[flat])
    return ends[0], ends[1]


def kl_weight(bench: Bench, size: Size, start: float = 1.3, end: float = 0.0) -> float:
    """The weight of Σ k(μ, s), from its share ½ μ²."""
    rise = bench.at(size, mu=start, scale=USUAL) - bench.at(size, mu=end, scale=USUAL)
    return rise / (0.5 * (start**2 - end**2) * size.batch * size.latent)


def _offset(bench: Bench, kl: KL, powers: Powers) -> float:
    """Nats per latent dimension if every posterior is the prior; 0 if it cannot be measured."""
    if any(power != 0 for power in powers.latent):
        return 0.0
    more = replace(bench.size, latents=(2 * bench.size.latents[0], *bench.size.latents[1:]))

    def rise(s: float) -> float:
        return bench.at(more, mu=0.0, scale=s) - bench.at(mu=0.0, scale=s)

    neutral = SCALES[kl.form].neutral if kl.form != OTHER else _least(rise)
    extra = bench.size.batch * bench.size.latent
    found = rise(neutral) / (extra * kl.weight)
    return found if math.isfinite(found) and not kl.exchanged else 0.0


def _least(f: Callable[[float], float], low: float = SIGNED[0], high: float = SIGNED[-1]) -> float:
    """The argument of the least value of a unimodal function."""
    for _ in range(80):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if f(a) < f(b) else (a, high)
    return (low + high) / 2


def _averaged_before(bench: Bench, roles: tuple[str, str]) -> str:
    """The axis along which elements are averaged before a form is taken: "rows", "elements" or "".

    Errors (or means μ) of alternating sign, and scales of alternating size, cost as much as the two
    halves do, unless they cancel.
    """
    base = replace(planted(bench.size, bench.dtype, 99))
    base = replace(base, noise=torch.full_like(base.noise, USUAL))
    trials = (
        ((("x", 0.5), ("reconstruction", 0.2)), (("x", 0.5), ("reconstruction", 0.8)))
        if roles == DATA
        else ((("mu", -1.3), ("scale", 0.4)), (("mu", 1.3), ("scale", 1.2)))
    )
    halves = [
        {role: torch.full_like(getattr(base, role), value) for role, value in half}
        for half in trials
    ]
    apart = [bench(replace(base, **half)) for half in halves]
    usual = {roles[0]: 0.5, roles[1]: 0.5} if roles == DATA else {"mu": 0.0, "scale": 0.7}
    none = bench.at(None, **usual)
    spread = max(abs(value - none) for value in apart) + abs(apart[0] - apart[1])
    shape = getattr(base, roles[0]).shape
    for axis, length in enumerate(shape):
        if length < 2:
            continue
        odd = torch.arange(length).view(-1, *(1,) * (len(shape) - axis - 1)) % 2 == 1
        mixed = {role: torch.where(odd, halves[1][role], halves[0][role]) for role in roles}
        share = (length // 2) / length
        expected = (1 - share) * apart[0] + share * apart[1]
        if abs(bench(replace(base, **mixed)) - expected) > 1e-3 * spread:
            return "rows" if axis == 0 else "elements"
    return ""


def _adds_up(
    bench: Bench, roles: tuple[str, str], weight: float, form: Callable[[ProbeInputs], Tensor]
) -> bool:
    """True if random inputs cost the sum of their elements' terms."""
    base = replace(planted(bench.size, bench.dtype, 99))
    base = replace(base, noise=torch.full_like(base.noise, USUAL))
    values, sums = [], []
    for seed in range(4):
        p = planted(bench.size, bench.dtype, 300 + seed)
        a, b = (torch.lerp(getattr(base, r), getattr(p, r), 0.25 * (seed + 1)) for r in roles)
        inputs = replace(base, **{roles[0]: a, roles[1]: b})
        values.append(bench(inputs))
        sums.append(weight * float(form(inputs).sum()))
    rises = torch.tensor(values, dtype=torch.float64).diff()
    expected = torch.tensor(sums, dtype=torch.float64).diff()
    tolerance = TOLERANCE if bench.dtype == torch.float64 else 10 * TOLERANCE
    return bool(((rises - expected).abs() <= tolerance * expected.abs().max()).all())


def _of_statistics(bench: Bench) -> KL:
    """A closed form of the moments of the batch: of means of μ with its variance over the batch."""
    plants = [planted(bench.size, bench.dtype, 200 + i) for i in range(16)]
    fixed = plants[0]
    # Without noise a draw is its mean: moments of draws are those of μ.
    node = 0.0 if bench.random else None
    try:
        found = [bench.subject(replace(fixed, mu=p.mu, scale=p.scale), node=node) for p in plants]
    except Refused:
        return KL("", 0.0, 1.0)
    values = torch.stack([value.detach().double() for value in found])
    if not bool(values.isfinite().all()):
        return KL("", 0.0, 1.0)
    best = KL("", 0.0, 1.0)
    for name, scale in SCALES.items():
        for unbiased in (0, 1):
            for within in (0.0, 1.0):
                k = torch.stack([_moments(p, scale, unbiased, within) for p in plants])
                weights, _, left = fitted(k[:, None], values, k.abs() + 1)
                if left < best.left:
                    best = KL(name, float(weights[0]) / bench.size.batch, left, coupled="rows")
    return best if best.left < TOLERANCE else KL("", 0.0, best.left)


def _moments(p: ProbeInputs, scale: Scale, unbiased: int, within: float) -> Tensor:
    mu, s = p.mu.double(), p.scale.double()
    variance = mu.var(0, correction=unbiased) + within * scale.log_variance(s).exp().mean(0)
    m = mu.mean(0)
    return 0.5 * (m.square() + variance - 1 - variance.log()).sum()


# The noise of the likelihood, and the numbers that weigh the terms.


def _noise(bench: Bench, d: Term) -> Noise:
    """The power of σ and the cost of log σ in ½ ((x − r)²/σ² + log σ²)."""
    by_name = kinds(bench.subject.called["noise"])[0]
    signed = math.isfinite(bench.at(noise=-2.0))
    scales = (-3.0, -1.7, -0.4, 0.7, 1.6) if signed else (0.05, 0.2, 0.7, 1.6, 2.5)
    same = [bench.at(x=0.4, reconstruction=0.4, noise=s) for s in scales]
    apart = [bench.at(x=0.4, reconstruction=0.9, noise=s) for s in scales]
    s = torch.tensor(scales, dtype=torch.float64)
    cost = torch.tensor(same, dtype=torch.float64) / (bench.size.batch * bench.size.dims)
    error = torch.tensor(apart, dtype=torch.float64) / (bench.size.batch * bench.size.dims) - cost
    precision = error / (0.5 * 0.5**2)  # the weight of ½ (x − r)², an element
    if not bool((precision > 0).all()) or float(precision.std()) < 1e-9 * float(precision.mean()):
        return Noise("", 0.0, 0.0)
    best = Noise("", 0.0, 0.0)
    for name in by_name or SCALES:
        log_variance = SCALES[name].log_variance(s)
        if not bool(log_variance.isfinite().all()):
            continue
        power, constant, left = fitted(log_variance[:, None], precision.log(), torch.ones_like(s))
        if left > TOLERANCE:
            continue
        weight = math.exp(constant)
        charge, _, off = fitted(0.5 * log_variance[:, None], cost, torch.ones_like(s))
        flat = float(cost.max() - cost.min()) <= 1e-9 * float(cost.abs().max() + error.abs().max())
        share = 0.0 if flat else float(charge[0]) / weight if off < TOLERANCE else math.nan
        found = Noise(name, -float(power[0]), share)
        if not best.form or _sound(found) > _sound(best):
            best = found
    return best


def _sound(noise: Noise) -> tuple[bool, bool]:
    return abs(noise.power - 1) < 0.01, abs(noise.cost - 1) < 0.01


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


# Sizes, gradients and extremes.


def _powers(bench: Bench, weigh: Callable[[Size], float]) -> Powers:
    """Exponents of a weight in the batch size, and in each axis of data and latents."""
    size = bench.size
    weight = weigh(size)

    def power(changed: Size) -> int | None:
        ratio = abs(weigh(changed) / weight) if weight else math.nan
        found = math.log(ratio, 2) if ratio > 0 else math.nan
        near = math.isfinite(found) and abs(found - round(found)) < 0.02
        return round(found) if near else None

    def doubled(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
        return tuple(2 * n if i == axis else n for i, n in enumerate(shape))

    return Powers(
        power(replace(size, batch=2 * size.batch)),
        tuple(power(replace(size, shape=doubled(size.shape, i))) for i in range(len(size.shape))),
        tuple(
            power(replace(size, latents=doubled(size.latents, i))) for i in range(len(size.latents))
        ),
    )


def averaged(own: tuple[int | None, ...], other: tuple[int | None, ...]) -> tuple[int, ...]:
    """Axes that one term is averaged over and the other is not."""
    return tuple(
        i for i, (a, b) in enumerate(zip(own, other, strict=True)) if (a or 0) - (b or 0) == -1
    )


def _elsewhere(bench: Bench, d: Term | None, k: KL | None) -> str:
    """Axes of images that a loss of flat rows would average over, if it accepts images at all."""
    if d is None or k is None or not d.form or not k.form or len(bench.size.shape) > 1:
        return ""
    size = replace(bench.size, shape=SHAPES[1])
    images = replace(bench, size=size)
    weight = reconstruction_weight(images, size, d.form)
    if not math.isfinite(weight) or weight == 0 or not math.isfinite(kl_weight(images, size)):
        return ""
    powers = _powers(images, lambda s: reconstruction_weight(images, s, d.form)).data
    other = _powers(images, lambda s: kl_weight(images, s)).data
    names = [AXES[i] for i in averaged(powers, other)]
    return " and ".join(names) if 0 < len(names) < len(AXES) else ""


AXES = ("channels", "height", "width")


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
            trials[f"{name} at ±40"] = replace(base, x=black, reconstruction=sure)
        else:
            trials[f"{name} at 0 and 1"] = replace(base, x=black, reconstruction=black)
    if k is not None and k.form in SCALES and not k.exchanged and not k.coupled:
        name, s = subject.called["scale"], torch.full_like(base.scale, 1.0)
        for extreme in SCALES[k.form].extremes:
            trials[f"{name} at {extreme:g}"] = replace(base, scale=extreme * s)
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
