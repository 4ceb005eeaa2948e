"""Codes whose rates, mismatch and content are known in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from sklearn.neighbors import KNeighborsClassifier
from torch.distributions import Independent, MixtureSameFamily, Normal, kl_divergence

from vaelab.metrics import (
    active_units,
    aggregate_kl,
    frechet_distances,
    kernel_distance,
    knn_accuracy,
    latent,
    mmd,
    posterior_scale,
    rate_per_dimension,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, d=2, seed=0):
    return torch.randn(n, d, generator=generator(seed))


def test_active_units_are_those_that_move():
    mu = normal(5000, 3) * torch.tensor([1.0, 0.12, 0.05]) + 7
    assert active_units(mu).tolist() == [True, True, False]
    assert active_units(mu[:, :0]).tolist() == []


def test_rates_are_those_of_torch_distributions():
    mu, sigma = normal(200, 3, 1), normal(200, 3, 2).exp()
    expected = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0)).mean(dim=0)
    got = rate_per_dimension(mu, sigma)
    torch.testing.assert_close(torch.tensor([e.value for e in got]), expected)
    assert rate_per_dimension(mu, torch.zeros_like(sigma))[0].value == math.inf


def test_posterior_scale():
    e = posterior_scale(torch.tensor([[0.5, 1.5], [2.0, 4.0]]))
    assert e.value == 2.0
    assert e.n == 2


# --- aggregate KL ------------------------------------------------------------------------------


def test_a_collapsed_posterior_matches_the_prior():
    e = aggregate_kl(torch.zeros(500, 4), torch.ones(500, 4), 1000, generator())
    assert e.value == pytest.approx(0.0, abs=1e-5)


def test_aggregate_kl_of_one_gaussian_in_closed_form():
    mu, sigma = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[0.3, 1.0, 2.0]])
    e = aggregate_kl(mu.expand(50, 3), sigma.expand(50, 3), 20_000, generator())
    exact = float(kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0)).sum())
    assert e.value == pytest.approx(exact, abs=3 * e.se)
    assert e.se < 0.05


def test_aggregate_kl_of_a_mixture_by_integration():
    mu, sigma = torch.tensor([[-2.0], [0.0], [1.0]]), torch.tensor([[0.3], [0.05], [1.0]])
    mixture = MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(3).double()),
        Independent(Normal(mu.double(), sigma.double()), 1),
    )
    t = torch.linspace(-9, 9, 200_001, dtype=torch.float64)[:, None]
    log_q, log_p = mixture.log_prob(t), Normal(0.0, 1.0).log_prob(t[:, 0])
    exact = float(torch.trapezoid(log_q.exp() * (log_q - log_p), t[:, 0]))
    covered = 0
    for seed in range(100):
        e = aggregate_kl(mu, sigma, 2000, generator(seed))
        covered += abs(e.value - exact) < 1.96 * e.se
    assert 0.88 <= covered / 100 <= 1.0


def test_separate_regions_cost_the_rate_less_log_n():
    mu = 1000 * normal(64, 3)
    sigma = torch.full((64, 3), 1e-3)
    rate = sum(e.value for e in rate_per_dimension(mu, sigma))
    e = aggregate_kl(mu, sigma, 64 * 500, generator())
    # The draws weigh 64 components of unlike rate, so the sampling error is that of the rate.
    assert e.value == pytest.approx(rate - math.log(64), abs=4 * e.se)
    same = mu[:1].expand(64, 3) + torch.arange(64)[:, None]
    rates = sum(x.value for x in rate_per_dimension(same - same.mean(0), sigma))
    narrow = aggregate_kl(same - same.mean(0), sigma, 20_000, generator())
    assert narrow.value == pytest.approx(rates - math.log(64), abs=4 * narrow.se)


def test_points_are_infinitely_far_from_the_prior():
    e = aggregate_kl(normal(10), torch.zeros(10, 2), 100, generator())
    assert e.value == math.inf
    assert e.se == 0.0


def test_aggregate_kl_does_not_depend_on_chunks(monkeypatch):
    mu, sigma = normal(300, 5, 1), 0.1 * normal(300, 5, 2).exp()
    whole = aggregate_kl(mu, sigma, 500, generator())
    monkeypatch.setattr(latent, "CHUNK_ELEMENTS", 300 * 7)
    assert aggregate_kl(mu, sigma, 500, generator()).value == pytest.approx(whole.value, abs=1e-6)


@pytest.mark.parametrize(
    ("mu", "sigma", "message"),
    [
        (torch.zeros(3, 2), -torch.ones(3, 2), "negative"),
        (torch.zeros(3, 2), torch.ones(3, 1), "one shape"),
    ],
)
def test_what_is_no_posterior_is_refused(mu, sigma, message):
    with pytest.raises(ValueError, match=message):
        aggregate_kl(mu, sigma, 10, generator())


# --- MMD and its kin ---------------------------------------------------------------------------


def expected_imq(d, shift):
    """E C/(C + r²), r the distance of two normal draws: C/(C + r²) = ∫ e^−t e^(−t r²/C) dt."""

    def integrand(t):
        a = 1 + 4 * t / (2 * d)
        return math.exp(-t) * a ** (-d / 2) * math.exp(-t / (2 * d) * shift**2 / a)

    return integrate.quad(integrand, 0, np.inf)[0]


@pytest.mark.parametrize(("d", "shift"), [(2, 0.0), (2, 1.0), (16, 0.0), (16, 2.0)])
def test_mmd_of_shifted_normals_in_closed_form(d, shift):
    a, b = normal(2000, d, 1), normal(2000, d, 2)
    b[:, 0] += shift
    exact = 2 * (expected_imq(d, 0.0) - expected_imq(d, shift))
    e = mmd(a, b)
    assert e.value == pytest.approx(exact, abs=3.5 * e.se)
    assert e.se < 0.01


@pytest.mark.parametrize(("shift", "widest"), [(0.0, 1.35), (0.5, 1.15)])
def test_the_standard_error_of_mmd_is_its_spread(shift, widest):
    """Both where the linear term vanishes (one distribution) and where it rules."""
    g = generator()
    found = [
        mmd(torch.randn(100, 2, generator=g), torch.randn(100, 2, generator=g) + shift)
        for _ in range(400)
    ]
    spread = np.std([e.value for e in found])
    assert 0.88 * spread < np.mean([e.se for e in found]) < widest * spread
    exact = 2 * (expected_imq(2, 0.0) - expected_imq(2, shift * math.sqrt(2)))
    assert np.mean([e.value for e in found]) == pytest.approx(exact, abs=3 * spread / 20)


def test_mmd_is_the_naive_u_statistic():
    """Pairs of one sample without i = j, pairs across with it: no order of rows matters."""
    a, b = normal(40, 3, 1).double(), normal(40, 3, 2).double() + 0.3
    kernel = lambda x, y: 6 / (6 + torch.cdist(x, y).square())  # noqa: E731
    within = [float(k.sum() - k.diagonal().sum()) / (40 * 39) for k in (kernel(a, a), kernel(b, b))]
    total = sum(within) - 2 * float(kernel(a, b).mean())
    assert mmd(a, b).value == pytest.approx(total, abs=1e-12)


def test_mmd_wants_samples_of_one_size():
    with pytest.raises(ValueError, match=r"a\[:5\]"):
        mmd(normal(5), normal(7))


def test_kernel_distance_of_two_means_in_closed_form():
    """F = 1, k = (xy + 1)³: E k = 1 + 3 m m' + 3 s s' + t t' with the raw moments m, s, t."""

    def moments(mu):
        return mu, mu**2 + 1, mu**3 + 3 * mu

    def expected(p, q):
        return 1 + 3 * p[0] * q[0] + 3 * p[1] * q[1] + p[2] * q[2]

    p, q = moments(0.0), moments(0.5)
    exact = expected(p, p) + expected(q, q) - 2 * expected(p, q)
    e = kernel_distance(normal(3000, 1, 1), normal(3000, 1, 2) + 0.5)
    assert e.value == pytest.approx(exact, abs=3 * e.se)


def test_frechet_distance_of_normals_in_closed_form():
    scale = torch.tensor([1.0, 2.0, 0.5])
    a, b = normal(20_000, 3, 1), normal(20_000, 3, 2) * scale + torch.tensor([1.0, 0.0, 0.0])
    exact = 1 + float((scale - 1).square().sum())  # of diagonal covariances
    e = frechet_distances(a, b)[0]
    assert e.value == pytest.approx(exact, abs=3 * e.se)
    assert frechet_distances(a, a)[0].value == pytest.approx(0.0, abs=1e-9)
    turn = torch.linalg.qr(normal(3, 3, 3))[0]
    assert frechet_distances(a @ turn, b @ turn)[0].value == pytest.approx(e.value, rel=1e-4)


def test_the_standard_error_of_the_frechet_distance_is_its_spread():
    found = [
        frechet_distances(normal(400, 2, 2 * s), normal(400, 2, 2 * s + 1) + 1)[0]
        for s in range(100)
    ]
    spread = np.std([e.value for e in found])
    assert np.mean([e.se for e in found]) == pytest.approx(spread, rel=0.25)


# --- k-NN accuracy -----------------------------------------------------------------------------


def test_knn_accuracy_is_that_of_scikit_learn():
    g = generator()
    y, y_test = torch.randint(4, (500,), generator=g), torch.randint(4, (300,), generator=g)
    z, z_test = normal(500, 3, 1) + y[:, None] * 0.7, normal(300, 3, 2) + y_test[:, None] * 0.7
    e = knn_accuracy(z, y, z_test, y_test)
    theirs = KNeighborsClassifier(5).fit(z.numpy(), y.numpy()).score(z_test.numpy(), y_test.numpy())
    assert e.value == pytest.approx(theirs)
    order = torch.randperm(500, generator=g)
    assert knn_accuracy(z[order], y[order], z_test, y_test).value == e.value


def test_the_interval_of_knn_accuracy_covers_the_truth():
    """One fixed training set; the truth from a test set a hundred times as large."""

    def draw(n, seed):
        y = torch.randint(2, (n,), generator=generator(seed))
        return normal(n, 2, seed + 10_000) + 1.5 * y[:, None], y

    z, y = draw(1000, 1)
    truth = knn_accuracy(z, y, *draw(40_000, 2)).value
    covered = 0
    for seed in range(200):
        e = knn_accuracy(z, y, *draw(400, 3 + seed))
        covered += abs(e.value - truth) < 1.96 * e.se
    assert 0.90 <= covered / 200 <= 0.99


def test_labels_must_match_codes():
    with pytest.raises(ValueError, match="each code needs a label"):
        knn_accuracy(normal(5), torch.zeros(4).long(), normal(3), torch.zeros(3).long())
