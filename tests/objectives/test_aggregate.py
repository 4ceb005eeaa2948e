"""Terms of the aggregate posterior, against plain loops and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor, nn

from vaelab.core import VAE, Conditional, Shallow, Trace
from vaelab.distributions import Normal
from vaelab.objectives import MMD, Diagonal, Objective, OffDiagonal, SplitRate
from vaelab.objectives.aggregate import stratified
from vaelab.objectives.covariance import aggregate_covariance
from vaelab.objectives.discrepancy import gaussian, mmd, multiscale
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import Standard

D, L, N = 5, 3, 40


def model(posterior: Conditional | None = None) -> VAE:
    torch.manual_seed(1)
    outputs = L if isinstance(posterior, Point) else 2 * L
    program = Shallow(
        Standard(L), posterior or DiagonalNormal(), nn.Linear(L, D), FixedGaussian(0.7)
    )
    return VAE(nn.Linear(D, outputs), program).double()


def data(n: int, seed: int = 2) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def walked(n: int, samples: int = 1) -> tuple[Trace, Tensor]:
    vae, x = model(), data(n)
    torch.manual_seed(3)
    return vae(x, samples), x


def arrays(trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    q = trace.sites[0].posterior
    assert isinstance(q, Normal)
    K = trace.samples
    z = trace.unfold(trace.latents[0]).detach().numpy()
    return z, q.mu.detach().numpy()[: len(q.mu) // K], q.sigma.detach().numpy()[: len(q.mu) // K]


def papers_weights(i: int, order: list[int]) -> dict[int, float]:
    """Appendix C of 1802.04942: the own one, M − 1 others, and a last one for the remainder."""
    M = len(order)
    weights = {i: 1 / N} | dict.fromkeys(order, 1 / M)
    weights[order[-1]] = (N - M) / (N * M)
    return weights


@pytest.mark.parametrize("samples", [1, 2])
def test_the_three_terms_agree_with_loops_over_the_papers_weights(samples: int) -> None:
    B = 5
    trace, x = walked(B, samples)
    z, mu, sigma = arrays(trace)
    expected = np.zeros((3, samples, B))
    for k in range(samples):
        for i in range(B):
            others = [j for j in range(B) if j != i]
            # Averaged over which of the others is the last: q(z) is linear in the weights.
            W = np.zeros(B)
            for turn in range(B - 1):
                for j, weight in papers_weights(i, others[turn:] + others[:turn]).items():
                    W[j] += weight / (B - 1)
            assert W.sum() == pytest.approx(1)
            log_q = np.array([norm(mu[j], sigma[j]).logpdf(z[k, i]) for j in range(B)])
            joint = logsumexp(log_q.sum(1), b=W)
            marginals = sum(logsumexp(log_q[:, d], b=W) for d in range(L))
            expected[0, k, i] = log_q[i].sum() - joint
            expected[1, k, i] = joint - marginals
            expected[2, k, i] = marginals - norm.logpdf(z[k, i]).sum()
    loss = SplitRate(N, 2.0, 6.0, 0.5)(trace, x)
    for nats, values in zip(loss.parts.values(), expected, strict=True):
        np.testing.assert_allclose(nats.detach(), values.mean(0), rtol=1e-10, atol=1e-12)
    assert loss.estimated == set(loss.parts)
    weighed = np.tensordot([2.0, 6.0, 0.5], expected.mean(1), 1)
    np.testing.assert_allclose(loss.total.detach(), weighed, rtol=1e-10, atol=1e-12)


def test_the_three_terms_sum_to_the_rate() -> None:
    trace, x = walked(20)
    site = trace.sites[0]
    rate = site.posterior.log_prob(site.z) - site.prior.log_prob(site.z)
    found = SplitRate(N)(trace, x)
    torch.testing.assert_close(found.total, rate)


@pytest.mark.parametrize(("batch", "rows"), [(2, 40), (7, 40), (40, 40), (60, 40), (1, 40), (3, 1)])
def test_every_row_of_the_weights_sums_to_one(batch: int, rows: int) -> None:
    W = stratified(batch, rows, torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(W.sum(1), torch.ones(batch, dtype=torch.float64))
    assert (W >= 0).all()
    torch.testing.assert_close(W, W.T)
    if batch > 1:
        torch.testing.assert_close(W.diagonal(), torch.full((batch,), 1 / rows).double())


def test_the_fill_of_others_puts_the_own_weight_elsewhere() -> None:
    """Known error: flat strides of B, where the diagonal has strides of B + 1; rows miss 1."""
    B = 6
    M = B - 1
    wrong = torch.full((B, B), 1 / M, dtype=torch.float64)
    wrong.view(-1)[:: M + 1] = 1 / N
    wrong.view(-1)[1 :: M + 1] = (N - M) / (N * M)
    wrong[M - 1, 0] = (N - M) / (N * M)
    ours = stratified(B, N, wrong)
    assert (wrong.diagonal() - 1 / N).abs().max() > 0.1
    assert (wrong.sum(1) - 1).abs().max() > 0.1
    assert (ours.diagonal() - 1 / N).abs().max() < 1e-12


def test_the_estimate_of_the_aggregate_is_unbiased() -> None:
    """Over all batches of 3 of 6 examples with the own one in it, E q̂(z) = q(z) exactly."""
    from itertools import combinations

    torch.manual_seed(0)
    q = Normal(torch.randn(6, 1).double(), 0.3 * torch.randn(6, 1).double())
    z = q.sample()[0]
    density = torch.exp(torch.distributions.Normal(q.mu, q.sigma).log_prob(z))[:, 0]
    W = stratified(3, 6, density)
    found = torch.stack(
        [W[0] @ density[[0, *others]] for others in combinations(range(1, 6), 2)]
    ).mean()
    torch.testing.assert_close(found, density.mean())


def test_information_and_correlation_where_they_are_known() -> None:
    """All examples in a batch and posteriors far apart: I = log N; and codes that are one number
    twice over have the total correlation log N, as each of them alone already tells them apart."""
    B = 16
    place = 100 * torch.arange(B, dtype=torch.float64)[:, None].expand(B, 2)
    q = Normal(place, torch.zeros(B, 2).double())
    program = Shallow(
        Standard(2).double(), Planted(q), nn.Linear(2, D).double(), FixedGaussian(1.0)
    )
    trace = VAE(nn.Identity(), program)(data(B))
    x = data(B)
    parts = SplitRate(B)(trace, x).parts
    for name in ("index_code", "total_correlation"):
        torch.testing.assert_close(parts[name], torch.full((B,), math.log(B)).double())


class Planted(Conditional):
    def __init__(self, q: Normal) -> None:
        super().__init__()
        self.q = q

    def forward(self, *given: Tensor) -> Normal:
        return self.q


@pytest.mark.parametrize("within", [False, True])
def test_covariances_are_over_the_batch(within: bool) -> None:
    trace, x = walked(30)
    _, mu, sigma = arrays(trace)
    C = np.cov(mu.T) + (np.diag((sigma**2).mean(0)) if within else 0)
    np.testing.assert_allclose(aggregate_covariance(trace, within).detach(), C, rtol=1e-10)
    off, diagonal = 0.0, 0.0
    for i in range(L):
        diagonal += (C[i, i] - 1) ** 2
        off += sum(C[i, j] ** 2 for j in range(L) if i != j)
    for term, value in ((OffDiagonal(within), off), (Diagonal(within), diagonal)):
        np.testing.assert_allclose(term(trace, x).total.detach(), np.full(30, value), rtol=1e-10)
    # Known error: centred over the latents, so that what the batch has in common stays in it.
    centred = mu - mu.mean(1, keepdims=True)
    wrong = centred.T @ centred / 29
    assert np.abs(wrong - np.cov(mu.T)).max() > 0.05


def test_a_shift_of_all_codes_changes_no_covariance() -> None:
    trace, x = walked(30)
    before = OffDiagonal(within=False)(trace, x).total
    q = trace.sites[0].posterior
    assert isinstance(q, Normal)
    shift = torch.tensor([5.0, -3.0, 40.0], dtype=torch.float64)
    moved = VAE(
        nn.Identity(),
        Shallow(
            Standard(L).double(),
            Planted(Normal(q.mu + shift, q.log_sigma)),
            nn.Linear(L, D).double(),
            FixedGaussian(1.0),
        ),
    )(x)
    torch.testing.assert_close(OffDiagonal(within=False)(moved, x).total, before)


def test_codes_of_the_prior_have_no_covariance_to_pay_for() -> None:
    torch.manual_seed(0)
    n = 20_000
    q = Normal(0.8 * torch.randn(n, 2).double(), torch.full((n, 2), math.log(0.6)).double())
    program = Shallow(
        Standard(2).double(), Planted(q), nn.Linear(2, D).double(), FixedGaussian(1.0)
    )
    trace = VAE(nn.Identity(), program)(data(n))
    penalty = (OffDiagonal(within=True) + Diagonal(within=True))(trace, data(n)).mean
    assert float(penalty) < 0.01
    assert float(Diagonal(within=False)(trace, data(n)).mean) > 0.2


def by_loops(a: np.ndarray, b: np.ndarray, kernel: object) -> float:
    n, total = len(a), 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                total += (kernel(a[i], a[j]) + kernel(b[i], b[j])) / (n * (n - 1))  # type: ignore[operator]
            total -= 2 * kernel(a[i], b[j]) / n**2  # type: ignore[operator]
    return total


def test_mmd_agrees_with_loops() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(9, L)), 1 + rng.normal(size=(9, L))

    def imq(u: np.ndarray, v: np.ndarray) -> float:
        d = float(((u - v) ** 2).sum())
        return sum(2 * L * s / (2 * L * s + d) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    found = mmd(torch.from_numpy(a), torch.from_numpy(b), multiscale)
    assert float(found) == pytest.approx(by_loops(a, b, imq), rel=1e-10)
    expected = rbf_kernel(a, b, gamma=1 / (2 * L))
    torch.testing.assert_close(
        gaussian(torch.from_numpy(a), torch.from_numpy(b)), torch.from_numpy(expected)
    )
    rbf = by_loops(a, b, lambda u, v: math.exp(-((u - v) ** 2).sum() / (2 * L)))
    found = mmd(torch.from_numpy(a), torch.from_numpy(b), gaussian)
    assert float(found) == pytest.approx(rbf, rel=1e-10)


@pytest.mark.parametrize("size", [8, 64])
def test_mmd_is_unbiased_whatever_the_batch(size: int) -> None:
    """Between N(0, 1) and N(m, 1) under a Gaussian kernel of width 1, MMD² is known."""
    torch.manual_seed(0)
    m, repeats = 0.7, 4000 * 8 // size
    kernel = (1 / 3) ** 0.5
    expected = 2 * kernel * (1 - math.exp(-(m**2) / 6))
    found = torch.stack(
        [
            mmd(torch.randn(size, 1).double(), m + torch.randn(size, 1).double(), gaussian)
            for _ in range(repeats)
        ]
    )
    se = float(found.std()) / math.sqrt(repeats)
    assert float(found.mean()) == pytest.approx(expected, abs=4 * se)
    assert se < 0.01


def test_mmd_compares_the_codes_with_draws_of_the_prior() -> None:
    vae, x = model(Point()), data(64)
    trace = vae(x)
    torch.manual_seed(5)
    found = MMD(gaussian)(trace, x)
    torch.manual_seed(5)
    expected = mmd(trace.latents[0], torch.randn(64, L, dtype=torch.float64), gaussian)
    torch.testing.assert_close(found.total, expected.expand(64))
    alone = MMD()(vae(x[:1]), x[:1])
    assert alone.total.tolist() == [0.0]
    assert alone.total.requires_grad


TERMS: list[Objective] = [
    SplitRate(N, 1.0, 0.0, 0.0),
    SplitRate(N, 0.0, 1.0, 0.0),
    SplitRate(N, 0.0, 0.0, 1.0),
    OffDiagonal(within=False),
    OffDiagonal(within=True),
    Diagonal(within=True),
]


@pytest.mark.parametrize("term", TERMS, ids=lambda t: type(t).__name__)
def test_what_is_pooled_says_so_and_does_not_grow_with_the_batch(term: Objective) -> None:
    assert term.batch_coupled
    vae, means = model(), {}
    vae.encoder.weight.data[:L].mul_(3)  # codes well apart, so that the figures are large
    vae.requires_grad_(False)
    torch.manual_seed(0)
    for size in (32, 256):
        values = [
            term(vae(x), x).mean
            for x in (data(size, seed) for seed in range(100, 100 + 4096 // size))
        ]
        means[size] = float(torch.stack(values).mean())
    assert means[256] == pytest.approx(means[32], rel=0.35, abs=0.15)


@pytest.mark.parametrize("term", TERMS, ids=lambda t: type(t).__name__)
def test_the_order_of_a_batch_changes_nothing(term: Objective) -> None:
    vae, x = model(), data(12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    whole = term(vae(x, temperature=0.0), x).total
    torch.testing.assert_close(term(vae(x[order], temperature=0.0), x[order]).total, whole[order])


def test_what_they_cannot_do_they_refuse() -> None:
    x = data(4)
    point, normal = model(Point())(x), model()(x)
    with pytest.raises(TypeError, match=r"posterior is a Dirac.*DiagonalNormal"):
        SplitRate(N)(point, x)
    with pytest.raises(TypeError, match=r"posterior is a Dirac.*DiagonalNormal.*within=False"):
        Diagonal(within=True)(point, x)
    assert float(Diagonal(within=False)(point, x).mean.detach()) > 0
    twice = Trace(normal.sites * 2, normal.likelihood)
    for term in (SplitRate(N), OffDiagonal(True), MMD()):
        with pytest.raises(ValueError, match="one latent; here there are 2"):
            term(twice, x)
    with pytest.raises(ValueError, match="rows is 0"):
        SplitRate(0)
