"""Every distribution against torch.distributions, scipy or numerical integration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy import stats
from torch import Tensor

from vaelab.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Dirac,
    DiscretizedLogistic,
    Distribution,
    Laplace,
    LogNormal,
    Normal,
    kl,
    kl_by_dimension,
)

B, SHAPE = 6, (2, 3)


def params(seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(B, *SHAPE, generator=generator, dtype=torch.float64)


def summed(t: Tensor) -> Tensor:
    return t.flatten(1).sum(1)


# name: ours, theirs, data, the parameters both are functions of
Pair = tuple[
    Callable[..., Distribution], Callable[..., td.Distribution], Tensor, tuple[Tensor, ...]
]
PAIRS: dict[str, Pair] = {
    "normal": (
        Normal,
        lambda mu, s: td.Normal(mu, s.exp()),
        params(1, 2.0),
        (params(2), params(3)),
    ),
    "log-normal": (
        LogNormal,
        lambda mu, s: td.LogNormal(mu, s.exp()),
        params(1).exp(),
        (params(2), params(3)),
    ),
    "laplace": (
        Laplace,
        lambda mu, s: td.Laplace(mu, s.exp()),
        params(1, 2.0),
        (params(2), params(3)),
    ),
    "bernoulli": (
        Bernoulli,
        lambda logits: td.Bernoulli(logits=logits),
        (params(1) > 0).double(),
        (params(2, 3.0),),
    ),
    "continuous-bernoulli": (
        ContinuousBernoulli,
        # Their Taylor region is narrowed: at its default it is less exact than ours.
        lambda logits: td.ContinuousBernoulli(logits=logits, lims=(0.4999, 0.5001)),
        torch.sigmoid(params(1)),
        (params(2, 5.0),),
    ),
    "categorical": (
        Categorical,
        lambda logits: td.Categorical(logits=logits),
        torch.arange(B * 6).reshape(B, *SHAPE) % 5 / 4.0,
        (torch.stack([params(k, 2.0) for k in range(5)], -1),),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_log_prob_and_its_gradient_are_those_of_torch(name: str) -> None:
    ours, theirs, x, given = PAIRS[name]
    known = (x * 4).round() if name == "categorical" else x
    mine = [p.clone().requires_grad_() for p in given]
    other = [p.clone().requires_grad_() for p in given]
    log_p, reference = ours(*mine).log_prob(x), summed(theirs(*other).log_prob(known))
    assert log_p.shape == (B,)
    torch.testing.assert_close(log_p, reference, rtol=1e-9, atol=1e-9)
    log_p.sum().backward()
    reference.sum().backward()
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", PAIRS)
def test_mean_is_that_of_torch(name: str) -> None:
    ours, theirs, _, given = PAIRS[name]
    reference = theirs(*given)
    if isinstance(reference, td.Categorical):
        expected = (reference.probs * torch.arange(5.0, dtype=torch.float64)).sum(-1) / 4
    else:
        expected = reference.mean
    torch.testing.assert_close(ours(*given).mean, expected, rtol=1e-8, atol=1e-8)


# one-dimensional settings: the distribution, and its exact cumulative distribution
CONTINUOUS: dict[str, tuple[Distribution, Callable[[Any], Any]]] = {
    "normal": (
        Normal(torch.tensor([[0.3]]), torch.tensor([[-0.5]])),
        stats.norm(0.3, math.exp(-0.5)).cdf,
    ),
    "log-normal": (
        LogNormal(torch.tensor([[0.3]]), torch.tensor([[-0.5]])),
        stats.lognorm(math.exp(-0.5), scale=math.exp(0.3)).cdf,
    ),
    "laplace": (
        Laplace(torch.tensor([[0.3]]), torch.tensor([[-0.5]])),
        stats.laplace(0.3, math.exp(-0.5)).cdf,
    ),
    **{
        f"continuous-bernoulli {logit}": (
            ContinuousBernoulli(torch.tensor([[logit]])),
            # The tilt upwards is the mirror of a truncated exponential.
            (
                (lambda x, b=-logit: stats.truncexpon(b=b, scale=1 / b).cdf(x))
                if logit < 0
                else (lambda x, b=logit: stats.truncexpon(b=b, scale=1 / b).sf(1 - x))
            ),
        )
        for logit in (-30.0, -2.0, -0.02, 0.02, 1.0, 12.0)
    },
    "continuous-bernoulli flat": (
        ContinuousBernoulli(torch.tensor([[0.0]])),
        stats.uniform(0, 1).cdf,
    ),
}
N = 20_000


@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_follow_the_distribution(name: str) -> None:
    p, cdf = CONTINUOUS[name]
    x = p.expand(N).sample()[:, 0].double()
    assert stats.kstest(x.numpy(), cdf).pvalue > 1e-3
    assert float(x.mean()) == pytest.approx(float(p.mean), abs=5 * float(x.std()) / math.sqrt(N))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_density_integrates_to_one(name: str) -> None:
    p, _ = CONTINUOUS[name]
    low, high = (0.0, 1.0) if isinstance(p, ContinuousBernoulli) else (-25.0, 25.0)
    n = 400_001
    x = torch.linspace(low, high, n, dtype=torch.float64)[:, None]
    wide = type(p)(*(t.double() for t in p.tensors().values()))
    density = wide.log_prob(x).exp()
    assert float(torch.trapezoid(density, x[:, 0])) == pytest.approx(1.0, abs=1e-6)


def grid(levels: int) -> Tensor:
    return torch.arange(levels, dtype=torch.float64)[:, None] / (levels - 1)


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
@pytest.mark.parametrize("mu", [-3.0, 0.0, 0.51, 1.0, 40.0])
@pytest.mark.parametrize("log_scale", [-7.0, -2.0, 0.5, 9.0])
def test_discretized_logistic_is_a_distribution_over_its_levels(
    levels: int, mu: float, log_scale: float
) -> None:
    p = DiscretizedLogistic(
        torch.tensor([[mu]], dtype=torch.float64),
        torch.tensor([[log_scale]], dtype=torch.float64),
        levels,
    )
    log_p = p.expand(levels).log_prob(grid(levels))
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-9)
    # Each level's bin under scipy's logistic, the ends taking the tails.
    edges = (np.arange(levels - 1) + 0.5) / (levels - 1)
    cdf = np.r_[0, stats.logistic(mu, math.exp(log_scale)).cdf(edges), 1]
    np.testing.assert_allclose(log_p.exp().numpy(), np.diff(cdf), atol=1e-12)


def test_discretized_logistic_gradient_is_right() -> None:
    given = (params(1, 0.3) + 0.5, params(2) - 2)
    x = (torch.rand(B, *SHAPE, dtype=torch.float64) * 16).round() / 16
    x[0], x[1] = 0, 1  # both tails are met
    inputs = tuple(p.clone().requires_grad_() for p in given)
    assert torch.autograd.gradcheck(lambda m, s: DiscretizedLogistic(m, s, 17).log_prob(x), inputs)


DISCRETE: dict[str, tuple[Distribution, int]] = {
    "bernoulli": (Bernoulli(torch.tensor([[-0.7]]).double()), 2),
    "categorical": (Categorical(torch.tensor([[[0.1, -1.0, 2.0, 0.5]]]).double()), 4),
    "logistic inside": (
        DiscretizedLogistic(torch.tensor([[0.4]]).double(), torch.tensor([[-2.3]]).double(), 17),
        17,
    ),
    "logistic at an edge": (
        DiscretizedLogistic(torch.tensor([[0.02]]).double(), torch.tensor([[-1.5]]).double(), 17),
        17,
    ),
    "logistic outside": (
        DiscretizedLogistic(torch.tensor([[1.2]]).double(), torch.tensor([[-1.0]]).double(), 256),
        256,
    ),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_samples_and_mean(name: str) -> None:
    p, levels = DISCRETE[name]
    mass = p.expand(levels).log_prob(grid(levels)).exp()
    x = p.expand(N).sample()
    counts = torch.bincount((x[:, 0] * (levels - 1)).round().long(), minlength=levels)
    often = mass * N > 5
    expected = (mass * N)[often]
    chi2 = float((((counts[often] - expected) ** 2) / expected).sum())
    assert stats.chi2(max(1, int(often.sum()) - 1)).sf(chi2) > 1e-3
    # The levels average as log_prob says, to a fraction of a level.
    exact = float((mass * grid(levels)[:, 0]).sum())
    assert float(p.mean) == pytest.approx(exact, abs=0.002)


EVERYWHERE: dict[str, Callable[[Tensor], Distribution]] = {
    "normal": lambda t: Normal(t, t),
    "dirac": Dirac,
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "log-normal": lambda t: LogNormal(t, t),
    "laplace": lambda t: Laplace(t, t),
    "logistic": lambda t: DiscretizedLogistic(t, t, 9),
    "categorical": lambda t: Categorical(torch.stack([t, -t, 0 * t], -1)),
}
CENTRES: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda t: t,
    "dirac": lambda t: t,
    "bernoulli": lambda t: (t > 0).to(t),
    "continuous-bernoulli": lambda t: td.ContinuousBernoulli(logits=t).icdf(
        torch.full_like(t, 0.5)
    ),
    "log-normal": lambda t: t.exp(),
    "laplace": lambda t: t,
    "logistic": lambda t: (t.clamp(0, 1) * 8).round() / 8,
    "categorical": lambda t: torch.stack([t, -t, 0 * t], -1).argmax(-1) / 2,
}


@pytest.mark.parametrize("name", EVERYWHERE)
def test_temperature_zero_is_the_centre(name: str) -> None:
    t = params(4)
    p = EVERYWHERE[name](t)
    torch.testing.assert_close(p.sample(0.0), CENTRES[name](t), check_dtype=False)
    torch.testing.assert_close(p.sample(0.0), p.sample(0.0), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["normal", "laplace"])
def test_temperature_scales_the_noise(name: str) -> None:
    p = EVERYWHERE[name](torch.zeros(N, 1))
    full = p.sample(1.0).std()
    assert float(p.sample(0.3).std() / full) == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_runs_under_vmap_and_keeps_its_type(name: str) -> None:
    t = params(5).float()

    def draw(t: Tensor) -> Tensor:
        return EVERYWHERE[name](t).sample()

    drawn = torch.func.vmap(draw, randomness="different")(t.expand(4, *t.shape))
    assert drawn.shape == (4, B, *SHAPE)
    assert drawn.dtype == torch.float32
    if name != "dirac":
        assert not torch.equal(drawn[0], drawn[1])
    wide = EVERYWHERE[name](params(5))
    assert wide.sample().dtype == wide.mean.dtype == torch.float64


@pytest.mark.parametrize("name", [n for n in EVERYWHERE if n != "dirac"])
def test_log_prob_under_vmap_is_the_same(name: str) -> None:
    t, x = params(6), torch.full((B, *SHAPE), 1.0, dtype=torch.float64)
    stacked = torch.stack([t, t / 2])
    together = torch.func.vmap(lambda t: EVERYWHERE[name](t).log_prob(x))(stacked)
    apart = torch.stack([EVERYWHERE[name](t).log_prob(x) for t in stacked])
    torch.testing.assert_close(together, apart)


EXTREME: dict[str, tuple[Callable[[Tensor], Distribution], tuple[float, ...]]] = {
    "normal": (lambda t: Normal(1000 * t, 10 * t), (-100.0, 0.0, 100.0)),
    "laplace": (lambda t: Laplace(1000 * t, 10 * t), (-100.0, 0.0, 100.0)),
    "bernoulli": (lambda t: Bernoulli(1e4 * t), (0.0, 1.0)),
    "continuous-bernoulli": (lambda t: ContinuousBernoulli(1e4 * t), (0.0, 0.3, 1.0)),
    "logistic": (lambda t: DiscretizedLogistic(1e3 * t, 7 * t, 256), (0.0, 0.2, 1.0)),
    "categorical": (
        lambda t: Categorical(torch.stack([1e4 * t, -1e4 * t, 0 * t], -1)),
        (0.0, 0.5, 1.0),
    ),
}


@pytest.mark.parametrize("name", EXTREME)
def test_finite_with_finite_gradients_at_extremes_in_float32(name: str) -> None:
    make, values = EXTREME[name]
    t = torch.tensor([[-1.0], [-1e-3], [-1e-6], [0.0], [1e-6], [1e-3], [1.0]], requires_grad=True)
    for value in values:
        p = make(t)
        log_p = p.log_prob(torch.full_like(t, value))
        (gradient,) = torch.autograd.grad(log_p.sum() + p.mean.sum(), t)
        assert log_p.isfinite().all(), value
        assert gradient.isfinite().all(), value
        assert p.mean.isfinite().all()
        assert p.expand(7).sample().isfinite().all()


def test_continuous_bernoulli_is_smooth_through_the_middle() -> None:
    # The series near 0 and the closed form away from it must meet: no step at the seam.
    logits = torch.linspace(-0.02, 0.02, 2001, dtype=torch.float64)[:, None].requires_grad_()
    x = torch.full_like(logits, 0.3)
    log_p = ContinuousBernoulli(logits).log_prob(x)
    (slope,) = torch.autograd.grad(log_p.sum(), logits)
    exact = 0.3 - (0.5 + logits / 12 - logits**3 / 720)
    torch.testing.assert_close(slope, exact, rtol=0, atol=1e-7)
    single = ContinuousBernoulli(logits.float()).log_prob(x.float())
    torch.testing.assert_close(single.double(), log_p, rtol=0, atol=2e-6)


def test_kl_of_normals() -> None:
    given = [params(k) for k in (1, 2, 3, 4)]
    mine = [p.clone().requires_grad_() for p in given]
    other = [p.clone().requires_grad_() for p in given]
    q, p = Normal(mine[0], mine[1]), Normal(mine[2], mine[3])
    rate = kl(q, p)
    reference = td.kl_divergence(
        td.Normal(other[0], other[1].exp()), td.Normal(other[2], other[3].exp())
    )
    assert rate is not None
    torch.testing.assert_close(rate, summed(reference), rtol=1e-12, atol=1e-12)
    rate.sum().backward()
    reference.sum().backward()
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)
    by_dimension = kl_by_dimension(q, p)
    assert by_dimension is not None
    torch.testing.assert_close(by_dimension, reference)
    assert (by_dimension >= 0).all()


def test_kl_agrees_with_monte_carlo() -> None:
    q = Normal(torch.tensor([[0.3, -1.0]]), torch.tensor([[-0.7, 0.2]])).expand(200_000)
    p = Normal(torch.tensor([[0.0, 0.5]]), torch.tensor([[0.1, 0.4]])).expand(200_000)
    z = q.sample()
    estimate = q.log_prob(z) - p.log_prob(z)
    se = float(estimate.std()) / math.sqrt(len(z))
    exact = kl(q, p)
    assert exact is not None
    assert float(estimate.mean()) == pytest.approx(float(exact[0]), abs=4 * se)


def test_kl_keeps_its_figures_where_q_nears_p() -> None:
    tiny = torch.tensor([[1e-4]])
    q, p = Normal(torch.zeros(1, 1), tiny), Normal(torch.zeros(1, 1), torch.zeros(1, 1))
    rate = kl(q, p)
    assert rate is not None
    assert float(rate) == pytest.approx(1e-8, rel=1e-2)  # (e^2s − 1)/2 − s = s² + …


def test_pairs_without_a_closed_form_have_none() -> None:
    q, p = (
        Normal(torch.zeros(1, 1), torch.zeros(1, 1)),
        Laplace(torch.zeros(1, 1), torch.ones(1, 1)),
    )
    assert kl(q, p) is None
    assert kl_by_dimension(q, p) is None


def test_a_point_has_no_density() -> None:
    with pytest.raises(TypeError, match=r"no density.*DiagonalNormal"):
        Dirac(torch.zeros(2, 3)).log_prob(torch.zeros(2, 3))
    assert not Dirac.has_density
    assert Normal.has_density


def test_expand_repeats_one_example() -> None:
    p = DiscretizedLogistic(torch.tensor([[0.2, 0.7]]), torch.zeros(1, 2), levels=5).expand(4)
    assert p.mu.shape == (4, 2)
    assert p.levels == 5


def test_positive_numbers_stay_positive_and_finite() -> None:
    for mu, log_sigma in ((88.0, 1.0), (-120.0, 0.0), (0.0, 3.0)):
        wide = LogNormal(torch.full((50, 2), mu), torch.full((50, 2), log_sigma))
        for x in (wide.mean, wide.sample(0), wide.sample()):
            assert torch.isfinite(x).all()
            assert (x > 0).all()
            assert torch.isfinite(wide.log_prob(x)).all()
