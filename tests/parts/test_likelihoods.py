"""Mixtures of logistics, Student's t, counts and categories."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy import special, stats
from torch import Tensor

from vaelab.distributions import (
    CategoricalIndex,
    DiscretizedLogistic,
    Distribution,
    LogisticMixture,
    NegativeBinomial,
    Poisson,
    StudentT,
    ZeroInflated,
)
from vaelab.parts.likelihoods import (
    LaplaceLikelihood,
    LearnedGaussian,
    Likelihood,
    LogisticLevels,
    LogisticMixtureLevels,
    PixelGaussian,
    StudentLikelihood,
)
from vaelab.parts.tables import (
    Categories,
    NegativeBinomialCounts,
    PoissonCounts,
    ZeroInflatedCounts,
)

B, D = 6, 4


def given(seed: int, scale: float = 1.0, shape: tuple[int, ...] = (B, D)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def counts(seed: int, most: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, most, (B, D), generator=generator).double()


def theirs_zero_inflated(log_mean: Tensor, log_r: Tensor, gate: Tensor, k: Tensor) -> Tensor:
    base = td.NegativeBinomial(log_r.exp(), logits=log_mean - log_r).log_prob(k)
    zero = torch.log(torch.sigmoid(gate) * (k == 0) + torch.sigmoid(-gate) * base.exp())
    return torch.where(k == 0, zero, torch.log(torch.sigmoid(-gate)) + base)


# name: ours, theirs (log-probabilities before the sum), data, the parameters of both
Pair = tuple[Callable[..., Distribution], Callable[..., Tensor], Tensor, tuple[Tensor, ...]]
PAIRS: dict[str, Pair] = {
    "poisson": (Poisson, lambda m, k: td.Poisson(m.exp()).log_prob(k), counts(1), (given(2, 2.0),)),
    "negative-binomial": (
        NegativeBinomial,
        lambda m, r, k: td.NegativeBinomial(r.exp(), logits=m - r).log_prob(k),
        counts(1),
        (given(2, 2.0), given(3, 2.0)),
    ),
    "zero-inflated": (
        ZeroInflated,
        theirs_zero_inflated,
        counts(1, 4),
        (given(2, 2.0), given(3, 2.0), given(4, 2.0)),
    ),
    "student": (
        StudentT,
        lambda mu, s, df, x: td.StudentT(df.exp(), mu, s.exp()).log_prob(x),
        given(1, 3.0),
        (given(2), given(3), 2 + given(4, 2.0)),
    ),
    "nominal": (
        CategoricalIndex,
        lambda logits, k: td.Categorical(logits=logits).log_prob(k),
        counts(1, 5),
        (given(2, 2.0, (B, D, 5)),),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_log_prob_and_its_gradient_are_those_of_torch(name: str) -> None:
    ours, theirs, x, parameters = PAIRS[name]
    mine = [p.clone().requires_grad_() for p in parameters]
    other = [p.clone().requires_grad_() for p in parameters]
    log_p, reference = ours(*mine).log_prob(x), theirs(*other, x).sum(1)
    assert log_p.shape == (B,)
    torch.testing.assert_close(log_p, reference, rtol=1e-9, atol=1e-7)
    log_p.sum().backward()
    reference.sum().backward()
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mean", [0.01, 3.0, 3e3, 1e5])
@pytest.mark.parametrize("r", [1e-4, 0.5, 17.0, 2e4, None])
def test_counts_keep_their_nats_in_float32(mean: float, r: float | None) -> None:
    """The textbook sum loses a tenth of a nat at 100,000; a count costs about ten."""
    log_mean = torch.tensor(math.log(mean))
    mean = math.exp(float(log_mean))
    k = np.unique(np.round(np.array([0, 0.3, 0.9, 1, 1.1, 2]) * mean).clip(0))
    x = torch.tensor(k, dtype=torch.float32)
    if r is None:
        ours = Poisson(log_mean.expand(len(k))).log_prob(x)
        exact = special.xlogy(k, mean) - mean - special.gammaln(k + 1)
    else:
        log_r = torch.tensor(math.log(r))
        r = math.exp(float(log_r))
        ours = NegativeBinomial(log_mean.expand(len(k)), log_r.expand(len(k))).log_prob(x)
        # Γ(k+r)/Γ(r) by a Beta function, whose own cancellation scipy takes care of.
        exact = -special.betaln(r, k + 1) - np.log(r + k)
        exact += special.xlogy(k, mean / (r + mean)) - r * np.log1p(mean / r)
    np.testing.assert_allclose(ours.numpy(), exact, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("df", [1.5, 15.9, 16.1, 1e3, 2e4])
def test_student_keeps_its_nats_in_float32(df: float) -> None:
    x = np.array([0.0, 1e-3, 0.5, 3, 40])
    log_df = torch.tensor(math.log(df))
    scale = torch.tensor(-0.25).expand(5)
    ours = StudentT(torch.zeros(5), scale, log_df.expand(5)).log_prob(torch.tensor(x).float())
    exact = stats.t(math.exp(float(log_df)), 0, math.exp(-0.25)).logpdf(x)
    np.testing.assert_allclose(ours.numpy(), exact, rtol=2e-6, atol=2e-6)


def one(t: float) -> Tensor:
    return torch.tensor([[t]], dtype=torch.float64)


DISCRETE: dict[str, tuple[Distribution, int]] = {
    "poisson": (Poisson(one(1.2)), 60),
    "negative-binomial": (NegativeBinomial(one(1.2), one(-0.3)), 400),
    "negative-binomial like poisson": (NegativeBinomial(one(1.2), one(9.0)), 60),
    "zero-inflated": (ZeroInflated(one(1.5), one(0.4), one(-0.7)), 400),
    "nominal": (CategoricalIndex(given(3, 1.0, (1, 1, 5))), 5),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_sum_to_one_and_the_mean_is_theirs(name: str) -> None:
    p, top = DISCRETE[name]
    k = torch.arange(top, dtype=torch.float64)[:, None]
    mass = p.expand(top).log_prob(k).exp()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-6)
    expected = float(mass.argmax()) if name == "nominal" else float(mass @ k[:, 0])
    assert float(p.mean) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", DISCRETE)
def test_draws_follow_the_probabilities(name: str) -> None:
    p, top = DISCRETE[name]
    n = 20_000
    drawn = p.expand(n).sample().flatten()
    assert torch.equal(drawn, drawn.round())
    mass = p.expand(top).log_prob(torch.arange(top, dtype=torch.float64)[:, None]).exp().numpy()
    seen = np.bincount(drawn.long().numpy(), minlength=top)[:top]
    # Rare outcomes are counted together, so that chi-square holds.
    common = mass * n > 20
    seen, mass = np.append(seen[common], n - seen[common].sum()), mass[common]
    mass = np.append(mass, max(1 - mass.sum(), 1e-12))
    kept = mass * n > 5
    assert stats.chisquare(seen[kept], mass[kept] * seen[kept].sum() / mass[kept].sum()).pvalue > (
        1e-3
    )


def test_draws_of_student_follow_its_distribution() -> None:
    p = StudentT(one(0.4), one(-0.5), one(1.0)).expand(20_000)
    cdf = stats.t(math.e, 0.4, math.exp(-0.5)).cdf
    assert stats.kstest(p.sample().flatten().numpy(), cdf).pvalue > 1e-3


def test_without_temperature_a_draw_is_the_nearest_whole_mean() -> None:
    for name, (p, _) in DISCRETE.items():
        assert float(p.sample(0.0)) == pytest.approx(round(float(p.mean))), name
    warm = NegativeBinomial(one(5.0), one(0.0)).expand(20_000)
    half, whole = warm.sample(0.5), warm.sample(1.0)
    assert float(half.std() / whole.std()) == pytest.approx(0.5, abs=0.03)
    assert float(half.mean()) == pytest.approx(math.exp(5.0), rel=0.03)
    assert torch.equal(half, half.round())


def mixture(channels: int, levels: int, shared: bool) -> LogisticMixture:
    logits = given(1, 1.0, (1, 1 if shared else channels, 2, 3))
    shape = (1, channels, 2, 3)
    return LogisticMixture(logits, 0.5 + given(2, 0.4, shape), given(3, 1.0, shape) - 1, levels)


@pytest.mark.parametrize("shared", [True, False])
def test_the_mixture_of_logistics_sums_to_one_over_the_whole_grid(shared: bool) -> None:
    levels, channels = 3, 2
    p = mixture(channels, levels, shared)
    grid = torch.tensor(list(itertools.product(range(levels), repeat=2 * channels)))
    x = (grid / (levels - 1)).double().reshape(-1, channels, 2)
    mass = p.expand(len(x)).log_prob(x).exp()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-9)
    drawn = p.expand(40_000).sample()
    assert set(drawn.unique().tolist()) <= {0.0, 0.5, 1.0}
    place = (2 * drawn.flatten(1)).long() @ torch.tensor([27, 9, 3, 1])
    seen = np.bincount(place.numpy(), minlength=81)
    assert stats.chisquare(seen, 40_000 * (mass / mass.sum()).numpy()).pvalue > 1e-3


def test_the_channels_of_a_pixel_share_one_choice_of_component() -> None:
    """By hand: log Σ_k w_k Π_c P(x_c | k), each component a discretised logistic."""
    p, x = mixture(3, 17, shared=True), torch.tensor([[[0.0, 0.5], [1.0, 0.25], [0.5, 0.75]]])
    x = x.double()
    weights = torch.softmax(p.logits, -1)[0, 0]
    total = torch.zeros((), dtype=torch.float64)
    for pixel in range(2):
        mass = torch.zeros((), dtype=torch.float64)
        for k in range(3):
            each = DiscretizedLogistic(p.mu[..., pixel, k], p.log_scale[..., pixel, k], 17)
            mass += weights[pixel, k] * each.log_prob(x[..., pixel])[0].exp()
        total += mass.log()
    torch.testing.assert_close(p.log_prob(x)[0], total)
    alone = replace(p, logits=p.logits.expand(-1, 3, -1, -1))
    assert not torch.allclose(alone.log_prob(x)[0], total)


def test_the_mean_of_the_mixture_is_that_of_its_levels() -> None:
    p = mixture(2, 256, shared=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    expected = torch.zeros(2, 2, dtype=torch.float64)
    weights = torch.softmax(p.logits, -1)
    for c, pixel, k in itertools.product(range(2), range(2), range(3)):
        one_of = DiscretizedLogistic(p.mu[:, c, pixel, k], p.log_scale[:, c, pixel, k], 256)
        mass = one_of.expand(256).log_prob(levels).exp()
        expected[c, pixel] += weights[0, 0, pixel, k] * (mass @ levels)
    torch.testing.assert_close(p.mean[0], expected, rtol=0, atol=1e-3)


LIKELIHOODS: dict[str, Likelihood] = {
    "student": StudentLikelihood(),
    "student, df stated": StudentLikelihood(3.0),
    "logistic-mixture": LogisticMixtureLevels(5, 3),
    "poisson": PoissonCounts([2.0]),
    "negative-binomial": NegativeBinomialCounts([2.0]),
    "zero-inflated": ZeroInflatedCounts([2.0]),
    "categories": Categories(3),
}


@pytest.mark.parametrize("shape", [(1, 3, 2), (3, 2, 5), (7,)], ids=str)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_shapes_and_precision(name: str, shape: tuple[int, ...]) -> None:
    likelihood = LIKELIHOODS[name]
    p = likelihood(torch.randn(B, likelihood.params * shape[0], *shape[1:]).bfloat16())
    x = torch.randint(0, 2, (B, *shape)).float()
    assert p.log_prob(x).shape == (B,)
    assert p.sample().shape == p.mean.shape == (B, *shape)
    assert {t.dtype for t in p.tensors().values()} == {torch.float32}
    few = likelihood(torch.randn(1, likelihood.params * shape[0], *shape[1:])).expand(3)
    assert few.log_prob(x[:3]).shape == (3,)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_what_is_said_of_one_pixel_stays_with_it(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    h = torch.randn(B, likelihood.params, 3, 2, 2)
    changed = h.clone()
    changed[:, :, :, 0, 1] += torch.randn(likelihood.params, 1)
    x = torch.randint(0, 2, (B, 3, 2, 2)).float()
    other = x.clone()
    other[..., 0, 1] = 1 - other[..., 0, 1]
    gaps = []
    for outputs in (h, changed):
        p = likelihood(outputs.flatten(1, 2))
        gaps.append(p.log_prob(x) - p.log_prob(other))
    assert not torch.allclose(*gaps)
    elsewhere = torch.ones(2, 2, dtype=torch.bool)
    elsewhere[0, 1] = False
    means = [likelihood(outputs.flatten(1, 2)).mean[..., elsewhere] for outputs in (h, changed)]
    torch.testing.assert_close(*means)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e5])
@pytest.mark.parametrize("size", [-1e30, -1e4, 0.0, 1e4, 1e30])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_no_output_of_a_decoder_breaks_a_likelihood(name: str, size: float, value: float) -> None:
    likelihood = LIKELIHOODS[name]
    if not likelihood.accepts & {"counts", "real"}:
        value = min(value, 1.0)
    h = torch.full((B, likelihood.params, 2, 2), size, requires_grad=True)
    learned = [p for p in likelihood.parameters() if p.requires_grad]
    p = likelihood(h)
    log_p = p.log_prob(torch.full((B, 1, 2, 2), value))
    gradients = torch.autograd.grad(log_p.sum(), [h, *learned])
    assert log_p.isfinite().all()
    assert all(g.isfinite().all() for g in gradients)
    assert p.sample().isfinite().all()
    assert p.mean.isfinite().all()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_is_compiled_whole_and_mapped(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    h, x = torch.randn(3, B, likelihood.params * 2), torch.randint(0, 2, (B, 2)).float()

    def nats(h: Tensor) -> Tensor:
        return likelihood(h).log_prob(x)

    each = torch.stack([nats(part) for part in h])
    torch.testing.assert_close(torch.func.vmap(nats)(h), each)
    # Captured in one graph; what is made of it is the compiler's own affair.
    torch._dynamo.reset()
    captured = torch.compile(nats, fullgraph=True, backend="eager")
    torch.testing.assert_close(captured(h[0]), each[0])


def test_counts_start_from_the_mean_of_their_column() -> None:
    means = [0.0, 0.5, 300.0, 2e4]
    for likelihood in (PoissonCounts(means), NegativeBinomialCounts(means)):
        start = likelihood(torch.zeros(1, 4)).mean[0]
        torch.testing.assert_close(start[1:], torch.tensor(means[1:]), rtol=1e-5, atol=0)
        assert 0 < float(start[0]) < 1e-3


def test_student_forgives_an_outlier_that_a_gaussian_does_not() -> None:
    h = torch.zeros(1, 1, requires_grad=True)
    for likelihood, forgives in ((StudentLikelihood(), True), (LearnedGaussian(), False)):
        pull = [
            float(torch.autograd.grad(likelihood(h).log_prob(torch.tensor([[x]])), h)[0])
            for x in (1.0, 100.0)
        ]
        assert (pull[1] < pull[0]) == forgives
    with pytest.raises(ValueError, match="above 1"):
        StudentLikelihood(1.0)
    mu = torch.zeros(1, 1)
    learned, stated = StudentLikelihood(), StudentLikelihood(3.0)
    assert float(stated(mu).log_df.detach().exp()) == pytest.approx(3.0, rel=1e-2)
    assert sum(p.requires_grad for p in learned.parameters()) == 2
    assert sum(p.requires_grad for p in stated.parameters()) == 1


def test_pixel_gaussian_has_a_floor_of_minus_five_under_its_log_sigma() -> None:
    mu, log_sigma = given(1), torch.tensor([[-9.0, -6.0, -4.5, 1.0]]).expand(B, D).double()
    found = PixelGaussian()(torch.cat([mu, log_sigma], 1))
    torch.testing.assert_close(found.mu, mu)
    free = [10 * math.tanh(-0.45), 10 * math.tanh(0.1)]
    assert found.log_sigma[-1].tolist() == pytest.approx([-5, -5, *free])


@pytest.mark.parametrize("likelihood", [LogisticLevels(256), LogisticMixtureLevels(256, 4)])
def test_logistic_likelihoods_have_a_floor_of_minus_seven_under_their_log_scale(
    likelihood: Likelihood,
) -> None:
    output = torch.zeros(2, likelihood.params, 3, 3)
    output[0] = -40.0
    log_scale = likelihood(output).log_scale  # type: ignore[attr-defined]
    assert float(log_scale[0].max()) == float(log_scale[0].min()) == -7
    assert (
        float(log_scale[1].max())
        == float(log_scale[1].min())
        == pytest.approx(10 * math.tanh(-0.23))
    )


def test_logistic_likelihoods_start_at_mid_grey() -> None:
    for levels in (256, 17):
        one = LogisticLevels(levels)(torch.zeros(2, 2, 3, 3))
        torch.testing.assert_close(one.mean, torch.full_like(one.mean, 0.5))
        many = LogisticMixtureLevels(levels, 4)(torch.zeros(2, 12, 3, 3))
        torch.testing.assert_close(many.mean, torch.full_like(many.mean, 0.5))
        assert many.mu[0, 0, 0, 0].tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_learned_scales_start_at_one_over_e() -> None:
    mu = given(2)
    for scale in (
        LearnedGaussian()(mu).log_sigma,
        LearnedGaussian(D)(mu).log_sigma,
        LaplaceLikelihood(D)(mu).log_scale,
        StudentLikelihood(shape=(D,))(mu).log_scale,
    ):
        assert scale.shape == mu.shape
        assert scale.detach().unique().tolist() == pytest.approx([10 * math.tanh(-0.1)])
    for df, expected in ((None, 10), (3.0, 3)):
        above_one = 10 * math.tanh(math.log(expected - 1) / 10)
        started = StudentLikelihood(df)(mu).log_df.exp().detach().unique().tolist()
        assert started == pytest.approx([1 + math.exp(above_one)])
