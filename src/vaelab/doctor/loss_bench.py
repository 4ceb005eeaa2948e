"""Evaluate a loss on planted inputs, and test its terms for sums over elements and sizes.

Uniform plants have the same (x, r) or (μ, s) in every element; plants of two elements show whether
elements are summed or averaged first; the change of a weight with each size separates means from
sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from vaelab.doctor.loss_subject import NODES, ProbeInputs, Refused, Subject
from vaelab.doctor.loss_terms import (
    USUAL,
    Powers,
    Size,
)

TOLERANCE = 2e-3
"""Relative error up to which a form explains a loss: small constants such as 1e-6 are no error."""
EXACT, ROUNDED = 1e-7, 1e-4
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


@lru_cache(maxsize=64)
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


def averaged_first(bench: Bench, roles: tuple[str, str]) -> str:
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


def adds_up(
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


def powers_of(bench: Bench, weigh: Callable[[Size], float]) -> Powers:
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
