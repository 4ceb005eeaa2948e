"""The von Mises–Fisher distribution against Bessel functions, integrals and its own samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import cumulative_simpson
from scipy.special import gammaln, ive
from torch import Tensor

from vaelab.distributions import SphereUniform, VonMisesFisher, kl, kl_by_dimension

KAPPAS = (0.0, 1e-3, 1.0, 10.0, 100.0, 1e3, 1e4)
DIMS = (2, 3, 5, 16, 64)
CASES = list(itertools.product(DIMS, KAPPAS))


def axis(dims: int, seed: int = 1) -> Tensor:
    t = torch.randn(1, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return t / t.norm()


def vmf(dims: int, kappa: float, n: int = 1, seed: int = 1) -> VonMisesFisher:
    one = torch.tensor([kappa], dtype=torch.float64)
    return VonMisesFisher(axis(dims, seed), one).expand(n)


def uniform(dims: int, n: int = 1) -> SphereUniform:
    return SphereUniform(axis(dims, 2)).expand(n)


def known(dims: int, kappa: float) -> tuple[float, float, float]:
    """KL to the uniform, E[w] and dKL/dκ = κ dE[w]/dκ, from scipy's Bessel functions."""
    if kappa < 1e-2:  # where the terms of the closed form cancel: their series
        fourth = kappa**3 / (dims**2 * (dims + 2))
        rate = kappa**2 / (2 * dims) - 0.75 * kappa * fourth
        return rate, kappa / dims - fourth, kappa / dims - 3 * fourth
    v = dims / 2 - 1
    mean = float(ive(v + 1, kappa) / ive(v, kappa))
    log_m = float(gammaln(v + 1) + v * math.log(2 / kappa) + np.log(ive(v, kappa)) + kappa)
    slope = 1 - mean**2 - (dims - 1) / kappa * mean
    return kappa * mean - log_m, mean, kappa * slope


@pytest.mark.parametrize(("dims", "kappa"), CASES)
def test_rate_and_mean_agree_with_bessel_functions(dims: int, kappa: float) -> None:
    rate, mean, slope = known(dims, kappa)
    for dtype, rel in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        at = torch.tensor([kappa], dtype=dtype, requires_grad=True)
        mu = axis(dims).to(dtype)
        q, p = VonMisesFisher(mu, at), SphereUniform(mu)
        nats = kl(q, p)
        assert nats is not None
        assert nats.dtype == dtype
        (gradient,) = torch.autograd.grad(nats.sum(), at)
        assert float(nats.detach()) == pytest.approx(rate, rel=rel, abs=1e-14)
        # The reference itself is a difference that loses digits as κ grows.
        lost = max(rel, 1e-15 * kappa**2)
        assert float(gradient) == pytest.approx(slope, rel=lost, abs=1e-15)
        expected = (mu * mean).double()
        torch.testing.assert_close(q.mean.double(), expected, rtol=rel, atol=1e-8)
        assert kl_by_dimension(q, p) is None


@pytest.mark.parametrize(("dims", "kappa"), CASES)
def test_second_derivatives_are_right(dims: int, kappa: float) -> None:
    # d²KL/dκ², against differences of the first.
    at = torch.tensor([kappa + 0.5], dtype=torch.float64, requires_grad=True)
    step = 1e-4 * (kappa + 0.5)

    def slope(kappa: Tensor) -> Tensor:
        nats = kl(VonMisesFisher(axis(dims), kappa), uniform(dims))
        assert nats is not None
        return torch.autograd.grad(nats.sum(), kappa, create_graph=True)[0]

    (curve,) = torch.autograd.grad(slope(at).sum(), at)
    with torch.no_grad():
        up, down = at + step, at - step
    difference = slope(up.requires_grad_()) - slope(down.requires_grad_())
    torch.testing.assert_close(curve, difference.detach() / (2 * step), rtol=1e-4, atol=1e-9)


def angles(dims: int, kappa: float, n: int = 40_001) -> np.ndarray:
    """A grid that resolves the density of the angle."""
    sharp = max(1.0, math.sqrt(kappa / dims))
    return np.linspace(0, min(math.pi, 14 / sharp), n)


def density(theta: np.ndarray, dims: int, kappa: float) -> np.ndarray:
    """Of the angle between a draw and μ, without its constant."""
    return np.sin(theta) ** (dims - 2) * np.exp(kappa * (np.cos(theta) - 1))


@pytest.mark.parametrize(("dims", "kappa"), CASES)
def test_the_density_integrates_to_one(dims: int, kappa: float) -> None:
    q = vmf(dims, kappa)
    theta = angles(dims, kappa)
    across = torch.linalg.svd(q.mu).Vh[-1:]  # a direction at a right angle to mu
    t = torch.from_numpy(theta)[:, None]
    z = torch.cos(t) * q.mu + torch.sin(t) * across
    ring = math.log(2) + (dims - 1) / 2 * math.log(math.pi) - math.lgamma((dims - 1) / 2)
    mass = q.expand(len(z)).log_prob(z).exp().numpy() * np.sin(theta) ** (dims - 2)
    assert float(np.trapezoid(mass, theta)) * math.exp(ring) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("dims", "kappa"), CASES)
def test_samples_have_the_density(dims: int, kappa: float) -> None:
    n = 20_000
    q = vmf(dims, kappa, n)
    z = q.sample()
    torch.testing.assert_close(z.norm(dim=1), torch.ones(n, dtype=torch.float64))
    theta = 2 * torch.asin((z - q.mu).norm(dim=1) / 2)
    grid = angles(dims, kappa)
    total = cumulative_simpson(density(grid, dims, kappa), x=grid, initial=0)
    fit = stats.kstest(theta.numpy(), lambda t: np.interp(t, grid, total / total[-1]))
    assert fit.pvalue > 1e-3
    # Around μ every direction is alike.
    across = z - (z * q.mu).sum(1, keepdim=True) * q.mu
    other = torch.linalg.svd(q.mu[:1]).Vh[-1]
    cosine = (across @ other / across.norm(dim=1)).numpy()
    if dims == 2:
        assert abs(float(np.sign(cosine).mean())) < 4 / math.sqrt(n)
    else:
        beta = stats.beta((dims - 2) / 2, (dims - 2) / 2)
        assert stats.kstest((1 + cosine) / 2, beta.cdf).pvalue > 1e-3


@pytest.mark.parametrize("dims", DIMS)
def test_uniform_samples_are_uniform(dims: int) -> None:
    z = uniform(dims, 20_000).sample()
    torch.testing.assert_close(z.norm(dim=1), torch.ones(20_000, dtype=torch.float64))
    beta = stats.beta((dims - 1) / 2, (dims - 1) / 2)
    for direction in (uniform(dims).pole[0], axis(dims, 5)[0]):
        cosine = (z @ direction).clamp(-1, 1).numpy()
        assert stats.kstest((1 + cosine) / 2, beta.cdf).pvalue > 1e-3
    area = math.exp(-float(uniform(dims).log_prob(z[:1])))
    assert area == pytest.approx(2 * math.pi ** (dims / 2) / math.gamma(dims / 2), rel=1e-12)


@pytest.mark.parametrize("dims", [2, 3, 16])
def test_importance_weights_average_to_one(dims: int) -> None:
    n = 20_000
    q, p = vmf(dims, 2.0, n), uniform(dims, n)
    for ours, theirs in ((q, p), (p, q)):
        z = ours.sample()
        weight = (theirs.log_prob(z) - ours.log_prob(z)).exp()
        assert float(weight.mean()) == pytest.approx(1, abs=4 * float(weight.std()) / math.sqrt(n))
    z = q.sample()
    estimate = q.log_prob(z) - p.log_prob(z)
    rate = kl(q, p)
    assert rate is not None
    error = 4 * float(estimate.std()) / math.sqrt(n)
    assert float(estimate.mean()) == pytest.approx(float(rate[0]), abs=error)


@pytest.mark.parametrize(("dims", "kappa"), CASES)
def test_a_draw_moves_with_kappa_along_its_quantile(dims: int, kappa: float) -> None:
    """dθ/dκ = −∂F/∂κ / f, with F and f from a fine grid."""
    n = 200
    at = torch.full((n,), kappa, dtype=torch.float64, requires_grad=True)
    mu = axis(dims).expand(n, dims)
    z = VonMisesFisher(mu, at).sample()
    (moved,) = torch.autograd.grad((z * mu).sum(), at)
    theta = 2 * torch.asin((z.detach() - mu).norm(dim=1) / 2).numpy()
    grid, step = angles(dims, kappa), 1e-4 * (1 + kappa)

    def cumulated(kappa: float) -> np.ndarray:
        total = cumulative_simpson(density(grid, dims, kappa), x=grid, initial=0)
        return total / total[-1]

    change = np.interp(theta, grid, cumulated(kappa + step) - cumulated(kappa - step)) / (2 * step)
    here = density(grid, dims, kappa)
    f = np.interp(theta, grid, here / np.trapezoid(here, grid))
    F = np.interp(theta, grid, cumulated(kappa))
    clear = (F > 0.01) & (F < 0.99)
    slope = change / f * np.sin(theta)  # of w = cos θ
    assert clear.mean() > 0.9
    np.testing.assert_allclose(moved.numpy()[clear], slope[clear], rtol=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("dims", [2, 3, 16])
def test_gradients_of_samples_average_to_the_gradient_of_the_mean(dims: int, seed: int) -> None:
    """E[a·z] = A(κ) a·μ, in κ and in the direction of μ, wherever μ points."""
    n = 20_000
    a = axis(dims, 7)
    toward = (2 * axis(dims, seed)).expand(n, dims).requires_grad_()
    kappa = torch.full((n,), 3.0, dtype=torch.float64, requires_grad=True)
    q = VonMisesFisher(toward / toward.norm(dim=1, keepdim=True), kappa)
    drawn = torch.autograd.grad((q.sample() * a).sum(), (toward, kappa), retain_graph=True)
    exact = torch.autograd.grad((q.mean * a).sum(), (toward, kappa))
    for estimate, truth in zip(drawn, exact, strict=True):
        error = 4.5 * estimate.std(0) / math.sqrt(n) + 1e-12
        assert bool(((estimate.mean(0) - truth[0]).abs() < error).all())


def test_the_rejection_keeps_enough_to_never_run_dry() -> None:
    from vaelab.distributions.sphere import PROPOSALS, _log_rho, _uniform_cosine

    for dims in (2, 3, 64, 512):
        for kappa in (1.0, 100.0, 1e6):
            at = torch.tensor(kappa, dtype=torch.float64)
            c = _uniform_cosine(at, (100_000,), dims)
            log_rho = _log_rho(c, at, dims)
            assert float(log_rho.max()) <= 1e-12
            assert float(log_rho.exp().mean()) > 0.65
    assert (1 - 0.657) ** PROPOSALS < 2e-15


@pytest.mark.parametrize("dims", DIMS)
def test_temperature_goes_from_the_centre_to_the_draw(dims: int) -> None:
    for q, centre in ((vmf(dims, 5.0, 50), vmf(dims, 5.0).mu), (uniform(dims, 50), axis(dims, 2))):
        torch.testing.assert_close(q.sample(0.0), centre.expand(50, dims))
        assert torch.equal(q.sample(0.0)[0], q.sample(0.0)[1])
        found = []
        for temperature in (0.5, 1.0):
            torch.manual_seed(4)
            z = q.sample(temperature)
            found.append(2 * torch.asin(((z - centre).norm(dim=1) / 2).clamp(max=1)))
        torch.testing.assert_close(2 * found[0], found[1])


@pytest.mark.parametrize("dims", [2, 16, 512])
def test_finite_with_finite_gradients_at_extremes_in_float32(dims: int) -> None:
    kappa = torch.tensor([0.0, 1e-30, 1e-6, 1e4, 1e6, 2e7]).repeat(300).requires_grad_()
    n = len(kappa)
    for sign in (-1.0, 1.0):  # the poles of the reflection
        mu = torch.eye(1, dims).mul(sign).expand(n, dims).clone().requires_grad_()
        q, p = VonMisesFisher(mu, kappa), SphereUniform(mu.detach())
        z = q.sample()
        rate = kl(q, p)
        assert rate is not None
        assert (rate >= -1e-7).all()
        log_q = q.log_prob(z)
        total = log_q.sum() + rate.sum() + q.mean.sum() + z.sum()
        gradients = torch.autograd.grad(total, (mu, kappa))
        assert all(t.isfinite().all() for t in (z, rate, log_q, q.mean, *gradients))
        torch.testing.assert_close(z.norm(dim=1), torch.ones(n))


def test_float32_keeps_its_figures_where_q_is_sharp() -> None:
    wide = vmf(16, 1e4, 1000)
    z = wide.sample()
    narrow = VonMisesFisher(wide.mu.float(), wide.kappa.float())
    exact = VonMisesFisher(narrow.mu.double(), narrow.kappa.double()).log_prob(z.float().double())
    torch.testing.assert_close(narrow.log_prob(z.float()).double(), exact, rtol=1e-6, atol=1e-5)


def test_runs_under_vmap_and_is_captured_whole() -> None:
    mu, kappa = axis(5).float().repeat(4, 1), torch.full((4,), 3.0)

    def nats(mu: Tensor, kappa: Tensor) -> Tensor:
        q, p = VonMisesFisher(mu, kappa), SphereUniform(mu)
        rate = kl(q, p)
        assert rate is not None
        return q.log_prob(q.sample()) + p.log_prob(mu) + rate + q.mean.sum(1)

    def prior(mu: Tensor) -> Tensor:
        return SphereUniform(mu).sample()

    stacked = (mu.expand(3, 4, 5), kappa.expand(3, 4))
    several = torch.func.vmap(nats, randomness="different")(*stacked)
    assert several.shape == (3, 4)
    assert len(several.unique()) == 12
    assert len(torch.func.vmap(prior, randomness="different")(stacked[0]).unique()) == 60
    kappa = kappa.clone().requires_grad_()
    found = []
    for function in (nats, captured(nats)):
        torch.manual_seed(6)
        out = function(mu, kappa)
        found.append((out, *torch.autograd.grad(out.sum(), kappa)))
    torch.testing.assert_close(*found)
    found = []
    for function in (prior, captured(prior)):
        torch.manual_seed(6)
        found.append(function(mu))  # type: ignore[operator]
    torch.testing.assert_close(*found)


def captured(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(function, backend="aot_eager", fullgraph=True)
