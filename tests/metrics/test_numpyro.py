"""A nonlinear model written again in numpyro: its density, its bounds and its NUTS beside ours.

    z ~ N(0, I) in 2 dimensions,   x|z ~ Bernoulli(decoder(z)),   q(z|x) = N(encoder(x)), an MLP

The weights are the same, and all else is other people's code. numpyro's joint density, integrated
on a grid, gives the evidence that no closed form does.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaelab.core import VAE, Shallow
from vaelab.metrics.annealing import Annealing, anneal
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.hamiltonian import Point, move
from vaelab.metrics.likelihood import elbo_of_each, weigh
from vaelab.metrics.starts import PRIOR
from vaelab.parts.likelihoods import BernoulliLikelihood
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what others warn of on import is not ours to mend
    jax = pytest.importorskip("jax")
    numpyro = pytest.importorskip("numpyro")
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS, RenyiELBO, TraceMeanField_ELBO
    from numpyro.infer.util import log_density

pytestmark = pytest.mark.filterwarnings("ignore")

D, L, N = 12, 2, 5
EDGE, POINTS = 7.0, 141


def made() -> tuple[VAE, Tensor]:
    """A model whose posteriors are bent, with an encoder that knows little, and data of it."""
    decoder = nn.Sequential(nn.Linear(L, 16), nn.Tanh(), nn.Linear(16, D))
    with torch.no_grad():
        decoder[0].weight.mul_(3)
        decoder[2].weight.mul_(6)
    encoder = nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, 2 * L))
    vae = VAE(encoder, Shallow(Standard(L), DiagonalNormal(), decoder, BernoulliLikelihood()))
    with torch.no_grad():
        return vae, vae.sample(N).likelihood.sample()


def as_jax(t: Tensor) -> Any:
    return jax.numpy.asarray(t.detach().numpy())


class Theirs:
    """The same model and guide in numpyro, for one x."""

    def __init__(self, vae: VAE) -> None:
        decoder = vae.generator.decoder
        self.first, self.second = (
            (as_jax(layer.weight), as_jax(layer.bias)) for layer in (decoder[0], decoder[2])
        )

    def logits(self, z: Any) -> Any:
        h = jax.numpy.tanh(z @ self.first[0].T + self.first[1])
        return h @ self.second[0].T + self.second[1]

    def model(self, x: Any, mu: Any = None, sigma: Any = None) -> None:
        z = numpyro.sample("z", dist.Normal(jax.numpy.zeros(L), 1.0).to_event(1))
        numpyro.sample("x", dist.BernoulliLogits(self.logits(z)).to_event(1), obs=x)

    def guide(self, x: Any, mu: Any, sigma: Any) -> None:
        numpyro.sample("z", dist.Normal(mu, sigma).to_event(1))

    def joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) for x (N, D) and z (M, L): (N, M)."""

        def one(x: Any, z: Any) -> Any:
            return log_density(self.model, (x,), {}, {"z": z})[0]

        over_both = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
        return torch.tensor(jax.device_get(over_both(as_jax(x), as_jax(z))))


VAE_, X = made()
THEIRS = Theirs(VAE_)


def posterior() -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        q = VAE_(X).sites[0].posterior
    return q.mean, q.sigma


def test_the_joint_density_is_theirs() -> None:
    z = 2 * torch.randn(50, L)
    theirs = THEIRS.joint(X, z)
    for x, row in zip(X, theirs, strict=True):
        ours = PRIOR.densities(VAE_, x[None], 50)(z).joint.detach()
        torch.testing.assert_close(ours, row, rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 10])
def test_bounds_are_those_of_their_estimators(samples: int) -> None:
    """−ELBO with its closed rate, and the importance-weighted bound, which is Rényi's at α = 0:
    means over 8,000 draws of either, to 4 standard errors of their difference."""
    bound = TraceMeanField_ELBO() if samples == 1 else RenyiELBO(alpha=0, num_particles=samples)
    mu, sigma = posterior()
    many = X[:1].expand(8000, D)
    ours = (
        elbo_of_each(VAE_, [many])["neg_elbo"] if samples == 1 else weigh(VAE_, [many], samples).nll
    )
    given = [as_jax(t[0]) for t in (X, mu, sigma)]
    keys = jax.random.split(jax.random.PRNGKey(0), 8000)
    loss = jax.jit(jax.vmap(lambda key: bound.loss(key, {}, THEIRS.model, THEIRS.guide, *given)))
    a, b = Estimate.mean(ours), Estimate.mean(torch.tensor(jax.device_get(loss(keys))))
    doubt = math.hypot(a.se, b.se)
    assert doubt < 0.2
    assert a.value == pytest.approx(b.value, abs=4 * doubt)


def test_the_evidence_is_the_integral_of_their_density() -> None:
    """By 20,000 draws, and by 256 annealed chains, to a tenth of a nat for every x."""
    torch.manual_seed(0)
    line = torch.linspace(-EDGE, EDGE, POINTS)
    cell = float((line[1] - line[0]).square())
    exact = THEIRS.joint(X, torch.cartesian_prod(line, line)).logsumexp(1) + math.log(cell)
    torch.testing.assert_close(-weigh(VAE_, [X], 20_000).nll, exact, rtol=0, atol=0.1)
    annealed = anneal(VAE_, X, Annealing(60, 256, 5), PRIOR)
    torch.testing.assert_close(annealed.log_p.float(), exact, rtol=0, atol=0.1)


@pytest.mark.slow
def test_hamiltonian_moves_reach_the_posterior_of_nuts() -> None:
    """Means and standard deviations of p(z|x), of 0.3 to 0.7, to 0.06."""
    densities = PRIOR.densities(VAE_, X, 200)
    here = Point.at(densities, torch.randn(200 * N, L))
    steps = torch.full((200 * N, 1), 0.3)
    kept = []
    for t in range(40):
        here, _ = move(densities, here, 1.0, steps, 5)
        if t >= 15:
            kept.append(here.z.unflatten(0, (200, N)))
    ours = torch.cat(kept)

    def all_rows() -> None:
        z = numpyro.sample("z", dist.Normal(jax.numpy.zeros((N, L)), 1.0).to_event(2))
        numpyro.sample("x", dist.BernoulliLogits(THEIRS.logits(z)).to_event(2), obs=as_jax(X))

    nuts = NUTS(all_rows, max_tree_depth=5)
    sampler = MCMC(nuts, num_warmup=300, num_samples=4000, progress_bar=False)
    sampler.run(jax.random.PRNGKey(0))
    theirs = torch.tensor(jax.device_get(sampler.get_samples()["z"]))
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), rtol=0, atol=0.06)
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0, atol=0.06)
