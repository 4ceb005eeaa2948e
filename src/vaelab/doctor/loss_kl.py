"""Measure the KL term of a loss over a grid of (μ, s)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.doctor.loss_bench import (
    CODE,
    EXACT,
    ROUNDED,
    TOLERANCE,
    Bench,
    adds_up,
    averaged_first,
    planted,
    powers_of,
)
from vaelab.doctor.loss_forms import SCALES, TERMS, Scale, fitted
from vaelab.doctor.loss_subject import ProbeInputs, Refused
from vaelab.doctor.loss_terms import (
    KL,
    OTHER,
    USUAL,
    Powers,
    Size,
)

MU = (-2.2, -0.6, 0.0, 0.9, 1.7)
SIGNED = tuple(torch.linspace(-8.1, 3.1, 24).tolist())
POSITIVE = tuple(torch.linspace(-8.1, 1.1, 16).exp().tolist())


class Codes(NamedTuple):
    """Values (P,) of the loss over a grid of (μ, s), and the number of elements."""

    mu: Tensor
    s: Tensor
    values: Tensor
    elements: int

    def kept(self, which: Tensor) -> Codes:
        return Codes(self.mu[which], self.s[which], self.values[which], self.elements)


def kl_term(bench: Bench) -> KL:
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
    powers = powers_of(bench, lambda size: kl_weight(bench, size, start, end))
    offset = 0.0 if best.floor is not None else _offset(bench, best, powers)
    # Free bits and capacities are of a mean over rows more often than not, and may be.
    bent = best.floor is not None or best.cap is not None
    coupled = "" if bent else averaged_first(bench, CODE)
    if best.form in SCALES and not bent and not coupled and best.clamp == KL.clamp:
        scale = SCALES[best.form]
        form = scale.reversed if best.exchanged else scale.closed
        if not adds_up(bench, CODE, best.weight, lambda p: form(p.mu.double(), p.scale.double())):
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
