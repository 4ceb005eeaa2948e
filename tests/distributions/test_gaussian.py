"""The normal with a full covariance against torch.distributions and its own samples."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributions as td
from scipy import stats
from torch import Tensor

from vaelab.distributions import FullNormal, Normal, kl, kl_by_dimension

B, D = 5, 4


def params(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mu, log_scale = 0.7 * torch.randn(2, B, D, generator=generator, dtype=torch.float64)
    lower = torch.randn(B, D, D, generator=generator, dtype=torch.float64).tril(-1)
    return mu, log_scale, lower


def reference(q: FullNormal) -> td.MultivariateNormal:
    return td.MultivariateNormal(q.mu, scale_tril=q.factor)


def test_log_prob_agrees_with_torch() -> None:
    q = FullNormal(*params(1))
    z = torch.randn(B, D, dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(z), reference(q).log_prob(z))
    inputs = tuple(p.requires_grad_() for p in params(1))
    assert torch.autograd.gradcheck(lambda *p: FullNormal(*p).log_prob(z), inputs)


def test_kl_to_diagonal_normals_agrees_with_torch() -> None:
    mine, other = ([p.requires_grad_() for p in params(2)] for _ in range(2))
    prior = Normal(*params(3)[:2])
    for p in (prior, Normal(torch.zeros(B, D).double(), torch.zeros(B, D).double())):
        rate = kl(FullNormal(*mine), p)
        diagonal = td.MultivariateNormal(p.mu, scale_tril=torch.diag_embed(p.sigma))
        exact = td.kl_divergence(reference(FullNormal(*other)), diagonal)
        assert rate is not None
        torch.testing.assert_close(rate, exact)
        ours = torch.autograd.grad(rate.sum(), mine)
        theirs = torch.autograd.grad(exact.sum(), other)
        torch.testing.assert_close(ours[:2], theirs[:2])
        torch.testing.assert_close(ours[2].tril(-1), theirs[2].tril(-1))


def test_a_linear_flow_of_a_diagonal_normal_is_one() -> None:
    """z = A e + b: by the change of variables, for any A that can be turned back."""
    m, log_s, _ = params(6)
    A, b = torch.randn(B, D, D).double(), torch.randn(B, D).double()
    z = torch.randn(B, D, dtype=torch.float64)
    e = torch.linalg.solve(A, z - b)
    flow = Normal(m, log_s).log_prob(e) - torch.linalg.slogdet(A).logabsdet
    factor = torch.linalg.cholesky(A @ torch.diag_embed((2 * log_s).exp()) @ A.mT)
    log_scale = torch.diagonal(factor, dim1=1, dim2=2).log()
    full = FullNormal((A @ m[..., None])[..., 0] + b, log_scale, factor.tril(-1))
    torch.testing.assert_close(full.log_prob(z), flow)


def test_a_diagonal_one_is_the_diagonal_normal_in_every_figure() -> None:
    mu, log_scale, lower = params(4)
    full, plain = FullNormal(mu, log_scale, 0 * lower), Normal(mu, log_scale)
    p = Normal(*params(5)[:2])
    z = torch.randn(B, D, dtype=torch.float64)
    torch.testing.assert_close(full.log_prob(z), plain.log_prob(z))
    torch.testing.assert_close(kl(full, p), kl(plain, p))
    # Its rate is of the whole vector; a diagonal one's has a share for each dimension.
    assert kl_by_dimension(full, p) is None
    assert kl_by_dimension(plain, p) is not None


def test_samples_have_the_covariance_and_the_rate() -> None:
    n = 100_000
    mu, log_scale, lower = (p[:1] for p in params(6))
    q = FullNormal(mu, log_scale, lower).expand(n)
    z = q.sample()
    covariance = (q.factor[0] @ q.factor[0].T).numpy()
    direction = torch.tensor([1.0, -2.0, 0.5, 1.0], dtype=torch.float64)
    spread = math.sqrt(float(direction @ torch.from_numpy(covariance) @ direction))
    centred = ((z - q.mean) @ direction / spread).numpy()
    assert stats.kstest(centred, "norm").pvalue > 1e-3
    p = Normal(torch.zeros(1, D).double(), torch.zeros(1, D).double()).expand(n)
    estimate = q.log_prob(z) - p.log_prob(z)
    exact = kl(q, p)
    assert exact is not None
    error = 4 * float(estimate.std()) / math.sqrt(n)
    assert float(estimate.mean()) == pytest.approx(float(exact[0]), abs=error)


def test_temperature_scales_the_noise() -> None:
    q = FullNormal(*params(7))
    assert torch.equal(q.sample(0.0), q.mu)
    found = []
    for temperature in (0.5, 1.0):
        torch.manual_seed(3)
        found.append(q.sample(temperature) - q.mu)
    torch.testing.assert_close(2 * found[0], found[1])


def test_runs_under_vmap_and_is_captured_whole() -> None:
    given = tuple(p.float() for p in params(8))

    def nats(*given: Tensor) -> Tensor:
        q = FullNormal(*given)
        rate = kl(q, Normal(torch.zeros_like(q.mu), torch.zeros_like(q.mu)))
        assert rate is not None
        return q.log_prob(q.sample()) + rate

    stacked = tuple(torch.stack([p, p]) for p in given)
    assert torch.func.vmap(nats, randomness="different")(*stacked).unique().numel() == 2 * B
    captured = torch.compile(nats, backend="aot_eager", fullgraph=True)
    found = []
    for function in (nats, captured):
        torch.manual_seed(6)
        found.append(function(*given))
    torch.testing.assert_close(*found)
