r"""Annealed importance sampling with Hamiltonian moves, and the two-sided check of it.

    f_β(z) = f_0(z)^(1−β) p(x, z)^β            β from 0 to 1 along a sigmoid
    log w  = Σ_t (β_t − β_{t−1}) log p(x, z_{t−1}) / f_0(z_{t−1}),     E w = p(x)

Forward, from z_0 ~ f_0, log (1/K) Σ w is a stochastic lower bound on log p(x) (Neal
physics/9803008; for decoders Wu 1611.04273). Backward, from an exact draw of p(z|x), the same sum
gives an upper one; on data simulated from the model such a draw is at hand, and the two bounds
close around the truth (BDMC, Grosse 1511.02543). The gap on simulated data
measures the error of the annealing; it proves nothing about real data unlike the model's.

f_0 is the posterior q(z|x), from which few steps are needed, or the prior p(z), which does not
lean on the encoder. Step sizes are tuned by a pilot run of chains that are then thrown away: moves
that adapt to their own past would leave E w = p(x) behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.core import VAE, Condition, join
from vaelab.metrics.continuous import check_continuous
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.hamiltonian import Point, move
from vaelab.metrics.inputs import in_double
from vaelab.metrics.likelihood import rows_at_once
from vaelab.metrics.starts import POSTERIOR, Start, first, tiled

TARGET = 0.65
"""The share of moves to accept: the best of long Hamiltonian trajectories (1001.4460)."""

GAIN = 0.2
"""Gain of a pilot's log step size towards the target acceptance."""

FIRST = 0.1
LEAST, MOST = 1e-4, 3.0
PILOTS = 4


@dataclass(frozen=True)
class Annealing:
    """Settings of annealed importance sampling.

    Attributes:
        steps: temperatures T between f_0 and p(x, z).
        chains: K independent chains for each x.
        leapfrogs: leapfrog steps of one Hamiltonian move; one move at every temperature.
    """

    steps: int = 500
    chains: int = 8
    leapfrogs: int = 10

    def __post_init__(self) -> None:
        for name in ("steps", "chains", "leapfrogs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; annealing needs at least 1")

    @property
    def betas(self) -> Tensor:
        """(T + 1,), from 0 to 1 along the middle of a sigmoid: slow at both ends (1611.04273)."""
        rise = torch.sigmoid(torch.linspace(-4, 4, self.steps + 1, dtype=torch.float64))
        return (rise - rise[0]) / (rise[-1] - rise[0])


@dataclass(frozen=True, eq=False)
class Annealed:
    """Result of annealed chains.

    Attributes:
        log_p: the stochastic bound on log p(x) of each x, in nats, (N,).
        ess: effective number of the K chains of each x, (N,).
        acceptance: share of Hamiltonian moves that were accepted.
    """

    log_p: Tensor
    ess: Tensor
    acceptance: float

    @property
    def nll(self) -> Estimate:
        """−log p(x), bounded, over the examples."""
        return Estimate.mean(-self.log_p)


@dataclass(frozen=True, eq=False)
class Sandwich:
    """Both bounds on the log p(x) of simulated data: `lower` ≤ log p(x) ≤ `upper` on average."""

    lower: Annealed
    upper: Annealed

    @property
    def gap(self) -> Estimate:
        """upper − lower, paired by example: a bound on the error of the annealing."""
        return Estimate.mean(self.upper.log_p - self.lower.log_p)


DEFAULT = Annealing()


def anneal(
    model: VAE,
    x: Tensor,
    how: Annealing = DEFAULT,
    start: Start = POSTERIOR,
    on_rows: Callable[[int], None] | None = None,
    condition: Condition = (),
) -> Annealed:
    """A stochastic lower bound on the log p(x) of each x, by chains from f_0 to the posterior.

    In expectation over the chains it is below log p(x), and comes closer with more steps. The
    weights that the model was trained with need no gradient: turn them off to save time.

    Args:
        model: with continuous latents, on the device of x.
        x: (N, …) at the model's scale.
        how: steps, chains and leapfrogs.
        start: POSTERIOR or PRIOR.
        on_rows: callback, called with the number of examples done.
        condition: condition of each x, ((N, C),), for a conditional model: the bound is then on
            log p(x|c).

    Raises:
        TypeError: if a latent is discrete, so that no gradient passes through it, or if the
            start is a posterior that is a point.
    """
    return _in_parts(model, x, None, how, start, on_rows, condition)


def sandwich(
    model: VAE,
    n: int,
    how: Annealing = DEFAULT,
    start: Start = POSTERIOR,
    on_rows: Callable[[int], None] | None = None,
    condition: Condition = (),
) -> Sandwich:
    """Both bounds on the log p(x) of n examples simulated from the model (1511.02543).

    All chains of the upper bound leave from the one exact draw of p(z|x) that simulating gives;
    they are then not independent, which costs tightness and not validity.

    Args:
        model: with continuous latents.
        n: number of examples to simulate.
        how: settings, as for `anneal`.
        start: f_0, as for `anneal`.
        on_rows: callback, called with the number of examples done, each counted twice.
        condition: condition to simulate under, ((n, C),), for a conditional model.

    Raises:
        TypeError: as for `anneal`.
    """
    check_continuous(model, first(condition))
    with torch.no_grad():
        trace = model.sample(n, condition=condition)
        x, z = trace.likelihood.sample(), join(trace.latents)
    lower = _in_parts(model, x, None, how, start, on_rows, condition)
    told = None if on_rows is None else lambda done: on_rows(n + done)
    return Sandwich(lower, _in_parts(model, x, z, how, start, told, condition))


def _in_parts(
    model: VAE,
    x: Tensor,
    exact: Tensor | None,
    how: Annealing,
    start: Start,
    on_rows: Callable[[int], None] | None,
    condition: Condition = (),
) -> Annealed:
    check_continuous(model, first(condition))
    wanted = [p for p in model.parameters() if p.requires_grad]
    model.requires_grad_(False)
    try:
        size = max(1, rows_at_once(x) // how.chains)
        found = []
        for begin in range(0, len(x), size):
            part = slice(begin, begin + size)
            z = None if exact is None else exact[part]
            known = tuple(c[part] for c in condition)
            found.append(_chains(model, x[part], z, how, start, known))
            if on_rows is not None:
                on_rows(min(len(x), begin + size))
    finally:
        for p in wanted:
            p.requires_grad_(True)
    weighed = sum(a.acceptance * len(a.log_p) for a in found) / len(x)
    return Annealed(torch.cat([a.log_p for a in found]), torch.cat([a.ess for a in found]), weighed)


def _chains(
    model: VAE,
    x: Tensor,
    exact: Tensor | None,
    how: Annealing,
    start: Start,
    condition: Condition = (),
) -> Annealed:
    """Chains for x (B, …), K each: forward from f_0, or backward from exact posterior draws."""
    betas = how.betas.tolist()
    sizes = _pilot(model, x, how, start, condition)
    densities = start.densities(model, x, how.chains, condition)
    forward = exact is None
    with torch.no_grad():
        z = (
            start.draw(model, x, how.chains, condition)
            if exact is None
            else tiled(exact, how.chains)
        )
    here = Point.at(densities, z)
    # Nothing is read on the way: an accelerator would wait for it at every temperature.
    accepted = torch.zeros_like(here.log_ratio)
    log_w = in_double(torch.zeros_like(here.log_ratio))
    order = range(1, how.steps + 1) if forward else range(how.steps, 0, -1)
    for t in order:
        step = sizes[t].repeat(how.chains)[:, None]
        if not forward:  # back: first move where the draw belongs, then weigh the way down
            here, rate = move(densities, here, betas[t], step, how.leapfrogs)
            accepted += rate
        log_w += (betas[t] - betas[t - 1]) * in_double(here.log_ratio)
        if forward and t < how.steps:
            here, rate = move(densities, here, betas[t], step, how.leapfrogs)
            accepted += rate
    log_w = log_w.cpu().unflatten(0, (how.chains, -1))
    signed = log_w if forward else -log_w
    total = torch.logsumexp(signed, 0)
    ess = torch.exp(2 * total - torch.logsumexp(2 * signed, 0))
    bound = total - math.log(how.chains)
    moves = how.steps - 1 if forward else how.steps
    share = float(accepted.mean()) / moves if moves else math.nan
    return Annealed(bound if forward else -bound, ess, share)


def _pilot(
    model: VAE, x: Tensor, how: Annealing, start: Start, condition: Condition
) -> list[Tensor]:
    """A step size (B,) at every temperature, followed by chains that are then thrown away."""
    betas = how.betas.tolist()
    densities = start.densities(model, x, PILOTS, condition)
    with torch.no_grad():
        here = Point.at(densities, start.draw(model, x, PILOTS, condition))
    log_step = torch.full((len(x),), math.log(FIRST), device=x.device, dtype=here.z.dtype)
    sizes = [log_step.exp()]
    for t in range(1, how.steps + 1):
        step = log_step.exp().repeat(PILOTS)[:, None]
        here, rate = move(densities, here, betas[t], step, how.leapfrogs)
        change = GAIN * (rate.unflatten(0, (PILOTS, -1)).mean(0) - TARGET)
        log_step = (log_step + change).clamp(math.log(LEAST), math.log(MOST))
        sizes.append(log_step.exp())
    return sizes
