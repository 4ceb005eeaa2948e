"""Measure the reconstruction term of a loss, and the scale of its likelihood."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from vaelab.doctor.loss_arguments import kinds
from vaelab.doctor.loss_bench import (
    DATA,
    TOLERANCE,
    Bench,
    adds_up,
    averaged_first,
    powers_of,
)
from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES, fitted
from vaelab.doctor.loss_terms import (
    Noise,
    Size,
    Term,
)

X, R = (0.05, 0.3, 0.5, 0.8, 0.97), (0.004, 0.02, 0.15, 0.35, 0.6, 0.85, 0.98, 0.996)


def reconstruction_term(bench: Bench) -> Term:
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
    powers = powers_of(bench, lambda size: reconstruction_weight(bench, size, best.form))
    best = replace(best, powers=powers, coupled=averaged_first(bench, DATA))
    term = RECONSTRUCTIONS[best.form].term
    if not best.coupled and not adds_up(
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


def likelihood_noise(bench: Bench, d: Term) -> Noise:
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
