"""Priors that are learned: densities that integrate to one, and samples that agree with them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call

import vaelab.recipes.priors  # noqa: F401  (its functions register themselves)
from vaelab.core import VAE, Conditional, Shallow
from vaelab.data import Batches, Data
from vaelab.data.schema_fields import Column
from vaelab.distributions import Mixture, Normal, kl, take
from vaelab.objectives import Distortion, Rate
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import LearnedNormal, NormalMixture, Standard, Vamp
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe, find


def scattered(module: Conditional) -> Conditional:
    """Its parameters away from where they begin."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p))
    return module


def a_vamp(latent: int = 1, pseudo_inputs: int = 5) -> Vamp:
    encoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2 * latent))
    return Vamp(encoder, DiagonalNormal(), pseudo_inputs, (3,), bounded=True)


ONE_DIMENSIONAL: dict[str, Callable[[], Conditional]] = {
    "learned": lambda: LearnedNormal(1),
    "mixture": lambda: NormalMixture(4, 1),
    "vamp": a_vamp,
}


@torch.no_grad()
def on_a_line(prior: Conditional) -> tuple[Tensor, Tensor]:
    """A fine grid that holds all the mass, and the density there."""
    z = torch.linspace(-40, 40, 80_001, dtype=torch.float64)[:, None]
    return z[:, 0], prior().expand(len(z)).log_prob(z).double().exp()


@torch.no_grad()
@pytest.mark.parametrize("name", ONE_DIMENSIONAL)
def test_the_density_integrates_to_one_and_the_samples_follow_it(name: str) -> None:
    prior = scattered(ONE_DIMENSIONAL[name]())
    z, density = on_a_line(prior)
    assert torch.trapezoid(density, z) == pytest.approx(1, abs=1e-6)
    cdf = torch.cumulative_trapezoid(density, z).numpy()
    drawn = prior().expand(4000).sample()[:, 0].numpy()
    test = stats.kstest(drawn, lambda t: np.interp(t, z[1:].numpy(), cdf))
    assert test.pvalue > 0.01
    # The test has teeth: draws that are a tenth too wide fail it.
    assert stats.kstest(1.2 * drawn, lambda t: np.interp(t, z[1:].numpy(), cdf)).pvalue < 0.01
    mean = float(torch.trapezoid(z * density, z))
    assert float(prior().mean) == pytest.approx(mean, abs=1e-5)


def test_a_mixture_agrees_with_that_of_torch() -> None:
    prior = scattered(NormalMixture(5, 2, 3)).double()
    p = prior().expand(7)
    assert isinstance(p.components, Normal)  # type: ignore[attr-defined]
    components = torch.distributions.Independent(
        torch.distributions.Normal(p.components.mu, p.components.sigma),  # type: ignore[attr-defined]
        2,
    )
    weights = torch.distributions.Categorical(logits=cast(NormalMixture, prior).logits[0])
    other = torch.distributions.MixtureSameFamily(weights, components)
    z = 3 * torch.randn(7, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(z), other.log_prob(z))
    torch.testing.assert_close(p.mean, other.mean.expand(7, 2, 3))


def test_a_mixture_over_far_components_is_finite_and_has_gradients() -> None:
    prior = NormalMixture(3, 2)
    z = torch.full((1, 2), 60.0, requires_grad=True)
    nats = prior().log_prob(z)
    nats.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(nats).all()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in prior.parameters())


def far_apart(K: int) -> Mixture:
    """K components at 0, 10, 20, …, with weights that rise."""
    weights = torch.arange(1.0, K + 1) / (K * (K + 1) / 2)
    return Mixture(weights.log()[None], Normal(10.0 * torch.arange(K)[:, None], torch.zeros(K, 1)))


def counts(z: Tensor, K: int) -> np.ndarray:
    return np.bincount((z[:, 0] / 10).round().long().clamp(0, K - 1).numpy(), minlength=K)


def test_components_are_drawn_at_random_and_by_their_weights() -> None:
    K = 8
    p = far_apart(K)
    expected = 4000 * p.log_weights[0].double().softmax(0).numpy()
    seen = counts(p.expand(4000).sample(), K)
    assert stats.chisquare(seen, expected).pvalue > 0.01
    # Few draws too: the first N components in turn, a known mistake, would never leave them.
    few = sum(counts(p.expand(3).sample(), K) for _ in range(400))
    assert stats.chisquare(few, 1200 * p.log_weights[0].double().softmax(0).numpy()).pvalue > 0.01
    first = counts(take(p.components, torch.arange(3)).sample().repeat(400, 1), K)
    assert first[3:].sum() == 0
    # Temperature is that of the components, at 0 their centres; which one remains a draw.
    cold = p.expand(4000).sample(temperature=0.0)
    assert torch.equal(cold, cold.round())
    assert stats.chisquare(counts(cold, K), expected).pvalue > 0.01


def test_a_prior_of_batch_one_is_expanded() -> None:
    for make in ONE_DIMENSIONAL.values():
        prior = scattered(make())
        z = torch.randn(6, 1)
        whole = prior().expand(6).log_prob(z)
        alone = torch.cat([prior().log_prob(row[None]) for row in z])
        torch.testing.assert_close(whole, alone)
        assert prior().expand(6).expand(6).sample().shape == (6, 1)
        assert prior().expand(6).mean.shape == (6, 1)


def test_where_the_rate_has_a_closed_form() -> None:
    q = Normal(torch.randn(4, 2), torch.randn(4, 2))
    learned = scattered(LearnedNormal(2))()
    assert kl(q, learned) is not None
    assert kl(q, NormalMixture(3, 2)()) is None
    # One component is a normal: the estimate must agree with the closed form on average.
    mixture = Mixture(torch.zeros(1, 1), learned)
    many = Normal(q.mu.repeat(20_000, 1), q.log_sigma.repeat(20_000, 1))
    z = many.sample()
    estimate = many.log_prob(z) - mixture.expand(len(z)).log_prob(z)
    exact = kl(q, learned)
    assert exact is not None
    torch.testing.assert_close(
        estimate.view(-1, 4).mean(0).detach(), exact.detach(), rtol=0.05, atol=0.05
    )


# In a model.

RECIPES = {
    "learned_prior": {},
    "mixture_prior": {"clusters": 5},
    "vamp": {"pseudo_inputs": 7},
    "flow_prior": {"layers": 2, "flow_width": 8},
}


def build(data: Data, name: str, seed: int = 0) -> Recipe:
    return find(name)(data.spec, latent=3, design=Design(width=8, seed=seed), **RECIPES[name])


def first(data: Data, recipe: Recipe, n: int = 6) -> Tensor:
    return next(Batches(data.train.x, recipe.data).fixed(n, 0))


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_says_whether_it_is_estimated(digits: Data, name: str) -> None:
    recipe = build(digits, name)
    x = first(digits, recipe)
    loss = recipe.objective(recipe.model(x), x)
    assert loss.estimated == (frozenset() if name == "learned_prior" else {"rate"})


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_comes_to_count(digits: Data, name: str) -> None:
    """Its weight is 0 when training begins, and β from the half of it on."""
    recipe = find(name)(digits.spec, latent=3, beta=2.0, design=Design(width=8), **RECIPES[name])
    x = first(digits, recipe)
    for progress, weight in ((0.0, 0.0), (0.25, 1.0), (0.5, 2.0), (1.0, 2.0)):
        for key, buffer in recipe.objective.named_buffers():
            if key.endswith("progress"):
                buffer.fill_(progress)
        loss = recipe.objective(recipe.model(x), x)
        expected = loss.parts["distortion"] + weight * loss.parts["rate"]
        torch.testing.assert_close(loss.total, expected)
    with pytest.raises(ValueError, match="beta is -1"):
        find(name)(digits.spec, beta=-1)


@pytest.mark.parametrize("name", RECIPES)
def test_weights_are_kept_once_and_come_back(digits: Data, name: str) -> None:
    recipe, other = build(digits, name), build(digits, name, seed=1)
    x = first(digits, recipe)
    other.model.load_state_dict(load(save(recipe.model.state_dict())))  # refuses shared tensors
    for draw in (lambda m: m(x, temperature=0.0), lambda m: m.sample(5)):
        torch.manual_seed(3)
        ours = draw(recipe.model)
        torch.manual_seed(3)
        theirs = draw(other.model)
        for a, b in zip(ours.sites, theirs.sites, strict=True):
            assert torch.equal(a.z, b.z)
            assert torch.equal(a.prior.log_prob(a.z), b.prior.log_prob(b.z))


def parts(model: VAE) -> tuple[Vamp, nn.Module]:
    generator = cast(Shallow, model.generator)
    return cast(Vamp, generator.prior), generator.posterior


def test_a_copy_of_a_vamp_refers_to_itself(digits: Data) -> None:
    model = build(digits, "vamp").model
    assert not any("inference" in key for key in model.state_dict())
    twin = copy.deepcopy(model)
    prior, posterior = parts(twin)
    assert prior.inference == (twin.encoder, posterior)
    assert prior.inference[0] is not model.encoder
    before = twin.generator(_draw())
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    torch.testing.assert_close(twin.generator(_draw()).mean, before.mean)


def _draw() -> object:
    from vaelab.core import FromPrior

    torch.manual_seed(0)
    return FromPrior(4)


@pytest.mark.parametrize("name", RECIPES)
def test_a_walk_with_other_weights_is_judged_with_them(digits: Data, name: str) -> None:
    """As in a population: the weights are there on the walk, and gone when it is judged."""
    recipe, other = build(digits, name), build(digits, name, seed=1)
    x = first(digits, recipe)
    objective = Distortion() + Rate()
    torch.manual_seed(3)
    trace = functional_call(recipe.model, dict(other.model.state_dict()), (x,))
    found = objective(trace, x).total
    torch.manual_seed(3)
    torch.testing.assert_close(found, objective(other.model(x), x).total)
    torch.manual_seed(3)
    assert not torch.allclose(found, objective(recipe.model(x), x).total)


def test_the_density_of_a_vamp_reaches_the_encoder_and_the_pseudo_inputs(digits: Data) -> None:
    model = build(digits, "vamp").model
    prior, _ = parts(model)
    prior().expand(5).log_prob(torch.randn(5, 3)).sum().backward()  # type: ignore[no-untyped-call]
    reached = {key for key, p in model.named_parameters() if p.grad is not None}
    assert reached == {k for k, _ in model.named_parameters() if "encoder" in k or "raw" in k}
    assert all(float(p.grad.abs().sum()) > 0 for p in model.parameters() if p.grad is not None)


def test_a_vamp_is_the_mixture_of_its_posteriors() -> None:
    vamp = a_vamp(latent=2, pseudo_inputs=6)
    encoder, posterior = vamp.inference
    z = torch.randn(4, 2)
    each = torch.stack(
        [posterior(encoder(u[None])).expand(4).log_prob(z) for u in vamp.pseudo_inputs]
    )
    torch.testing.assert_close(vamp().expand(4).log_prob(z), each.exp().mean(0).log())


def test_pseudo_inputs_lie_where_the_data_do(digits: Data) -> None:
    inside = parts(build(digits, "vamp").model)[0].pseudo_inputs.detach()
    assert inside.shape == (7, 1, 8, 8)
    assert 0 < float(inside.min()) < 0.4 < 0.6 < float(inside.max()) < 1
    anywhere = Vamp(nn.Linear(3, 2), DiagonalNormal(), 50, (3,), bounded=False).pseudo_inputs
    assert float(anywhere.detach().min()) < -1


def test_what_makes_no_sense_is_refused(digits: Data) -> None:
    with pytest.raises(ValueError, match="clusters is 0"):
        find("mixture_prior")(digits.spec, clusters=0)
    with pytest.raises(ValueError, match="pseudo_inputs is 0"):
        find("vamp")(digits.spec, pseudo_inputs=0)
    table = replace(
        digits.spec,
        shape=(2,),
        dtype="float32",
        levels=None,
        offset=(0.0,),
        scale=(1.0,),
        columns=(Column("counts"),),
    )
    with pytest.raises(ValueError, match=r"counts and categories.*mixture_prior"):
        find("vamp")(table)
    points = Vamp(nn.Linear(3, 2), Point(), 5, (3,), bounded=False)
    with pytest.raises(TypeError, match="has no density"):
        points().log_prob(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="a flow of a single number is just a normal"):
        find("flow_prior")(digits.spec, latent=1)
    with pytest.raises(ValueError, match="layers is 0"):
        find("flow_prior")(digits.spec, layers=0)


def test_the_standard_normal_is_where_the_learned_one_begins() -> None:
    z = torch.randn(5, 2, 3)
    begun, fixed = LearnedNormal(2, 3)().expand(5), Standard(2, 3)().expand(5)
    torch.testing.assert_close(begun.log_prob(z), fixed.log_prob(z))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_step_compiles_whole(digits: Data, name: str, backend: str) -> None:
    recipe = build(digits, name)
    x = first(digits, recipe)

    def step() -> Tensor:
        return recipe.objective(recipe.model(x), x).mean

    options = {"fallback_random": True} if backend == "inductor" else None
    compiled = torch.compile(step, fullgraph=True, backend=backend, options=options)
    found = []
    for function in (step, compiled):
        recipe.model.zero_grad()
        torch.manual_seed(2)
        function().backward()
        found.append({key: p.grad for key, p in recipe.model.named_parameters()})
    torch._dynamo.reset()  # type: ignore[no-untyped-call]
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient, rtol=1e-3, atol=1e-5)
