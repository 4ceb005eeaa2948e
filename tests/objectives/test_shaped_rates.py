"""Free bits, capacity, and a constraint: what is asked of the rate and the distortion."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vaelab.core import VAE, Shallow, Site, Trace
from vaelab.distributions import Normal
from vaelab.objectives import Capacity, Constraint, Distortion, FreeBits, Objective, Rate, Rise
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal, FullCovariance
from vaelab.parts.priors import Standard

D, L = 5, 4


def model() -> VAE:
    torch.manual_seed(1)
    program = Shallow(Standard(L), DiagonalNormal(), nn.Linear(L, D), FixedGaussian(0.7))
    return VAE(nn.Linear(D, 2 * L), program).double()


def data(n: int = 32) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def rates(trace: Trace) -> np.ndarray:
    q = trace.sites[0].posterior
    assert isinstance(q, Normal)
    mu, s = q.mu.detach().numpy(), q.sigma.detach().numpy()
    return 0.5 * (mu**2 + s**2 - 1 - 2 * np.log(s))


@pytest.mark.parametrize("groups", [1, 2, None])
@pytest.mark.parametrize("by_example", [False, True])
def test_free_bits_are_free(groups: int | None, by_example: bool) -> None:
    x = data()
    trace = model()(x)
    by_group = rates(trace).reshape(32, groups or L, -1).sum(2)
    free = float(np.median(by_group.mean(0))) if groups != 1 else float(by_group.mean()) / 2
    loss = FreeBits(free, groups, by_example)(trace, x)
    if by_example:
        expected = np.maximum(free, by_group).sum(1)
        np.testing.assert_allclose(loss.total.detach(), expected, rtol=1e-12)
    # The paper's term: the mean over the batch first.
    else:
        expected = np.maximum(free, by_group.mean(0)).sum()
        assert float(loss.mean.detach()) == pytest.approx(expected, rel=1e-12)
        assert (np.maximum(free, by_group).sum(1).mean() > expected) == (groups != 1 or free > 0.2)
    assert loss.total.shape == (32,)


def test_below_the_free_bits_there_is_no_gradient_and_above_it_is_the_rates() -> None:
    vae, x = model(), data()
    parameters = list(vae.encoder.parameters())
    for free, factor in ((1e3, 0.0), (0.0, 1.0)):
        trace = vae(x)
        found = torch.autograd.grad(FreeBits(free)(trace, x).mean, parameters, retain_graph=True)
        rate = torch.autograd.grad(Rate()(trace, x).mean, parameters)
        for a, b in zip(found, rate, strict=True):
            torch.testing.assert_close(a, factor * b)


def test_each_site_has_free_bits_of_its_own_and_a_map_is_cut_by_channels() -> None:
    torch.manual_seed(0)
    maps = Normal(torch.randn(6, 4, 3, 3).double(), torch.randn(6, 4, 3, 3).double())
    flat = Normal(0.01 * torch.randn(6, 2).double(), torch.zeros(6, 2).double())
    sites = tuple(
        Site(q.mean, Normal(torch.zeros_like(q.mu), torch.zeros_like(q.mu)), q)
        for q in (maps, flat)
    )
    trace, x = Trace(sites, maps), torch.zeros(6, 1)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(maps.mu, maps.sigma), torch.distributions.Normal(0.0, 1.0)
    )
    by_layer = kl.flatten(1).sum(1) + 0.5
    torch.testing.assert_close(FreeBits(0.5)(trace, x).total, by_layer)
    cut = kl.reshape(6, 2, 2, 9).sum((2, 3)).mean(0).clamp(min=40.0).sum() + 2 * 40
    assert float(FreeBits(40.0, groups=2)(trace, x).mean) == pytest.approx(float(cut))


def test_groups_that_cannot_be_made_are_refused() -> None:
    vae, x = model(), data()
    with pytest.raises(ValueError, match="4 latents cannot be cut into 3 equal groups"):
        FreeBits(0.1, groups=3)(vae(x), x)
    h = torch.randn(2, 9)  # three latents: a mean, a scale and what is below the diagonal
    q = FullCovariance()(h)
    site = Site(q.mean, Standard(3)().expand(2), q)
    with pytest.raises(TypeError, match="no closed form that could be cut into groups"):
        FreeBits(0.1, groups=None)(Trace((site,), q), h)
    with pytest.raises(ValueError, match="free is -1"):
        FreeBits(-1)
    with pytest.raises(ValueError, match="groups is 0"):
        FreeBits(1, groups=0)


def test_capacity_is_the_distance_of_the_rate_from_it() -> None:
    vae, x = model(), data()
    trace = vae(x)
    np.testing.assert_allclose(
        Capacity(1.3)(trace, x).total.detach(), np.abs(rates(trace).sum(1) - 1.3), rtol=1e-12
    )
    term = Capacity(Rise(0.0, 4.0, warmup_fraction=0.5))
    term.nats.progress.fill_(0.25)
    np.testing.assert_allclose(
        term(trace, x).total.detach(), np.abs(rates(trace).sum(1) - 2.0), rtol=1e-12
    )


def test_a_capacity_of_nothing_is_the_rate_and_has_its_gradient() -> None:
    """A known error elsewhere clamps the rate to a capacity of 0: no value, and no gradient."""
    vae, x = model(), data()
    trace = vae(x)
    parameters = list(vae.encoder.parameters())
    rate = Rate()(trace, x).mean
    right = torch.autograd.grad(rate, parameters, retain_graph=True)
    ours = Capacity(0.0)(trace, x).mean
    torch.testing.assert_close(ours, rate)
    for a, b in zip(torch.autograd.grad(ours, parameters, retain_graph=True), right, strict=True):
        torch.testing.assert_close(a, b)
        assert float(a.abs().max()) > 0.01
    clamped = Rate()(trace, x).total.clamp(0.0, 0.0).mean()
    assert float(clamped.detach()) == 0.0
    wrong = torch.autograd.grad(clamped, parameters, allow_unused=True)
    assert all(g is None or float(g.abs().max()) == 0.0 for g in wrong)


def test_a_constraint_weighs_what_is_over_it() -> None:
    vae, x = model(), data()
    trace = vae(x)
    distortion = Distortion()(trace, x).total
    term = Constraint(Distortion(), at_most=7.0)
    assert not term.monitorable
    assert not (Rate() + term).monitorable
    torch.testing.assert_close(term(trace, x).total, distortion - 7)
    term.log_multiplier.fill_(math.log(3.0))
    loss = (Rate() + term)(trace, x)
    torch.testing.assert_close(loss.total, Rate()(trace, x).total + 3 * (distortion - 7))
    torch.testing.assert_close(loss.parts["constraint"], distortion - 7)


def test_the_multiplier_follows_the_running_mean_of_the_excess() -> None:
    vae, x = model(), data()
    trace = vae(x)
    excess = float(Distortion()(trace, x).mean.detach())
    objective = Rate() + Constraint(Distortion(), excess - 0.5, speed=0.1, memory=0.6)
    term = next(t for t in objective.modules() if isinstance(t, Constraint))
    log_multiplier, running = 0.0, 0.0
    for _ in range(5):
        objective.update_buffers(trace, x)
        running = 0.6 * running + 0.4 * 0.5
        log_multiplier += 0.1 * math.tanh(running)
        assert float(term.log_multiplier) == pytest.approx(log_multiplier)
    assert not term.log_multiplier.requires_grad
    # However far away, a step is no larger than the speed, and there is an end to it.
    for at_most, end in ((-1e6, 10.0), (1e6, -10.0)):
        term = Constraint(Distortion(), at_most, speed=0.1, memory=0.0)
        term.update_buffers(trace, x)
        assert abs(float(term.log_multiplier)) == pytest.approx(0.1)
        for _ in range(150):
            term.update_buffers(trace, x)
        assert float(term.log_multiplier) == pytest.approx(end)


def test_a_constraint_is_met_at_the_least_rate() -> None:
    """A normal source of variance s² under squared error e costs R = ½ log(s² / e) nats."""
    torch.manual_seed(0)
    x = 2 * torch.randn(256, 1, dtype=torch.float64)
    program = Shallow(Standard(1), DiagonalNormal(), nn.Linear(1, 1), FixedGaussian(1.0))
    vae = VAE(nn.Linear(1, 2), program).double()
    objective = Rate() + Constraint(Distortion(), at_most=1.1)
    optimizer = torch.optim.Adam(vae.parameters(), 0.03)
    kept = []
    for step in range(600):
        trace = vae(x)
        optimizer.zero_grad()
        loss = objective(trace, x)
        loss.mean.backward()
        optimizer.step()
        objective.update_buffers(trace, x)
        if step > 300:
            parts = loss.parts
            kept.append([float(parts[k].mean().detach()) for k in ("constraint", "rate")])
    over, rate = np.mean(kept, 0)
    assert over == pytest.approx(0.0, abs=0.02)
    error = 2 * (1.1 + over - 0.5 * math.log(2 * math.pi))
    assert rate == pytest.approx(0.5 * math.log(float(x.var()) / error), abs=0.03)


@pytest.mark.parametrize("arguments", [{"speed": 0.0}, {"memory": 1.0}, {"memory": -0.1}])
def test_a_constraint_refuses_what_makes_no_sense(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a speed above 0 and a memory"):
        Constraint(Distortion(), 1.0, **arguments)


@pytest.mark.parametrize(
    ("term", "pooled"),
    [(FreeBits(0.1), True), (FreeBits(0.1, by_example=True), False), (Capacity(1.0), False)],
)
def test_terms_say_whether_they_are_pooled(term: Objective, pooled: bool) -> None:
    assert term.batch_coupled == pooled
    assert (Distortion() + 2.0 * term).batch_coupled == pooled
