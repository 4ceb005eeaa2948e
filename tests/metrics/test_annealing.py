"""Annealing where the evidence is known: exactly unbiased, close, and a sandwich that holds it."""

from __future__ import annotations

import math

import pytest
import torch
from linear_gaussian import BIAS, EVIDENCE, L, Posterior, data, model
from torch import Tensor, nn

from vaelab.core import VAE, Conditional, Ladder, Shallow
from vaelab.distributions import Bernoulli, Categorical, Distribution, Normal
from vaelab.metrics import annealing
from vaelab.metrics.annealing import Annealing, anneal, sandwich
from vaelab.metrics.continuous import check_continuous
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.hamiltonian import Densities, Point, move
from vaelab.metrics.starts import POSTERIOR, PRIOR
from vaelab.nets import MLPPyramid
from vaelab.objectives import Constant
from vaelab.parts import posteriors
from vaelab.parts.discrete import UniformConcrete
from vaelab.parts.ladder import DenseBlock, Root
from vaelab.parts.likelihoods import BernoulliLikelihood, FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard

STARTS = {"prior": PRIOR, "posterior": POSTERIOR}


@pytest.mark.parametrize("start", STARTS)
def test_weights_are_unbiased_however_few_the_steps(start: str) -> None:
    """E w = p(x) forward, and E 1/w = 1/p(x) backward from exact draws: no step is small enough
    to hide a mistake in either."""
    vae, how = model(), Annealing(steps=4, chains=1, leapfrogs=2)
    x = (BIAS + 0.6).expand(6000, -1)
    exact = float(EVIDENCE.log_prob(x[0]))
    found = anneal(vae, x, how, STARTS[start])
    ratio = Estimate.mean(torch.exp(found.log_p - exact))
    assert ratio.value == pytest.approx(1, abs=4 * ratio.se)
    assert ratio.se < 0.1
    assert (found.ess == 1).all()

    both = sandwich(vae, 6000, how, STARTS[start])
    assert both.gap.value > 5 * both.gap.se
    z = Posterior(0.0, 1.0)(x).sample()
    back = annealing._chains(vae, x, z, how, STARTS[start])
    ratio = Estimate.mean(torch.exp(exact - back.log_p))
    assert ratio.value == pytest.approx(1, abs=4 * ratio.se)
    assert ratio.se < 0.1


class Shifted(nn.Module):
    """net(x − c V) for an encoder, net(z) + c V for a decoder: the linear model, moved by c."""

    def __init__(self, net: nn.Module, before: bool) -> None:
        super().__init__()
        self.net, self.before = net, before

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.net(x - c @ MOVES) if self.before else self.net(x) + c @ MOVES


class Ignorant(Posterior):
    """As it is without a condition: the encoder has done with it."""

    def forward(self, *given: Tensor) -> Normal:
        return super().forward(given[0])


MOVES = torch.tensor([[3.0, 0, -2, 1, 0], [0, 5, 0, 0, -1]], dtype=torch.float64)


@pytest.mark.parametrize("start", STARTS)
def test_of_a_conditional_model_it_is_the_likelihood_given_what_is_known(start: str) -> None:
    vae = model(Ignorant())
    vae.encoder = Shifted(vae.encoder, True)
    vae.generator.decoder = Shifted(vae.generator.decoder, False)
    c = torch.eye(2, dtype=torch.float64)[torch.arange(20) % 2]
    x = data(20) + c @ MOVES
    exact, how = EVIDENCE.log_prob(x - c @ MOVES), Annealing(steps=40, chains=8, leapfrogs=4)
    found = anneal(vae, x, how, STARTS[start], condition=(c,))
    assert float((found.log_p - exact).abs().max()) < 1.5
    assert Estimate.mean(found.log_p - exact).value == pytest.approx(0, abs=0.2)
    both = sandwich(vae, 20, how, STARTS[start], condition=(c,))
    assert both.gap.value == pytest.approx(0, abs=0.3)
    coarse = Annealing(steps=4, chains=2, leapfrogs=2)
    swapped = anneal(vae, x, coarse, STARTS[start], condition=(c.flip(1),))
    assert (swapped.log_p < exact - 5).all()


@pytest.mark.parametrize("start", STARTS)
def test_it_agrees_with_the_exact_likelihood(start: str) -> None:
    x = data(60)
    exact = EVIDENCE.log_prob(x)
    found = anneal(model(), x, Annealing(steps=100, chains=8, leapfrogs=4), STARTS[start])
    off = Estimate.mean(found.log_p - exact)
    assert off.value == pytest.approx(0, abs=4 * off.se)
    assert off.se < 0.05
    # Example by example and in order, whatever the parts.
    assert float((found.log_p - exact).abs().max()) < 1.0
    assert found.nll.value == pytest.approx(-float(found.log_p.mean()))
    assert 0.5 < found.acceptance < 0.9


@pytest.mark.parametrize("start", STARTS)
def test_the_sandwich_contains_the_truth_and_closes(start: str, monkeypatch) -> None:
    vae, simulated = model(), []
    forward = annealing._in_parts
    monkeypatch.setattr(
        annealing, "_in_parts", lambda m, x, *rest: simulated.append(x) or forward(m, x, *rest)
    )
    gaps = []
    for steps in (10, 60):
        simulated.clear()
        both = sandwich(vae, 60, Annealing(steps, 4, 4), STARTS[start])
        exact = EVIDENCE.log_prob(simulated[0])
        assert torch.equal(simulated[0], simulated[1])
        below = Estimate.mean(exact - both.lower.log_p)
        above = Estimate.mean(both.upper.log_p - exact)
        assert below.value > -3 * below.se
        assert above.value > -3 * above.se
        assert both.gap.value == pytest.approx(below.value + above.value)
        gaps.append(both.gap)
    assert gaps[1].value < gaps[0].value
    assert gaps[1].value < 0.6


def test_more_steps_and_a_better_start_are_tighter() -> None:
    x = data(100)
    exact = EVIDENCE.log_prob(x)
    gap = {
        (steps, name): float(
            (exact - anneal(model(), x, Annealing(steps, 2, 3), start).log_p).mean()
        )
        for name, start in STARTS.items()
        for steps in (8, 80)
    }
    assert gap[80, "prior"] < 0.5 * gap[8, "prior"]
    assert gap[8, "posterior"] < 0.3 * gap[8, "prior"]


def test_a_move_leaves_its_density_as_it_is() -> None:
    """From exact draws of N(1, 2²) long moves give draws of N(1, 2²); β = ½ mixes two normals."""

    def densities(z: Tensor) -> Densities:
        wide = torch.distributions.Normal(1.0, 2.0).log_prob(z).sum(1)
        return Densities(wide, torch.distributions.Normal(3.0, 2.0).log_prob(z).sum(1))

    z = 2 + 2 * torch.randn(40_000, 1, dtype=torch.float64)  # N(2, 2²) is √(N(1, 2²) N(3, 2²))
    here = Point.at(densities, z)
    for _ in range(3):
        here, rate = move(densities, here, 0.5, torch.tensor([[2.0]]), 4)
    assert 0.5 < float(rate.mean()) < 0.99
    assert float((here.z - z).abs().mean()) > 0.5
    assert float(here.z.mean()) == pytest.approx(2, abs=0.05)
    assert float(here.z.std()) == pytest.approx(2, abs=0.04)
    torch.testing.assert_close(here.log_ratio, densities(here.z).joint - densities(here.z).start)


def test_a_move_that_diverges_stays() -> None:
    def densities(z: Tensor) -> Densities:
        return Densities((-(z**4)).sum(1), (-(z**4)).sum(1))

    here = Point.at(densities, torch.ones(50, 1))
    there, rate = move(densities, here, 1.0, torch.tensor([[1e6]]), 5)
    assert float(rate.max()) == 0
    assert torch.equal(there.z, here.z)


def test_a_hierarchy_agrees_with_plain_monte_carlo() -> None:
    torch.manual_seed(3)
    program = Ladder(
        Root(6), [DenseBlock(1, 6, 0), DenseBlock(2, 6, 1)], nn.Linear(6, 7), BernoulliLikelihood()
    )
    vae = VAE(MLPPyramid((7,), 6, 2), program)
    x = (torch.rand(12, 7) > 0.5).float()
    with torch.no_grad():
        logits = vae.sample(40_000).likelihood.logits
        log_p = torch.stack([Bernoulli(logits).log_prob(one).logsumexp(0) for one in x])
    exact = log_p - math.log(40_000)
    near = anneal(vae, x, Annealing(40, 8, 3), PRIOR).log_p - exact
    assert float(near.abs().max()) < 0.1
    # An untrained encoder is a poor start: the same figure, with more noise.
    off = Estimate.mean(anneal(vae, x, Annealing(40, 8, 3), POSTERIOR).log_p - exact)
    assert off.value == pytest.approx(0, abs=4 * off.se)
    assert off.se < 0.1


def test_parts_gradients_and_random_state_are_left_as_they_were(monkeypatch) -> None:
    vae, x = model(), data(7)
    vae.generator.decoder.bias.requires_grad_(False)
    wanted = [p.requires_grad for p in vae.parameters()]
    told: list[int] = []
    monkeypatch.setattr(annealing, "rows_at_once", lambda x: 6)
    found = anneal(vae, x, Annealing(3, 2, 1), on_rows=told.append)
    assert told == [3, 6, 7]
    assert found.log_p.shape == found.ess.shape == (7,)
    assert [p.requires_grad for p in vae.parameters()] == wanted
    assert all(p.grad is None for p in vae.parameters())
    before = torch.random.get_rng_state()
    check_continuous(vae)
    assert torch.equal(before, torch.random.get_rng_state())


class Prior(Conditional):
    def __init__(self, given: Distribution) -> None:
        super().__init__()
        self.given = given

    def forward(self, *given: Tensor) -> Distribution:
        return self.given


class Simplex(Prior):
    """A relaxed one-hot: real numbers, but not free ones."""

    class Softmaxed(Categorical):
        def sample(self, temperature: float = 1.0) -> Tensor:
            return torch.softmax(self.logits + torch.randn_like(self.logits), -1)

        def log_prob(self, x: Tensor) -> Tensor:
            return (self.logits * x.log()).sum(-1).flatten(1).sum(1)

    def __init__(self) -> None:
        super().__init__(Simplex.Softmaxed(torch.zeros(1, 4, 3)))


@pytest.mark.parametrize(
    "prior",
    [
        *(Prior(Bernoulli(torch.zeros(1, 4))), Prior(Categorical(torch.zeros(1, 4, 3))), Simplex()),
        UniformConcrete(2, 10, Constant(0.5)),
    ],
)
def test_latents_that_are_not_free_numbers_are_refused(prior: Conditional) -> None:
    decoder = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
    decoder(prior().sample().flatten(1))
    vae = VAE(nn.Identity(), Shallow(prior, DiagonalNormal(), decoder, FixedGaussian()))
    for use in (lambda: anneal(vae, torch.zeros(2, 5)), lambda: sandwich(vae, 2)):
        with pytest.raises(TypeError, match="not free to move over real numbers"):
            use()


def test_a_point_has_no_density_to_start_from() -> None:
    vae = VAE(
        nn.Linear(5, L), Shallow(Standard(L), posteriors.Point(), nn.Linear(L, 5), FixedGaussian())
    )
    x = torch.randn(3, 5)
    with pytest.raises(TypeError, match="no density"):
        anneal(vae, x, Annealing(2, 1, 1))
    assert anneal(vae, x, Annealing(2, 1, 1), PRIOR).log_p.isfinite().all()


@pytest.mark.parametrize("name", ["steps", "chains", "leapfrogs"])
def test_nothing_is_annealed_without_steps(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0"):
        Annealing(**{name: 0})


def test_the_schedule_runs_from_start_to_posterior() -> None:
    betas = Annealing(steps=10).betas
    assert (float(betas[0]), float(betas[-1]), len(betas)) == (0.0, 1.0, 11)
    assert (betas.diff() > 0).all()
    assert math.isclose(float(betas[5]), 0.5)
