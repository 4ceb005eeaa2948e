r"""Models whose evidence is known exactly: every bound must agree with it.

Shallow:   z ~ N(0, I)                          x|z ~ N(W z + b, σ² I)
           log p(x) = log N(x; b, W Wᵀ + σ² I),  z|x ~ N(M⁻¹ Wᵀ(x − b)/σ², M⁻¹),  M = I + WᵀW/σ²
Two-level: z₁ ~ N(0, I), z₂|z₁ ~ N(A z₁, s² I), x|z₂ ~ N(W z₂, σ² I)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from vaelab.core import VAE, Conditional, Evidence, Ladder, Shallow
from vaelab.data import Data, DataSpec, Split
from vaelab.distributions import Distribution, Normal
from vaelab.metrics.likelihood import elbo, importance_weighted
from vaelab.objectives import Distortion, Rate, log_mean_exp
from vaelab.parts.likelihoods import FixedGaussian, LearnedGaussian
from vaelab.parts.posteriors import LOG_SCALE_BOUND, DiagonalNormal
from vaelab.parts.priors import Standard
from vaelab.training import Plan, fit

D, L1, L2 = 6, 2, 3
SIGMA, S = 0.6, 0.5


def matrix(seed: int, rows: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


W, A, BIAS = matrix(1, D, L2), matrix(2, L2, L1), matrix(3, 1, D)[0]
X = 2 * matrix(4, 300, D)


@dataclass(frozen=True, eq=False)
class FullNormal(Distribution):
    """N(mu, R Rᵀ): `mu` is (B, L), `root` the lower triangular R as (1, L, L)."""

    mu: Tensor
    root: Tensor

    @property
    def mean(self) -> Tensor:
        return self.mu

    def _torch(self) -> torch.distributions.MultivariateNormal:
        return torch.distributions.MultivariateNormal(self.mu, scale_tril=self.root)

    def log_prob(self, x: Tensor) -> Tensor:
        return self._torch().log_prob(x)

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.mu + temperature * (self.root @ torch.randn_like(self.mu)[..., None])[..., 0]


def regressed(
    prior_mu: Tensor, prior_cov: Tensor, M: Tensor, noise: Tensor, y: Tensor
) -> FullNormal:
    """The posterior of z ~ N(prior_mu, prior_cov) after y = M z + N(0, noise)."""
    gain = prior_cov @ M.T @ torch.linalg.inv(M @ prior_cov @ M.T + noise)
    cov = prior_cov - gain @ M @ prior_cov
    mu = prior_mu + (y - prior_mu @ M.T) @ gain.T
    return FullNormal(mu, torch.linalg.cholesky((cov + cov.T) / 2)[None])


def eye(n: int, scale: float = 1.0) -> Tensor:
    return scale * torch.eye(n, dtype=torch.float64)


class ExactPosterior(Conditional):
    def forward(self, *given: Tensor) -> FullNormal:
        x = given[0]
        return regressed(torch.zeros(len(x), L2).double(), eye(L2), W, eye(D, SIGMA**2), x - BIAS)


def sigma_of(likelihood: FixedGaussian) -> float:
    return float(likelihood.log_sigma.double().exp())


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return layer


class Gaussian(FixedGaussian):
    """The library's own, with its σ kept to float64: the oracle is exact to 1e-10."""

    def __init__(self, sigma: float) -> None:
        super().__init__(sigma)
        self.log_sigma = torch.tensor(math.log(sigma), dtype=torch.float64)


def shallow(posterior: Conditional, encoder: nn.Module) -> VAE:
    prior = Standard(L2).double()
    program = Shallow(prior, posterior, linear(W, BIAS), Gaussian(SIGMA))
    return VAE(encoder, program).requires_grad_(False)


class Top(nn.Module):
    """z₁ ~ N(0, I); below it the state is A z₁. The evidence is (x, 3x): a tensor a level."""

    def prior(self, h: Tensor) -> Distribution:
        return Normal(torch.zeros(len(h), L1).double(), torch.zeros(len(h), L1).double())

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        noise = S**2 * W @ W.T + eye(D, SIGMA**2)
        x = evidence[0]
        return regressed(torch.zeros(len(x), L1).double(), eye(L1), W @ A, noise, x)

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return z @ A.T


class Bottom(nn.Module):
    """z₂|z₁ ~ N(A z₁, s² I)."""

    def prior(self, h: Tensor) -> Distribution:
        return Normal(h, torch.full_like(h, math.log(S)))

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        return regressed(h, eye(L2, S**2), W, eye(D, SIGMA**2), evidence[1] / 3)

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return z


class Blurred(nn.Module):
    """A level with its posterior shifted and widened: a wrong one, on purpose."""

    def __init__(self, level: nn.Module) -> None:
        super().__init__()
        self.level, self.prior, self.merge = level, level.prior, level.merge

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        q = self.level.posterior(h, evidence)
        return FullNormal(q.mu + 0.2, 1.4 * q.root)


class Each(nn.Module):
    """Evidence of a hierarchy: one tensor for each level, and no two alike."""

    def forward(self, x: Tensor) -> Evidence:
        return x, 3 * x


class Nothing(nn.Module):
    def forward(self, n: int) -> Tensor:
        return torch.zeros(n, 1, dtype=torch.float64)


def two_level(*blocks: nn.Module) -> VAE:
    program = Ladder(Nothing(), blocks, linear(W), Gaussian(SIGMA))
    return VAE(Each(), program).requires_grad_(False)


def log_evidence(covariance: Tensor, mean: Tensor) -> Tensor:
    return torch.from_numpy(multivariate_normal(mean.numpy(), covariance.numpy()).logpdf(X.numpy()))


SHALLOW_EVIDENCE = log_evidence(W @ W.T + eye(D, SIGMA**2), BIAS)
LADDER_EVIDENCE = log_evidence(
    W @ (A @ A.T + eye(L2, S**2)) @ W.T + eye(D, SIGMA**2), torch.zeros(D).double()
)


class WrongPosterior(Conditional):
    def forward(self, *given: Tensor) -> FullNormal:
        q = ExactPosterior()(*given)
        return FullNormal(q.mu + 0.2, 1.4 * q.root)


# name: the exact model, the same with a wrong posterior, log p(x)
MODELS = {
    "shallow": (
        shallow(ExactPosterior(), nn.Identity()),
        shallow(WrongPosterior(), nn.Identity()),
        SHALLOW_EVIDENCE,
    ),
    "two-level": (
        two_level(Top(), Bottom()),
        two_level(Blurred(Top()), Blurred(Bottom())),
        LADDER_EVIDENCE,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_log_weight_at_the_exact_posterior_is_the_evidence(name: str) -> None:
    exact, _, evidence = MODELS[name]
    log_w = exact(X, 7).log_weights(X)
    assert float((log_w - evidence).abs().max()) < 1e-10


@pytest.mark.parametrize("name", MODELS)
def test_bounds_rise_with_the_samples_and_stay_below_the_evidence(name: str) -> None:
    _, wrong, evidence = MODELS[name]
    gaps = {}
    for K in (1, 4, 16, 64, 256):
        log_w = wrong(X, K).log_weights(X)
        gaps[K] = (evidence - log_mean_exp(log_w)).mean(), (evidence - log_mean_exp(log_w)).std()
    values = [float(gap) for gap, _ in gaps.values()]
    assert all(a > 1.3 * b for a, b in pairwise(values)), values
    assert values[0] > 0.2  # the wrong posterior costs something
    assert values[-1] < 0.05  # and samples repair it
    last, spread = gaps[256]
    assert float(last) > -4 * float(spread) / math.sqrt(len(X))


@pytest.mark.parametrize("name", MODELS)
def test_elbo_and_importance_weighted_figures(name: str) -> None:
    exact, wrong, evidence = MODELS[name]
    nll = -float(evidence.mean())
    found = elbo(exact, X.split(128))
    assert found["neg_elbo"].n == len(X)
    assert importance_weighted(exact, X.split(128), 3).value == pytest.approx(nll, abs=1e-10)
    se = float(evidence.std()) / math.sqrt(len(X))
    assert importance_weighted(exact, X.split(128), 3).se == pytest.approx(se, rel=1e-9)
    loose = elbo(wrong, X.split(128), samples=50)["neg_elbo"].value
    tight = importance_weighted(wrong, X.split(128), 1000).value
    assert tight == pytest.approx(nll, abs=0.02)
    assert loose > tight + 0.2


def test_the_gap_of_the_elbo_is_the_kl_to_the_exact_posterior() -> None:
    _, wrong, evidence = MODELS["shallow"]
    trace = wrong(X, 400)
    gap = evidence - trace.log_weights(X).mean(0)
    exact, other = ExactPosterior()(X), WrongPosterior()(X)
    kl = torch.distributions.kl_divergence(other._torch(), exact._torch())
    se = float(gap.std()) / math.sqrt(len(X))
    assert float(gap.mean()) == pytest.approx(float(kl.mean()), abs=4 * se)


def test_the_librarys_own_posterior_is_exact_where_the_posterior_is_diagonal() -> None:
    # Orthogonal columns make the posterior diagonal, so that DiagonalNormal can be it.
    q, _ = torch.linalg.qr(W)
    columns = q * torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    precision = 1 + (columns**2).sum(0) / SIGMA**2
    log_sigma = -0.5 * precision.log()
    raw = LOG_SCALE_BOUND * torch.atanh(log_sigma / LOG_SCALE_BOUND)
    to_mu = (columns / SIGMA**2 / precision).T
    encoder = linear(torch.cat([to_mu, torch.zeros_like(to_mu)]), torch.cat([-to_mu @ BIAS, raw]))
    likelihood = Gaussian(SIGMA)
    vae = VAE(
        encoder,
        Shallow(Standard(L2).double(), DiagonalNormal(), linear(columns, BIAS), likelihood),
    ).requires_grad_(False)
    evidence = log_evidence(columns @ columns.T + eye(D, SIGMA**2), BIAS)
    assert float((vae(X, 5).log_weights(X) - evidence).abs().max()) < 1e-10
    # Here the closed-form rate is exact too: the ELBO is the evidence on average over z.
    found = elbo(vae, [X], samples=2000)
    assert found["neg_elbo"].value == pytest.approx(-float(evidence.mean()), abs=0.01)


def test_samples_of_a_walk_have_the_models_moments() -> None:
    exact, _, _ = MODELS["two-level"]
    with torch.no_grad():
        x = exact.sample(100_000).likelihood.sample()
    covariance = W @ (A @ A.T + eye(L2, S**2)) @ W.T + eye(D, SIGMA**2)
    scale = float(covariance.diagonal().max())
    assert float((torch.cov(x.T) - covariance).abs().max()) < 0.03 * scale


def test_a_trained_linear_vae_reaches_probabilistic_pca(digits: Data) -> None:
    """Lucas et al. 1911.02469: its optimum is probabilistic PCA's, σ learned and all."""
    from sklearn.decomposition import PCA

    K = 10
    everything = torch.cat([digits.train.x, digits.valid.x, digits.test.x]).flatten(1).double()
    centre, scale = everything[:1400].mean(), everything[:1400].std()
    rows = ((everything - centre) / scale).float()
    train, held = rows[:1400], rows[1400:]
    dims = rows.shape[1]
    spec = DataSpec("array", (dims,), "float32", None, -5.0, 5.0, (0.0,), (1.0,))
    data = Data(spec, Split(train, None), Split(train[:500], None), Split(held, None))
    expected = PCA(K).fit(train.double().numpy()).score(held.double().numpy())

    torch.manual_seed(0)
    likelihood = LearnedGaussian()
    decoder = nn.Linear(K, dims)
    vae = VAE(nn.Linear(dims, 2 * K), Shallow(Standard(K), DiagonalNormal(), decoder, likelihood))
    plan = Plan(epochs=150, batch_size=100, lr=2e-2, weight_decay=0.0, clip=1e6, warmup_share=0.05)
    fit(vae, Distortion() + Rate(), data, spec, plan)

    weight, bias = decoder.weight.detach().double(), decoder.bias.detach().double()
    sigma = likelihood(bias.float()[None]).sigma[0, 0].double()
    covariance = weight @ weight.T + torch.eye(dims) * sigma**2
    reached = multivariate_normal(bias.numpy(), covariance.detach().numpy()).logpdf(
        held.double().numpy()
    )
    assert float(np.mean(reached)) == pytest.approx(expected, abs=0.1)
    # The bound at the trained model agrees with its closed form as well.
    with torch.no_grad():
        bound = importance_weighted(vae, [held], 500).value
    assert bound == pytest.approx(-float(np.mean(reached)), abs=0.1)
