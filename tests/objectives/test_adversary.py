"""Terms with a critic: what it estimates, what it learns, and what its loss must not reach."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn

import vaelab.recipes.adversarial  # noqa: F401  (its functions register themselves)
from vaelab.core import VAE, Conditional, Draw, Ladder, Shallow, Site, Trace
from vaelab.data import Batches, Data
from vaelab.data import load as load_data
from vaelab.distributions import Dirac, Distribution, Normal
from vaelab.nets import perceptron
from vaelab.objectives import Distortion, Objective, Rate
from vaelab.objectives.adversary import (
    Critic,
    CriticFeatures,
    CriticPriorMatch,
    CriticTotalCorrelation,
    logistic_loss,
    permuted,
)
from vaelab.parts.ladder import DenseBlock, Root
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import Standard
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe, find
from vaelab.training import Plan, fit

NAMES = ("factor_vae", "wae_gan", "vae_gan")
D, L = 5, 3


def model(posterior: Conditional | None = None) -> VAE:
    posterior = posterior or DiagonalNormal()
    outputs = L if isinstance(posterior, Point) else 2 * L
    decoder = perceptron([L, 8, D])
    return VAE(nn.Linear(D, outputs), Shallow(Standard(L), posterior, decoder, FixedGaussian()))


def objectives(vae: VAE) -> dict[str, Objective]:
    critic = Critic(perceptron([D, 16, 8]), 8)
    return {
        "total correlation": CriticTotalCorrelation(perceptron([L, 16, 1])),
        "prior": CriticPriorMatch(perceptron([L, 16, 1])),
        "features": CriticFeatures(critic, lambda draw: vae.generator(draw), 2.0),
    }


TERMS = tuple(objectives(model()))


def gradients(nats: Tensor, module: nn.Module, keep: bool = True) -> dict[str, Tensor | None]:
    names, parameters = zip(*module.named_parameters(), strict=True)
    found = torch.autograd.grad(nats.mean(), parameters, retain_graph=keep, allow_unused=True)
    return dict(zip(names, found, strict=True))


def reached(nats: Tensor, module: nn.Module) -> set[str]:
    """The parameters that a loss reaches."""
    return {k for k, g in gradients(nats, module).items() if g is not None and bool(g.any())}


def train(
    vae: VAE, objective: Objective, rows: Callable[[], Tensor], steps: int, lr: float
) -> Tensor:
    """Both sides in turn, each by its own gradient, as `fit` does it."""
    # The critic has the faster pace; both slow down, or they would circle each other for ever.
    paces = (lr, 3 * lr)
    sides = [
        torch.optim.Adam(m.parameters(), pace, (0.5, 0.99))
        for m, pace in zip((vae, objective), paces, strict=True)
    ]
    for step in range(steps):
        for side, pace in zip(sides, paces, strict=True):
            side.param_groups[0]["lr"] = pace * (1 - step / steps)
        x = rows()
        trace = vae(x, objective.samples)
        for side, module, loss in zip(
            sides,
            (vae, objective),
            (objective(trace, x), objective.critic_loss(trace, x)),
            strict=True,
        ):
            assert loss is not None
            for p, g in zip(
                module.parameters(), gradients(loss.total, module).values(), strict=True
            ):
                p.grad = g
            side.step()
        with torch.no_grad():
            objective.update_buffers(trace, x)
    return loss.total


@pytest.mark.parametrize("name", TERMS)
def test_each_side_learns_by_its_own_loss_alone(name: str) -> None:
    """The critic's loss stops at the codes; the model's goes through the critic to the model."""
    vae, x = model(), torch.randn(16, D)
    objective = objectives(vae)[name]
    trace = vae(x)
    against = objective.critic_loss(trace, x)
    assert against is not None
    assert reached(against.total, vae) == set()
    assert reached(against.total, objective) == {k for k, _ in objective.named_parameters()}
    encoder = {"encoder.weight", "encoder.bias"}
    assert encoder <= reached(objective(trace, x).total, vae)
    assert not objective.monitorable


def test_a_critic_that_is_fed_codes_with_their_past_is_found_out() -> None:
    """A known error elsewhere: the critic's loss is taken of z itself, and trains the encoder."""
    vae, x = model(), torch.randn(16, D)
    objective = CriticTotalCorrelation(perceptron([L, 16, 1]))
    z = vae(x).latents[0]
    wrong = logistic_loss(objective.critic(z).flatten(), objective.critic(permuted(z)).flatten())
    assert reached(wrong, vae) == {"encoder.weight", "encoder.bias"}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("samples", [1, 3])
def test_losses_are_of_examples_and_terms_add_up(name: str, samples: int) -> None:
    vae, x = model(), torch.randn(7, D)
    objective = objectives(vae)[name]
    trace = vae(x, samples)
    loss, against = objective(trace, x), objective.critic_loss(trace, x)
    assert against is not None
    assert loss.total.shape == against.total.shape == (7,)
    assert all(part.shape == (7,) for part in loss.parts.values())
    whole = Distortion() + 2.0 * objective + Rate()
    assert not whole.monitorable
    assert whole.batch_coupled == objective.batch_coupled
    torch.manual_seed(1)
    one = objective(trace, x).total
    torch.manual_seed(1)
    total = whole(trace, x).total
    rest = (Distortion() + Rate())(trace, x).total
    torch.testing.assert_close(total, rest + 2 * one, rtol=1e-4, atol=1e-4)
    torch.manual_seed(1)
    alone = objective.critic_loss(trace, x)
    torch.manual_seed(1)
    within = whole.critic_loss(trace, x)  # unscaled: a weight is the model's affair
    assert alone is not None
    assert within is not None
    torch.testing.assert_close(within.total, alone.total)


@pytest.mark.parametrize("name", TERMS)
def test_an_examples_loss_is_its_own_where_it_is_said_to_be(name: str) -> None:
    vae, x = model(), torch.randn(8, D)
    objective = objectives(vae)[name]
    whole = objective(vae(x, temperature=0.0), x).total
    apart = [objective(vae(part, temperature=0.0), part).total for part in x.split(3)]
    assert torch.allclose(torch.cat(apart), whole, atol=1e-5) == (not objective.batch_coupled)


@pytest.mark.parametrize("name", TERMS)
def test_both_sides_are_captured_whole_by_the_compiler(name: str) -> None:
    vae, x = model(), torch.randn(8, D)
    objective = objectives(vae)[name]

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        trace = vae(x)
        against = objective.critic_loss(trace, x)
        assert against is not None
        return objective(trace, x).total, against.total

    torch._dynamo.reset()
    captured = torch.compile(both, fullgraph=True, backend="aot_eager")(x)
    assert all(nats.isfinite().all() for nats in captured)
    captured[0].mean().backward()


def planted(z: Tensor) -> Trace:
    prior = Standard(z.shape[1])().expand(len(z))
    return Trace((Site(z, prior, Dirac(z)),), Dirac(z))


def gaussian(n: int, rho: float) -> Tensor:
    z = torch.randn(n, 3)
    return torch.stack([z[:, 0], rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1], z[:, 2]], 1)


def test_of_independent_codes_a_critic_can_tell_nothing() -> None:
    objective = CriticTotalCorrelation(perceptron([3, 32, 1]))
    optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
    for _ in range(200):
        z = gaussian(512, 0.0)
        loss = objective.critic_loss(planted(z), z)
        optimizer.zero_grad()
        loss.mean.backward()
        optimizer.step()
    z = gaussian(20_000, 0.0)
    with torch.no_grad():
        found = objective(planted(z), z)
        critic = objective.critic_loss(planted(z), z).mean
    assert found.estimated == {"total_correlation"}
    assert float(found.mean) == pytest.approx(0.0, abs=0.03)
    assert float(critic) == pytest.approx(math.log(2), abs=0.005)


def test_a_critic_learns_in_fit_and_its_loss_is_among_the_figures() -> None:
    """Codes that are the data: the logits' mean is TC = −½ log(1 − ρ²) of two normals."""
    rho = 0.8
    data = load_data(gaussian(8_000, rho).numpy())
    vae = VAE(nn.Identity(), Shallow(Standard(3), Point(), nn.Linear(3, 3), FixedGaussian()))
    objective = Distortion() + 0.0 * CriticTotalCorrelation(perceptron([3, 32, 32, 1]))
    history = fit(vae, objective, data, data.spec, Plan(epochs=24, batch_size=256, lr=4e-3)).history
    exact = -0.5 * math.log(1 - rho**2)
    assert history[-1]["valid_total_correlation"] == pytest.approx(exact, abs=0.06)
    assert history[-1]["critic"] < math.log(2) - 0.1
    assert history[0]["critic"] > history[-1]["critic"]


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("wae_gan", 14),
        # Their distortion falls in `test_it_learns`, which is quicker.
        pytest.param("factor_vae", 14, marks=pytest.mark.slow),
        pytest.param("vae_gan", 30, marks=pytest.mark.slow),
    ],
)
def test_recipes_learn_in_fit(name: str, epochs: int, digits: Data) -> None:
    """What comes back is nearer to its own image than to another."""
    recipe = find(name)(digits.spec, latent=8, design=Design(width=64, likelihood="gaussian"))
    plan = Plan(epochs=epochs, lr=3e-3 if name == "vae_gan" else 1e-2, batch_size=64)
    rows = fit(recipe.model, recipe.objective, digits, recipe.data, plan).history
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert 0.1 < rows[-1]["critic"] < 1.0
    x = recipe.data.prepare(digits.valid.x[:])
    with torch.no_grad():
        back = recipe.model(x, temperature=0.0).likelihood.mean
    own, other = ((back - y).square().mean() for y in (x, x.roll(1, 0)))
    assert own < 0.9 * other


def test_permuting_keeps_every_marginal_and_breaks_the_rest() -> None:
    z = gaussian(4000, 0.9)
    shuffled = permuted(z)
    torch.testing.assert_close(shuffled.sort(0).values, z.sort(0).values)
    assert abs(float(torch.corrcoef(z.T)[0, 1])) > 0.85
    correlations = torch.corrcoef(shuffled.T) - torch.eye(3)
    assert float(correlations.abs().max()) < 0.08
    # Each column in an order of its own, or TC would be kept.
    paired = {tuple(row) for row in z[:, :2].tolist()}
    kept = sum(tuple(row) in paired for row in shuffled[:, :2].tolist())
    assert kept < 40


def test_independence_is_learned_from_the_critic() -> None:
    """Codes of correlated data lose their correlation, where the decoder can do without it."""
    vae = model(Point())
    objective = CriticTotalCorrelation(perceptron([L, 32, 32, 1]))
    mixing = torch.randn(D, D)

    def rows() -> Tensor:
        return torch.randn(256, D) @ mixing

    before = torch.corrcoef(vae(rows()).latents[0].T.detach())
    train(vae, 0.1 * Distortion() + 10.0 * objective, rows, 300, 3e-3)
    after = torch.corrcoef(vae(torch.randn(4000, D) @ mixing).latents[0].T.detach())
    off = ~torch.eye(L, dtype=torch.bool)
    assert float(before[off].abs().max()) > 0.3
    assert float(after[off].abs().max()) < 0.15


def test_codes_come_to_pass_for_draws_from_the_prior() -> None:
    """A line of data, far from the prior and too narrow, is stretched and moved onto it."""
    decoder = perceptron([1, 8, 1])
    vae = VAE(nn.Linear(1, 1), Shallow(Standard(1), Point(), decoder, FixedGaussian()))
    objective = CriticPriorMatch(perceptron([1, 32, 32, 1]))
    with torch.no_grad():
        vae.encoder.weight.fill_(0.5)
        vae.encoder.bias.fill_(1.5)
    last = train(vae, objective, lambda: torch.randn(256, 1), 500, 2e-2)
    z = vae(torch.randn(4000, 1)).latents[0].detach()
    assert float(z.mean()) == pytest.approx(0, abs=0.1)
    assert float(z.std()) == pytest.approx(1, abs=0.1)
    assert float(last.detach().mean()) == pytest.approx(math.log(2), abs=0.06)


def test_a_hierarchy_has_no_one_prior_to_be_held_to() -> None:
    ladder = Ladder(
        Root(4), [DenseBlock(2, 4, 0), DenseBlock(2, 4, 1)], nn.Linear(4, D), FixedGaussian()
    )
    x = torch.randn(3, D)
    trace = VAE(nn.Module(), ladder).infer((torch.randn(3, 4), torch.randn(3, 4)))
    with pytest.raises(ValueError, match="this model has 2"):
        CriticPriorMatch(nn.Linear(4, 1)).critic_loss(trace, x)
    against = CriticTotalCorrelation(nn.Linear(4, 1)).critic_loss(trace, x)
    assert against.total.shape == (3,)


def test_features_are_a_normal_in_the_critics_eyes_and_realism_is_not_the_encoders() -> None:
    vae, x = model(), torch.randn(6, D)
    objective = objectives(vae)["features"]
    assert isinstance(objective, CriticFeatures)
    trace = vae(x)
    loss = objective(trace, x)
    a, b = objective.critic.features(x), objective.critic.features(trace.likelihood.mean)
    expected = 0.5 * ((a - b) ** 2 + math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(loss.parts["features"], expected)
    torch.testing.assert_close(loss.total, loss.parts["features"] + 2 * loss.parts["realism"])
    decoder = {k for k, _ in vae.named_parameters() if "decoder" in k}
    encoder = {"encoder.weight", "encoder.bias"}
    assert reached(loss.parts["realism"], vae) == decoder
    assert reached(loss.parts["features"], vae) == decoder | encoder


class Shifted(nn.Module):
    """A generator whose images are their latents plus the condition, which it also keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Tensor, ...]] = []

    def forward(self, draw: Draw) -> Distribution:
        self.given.append(draw.given)
        zero = torch.zeros(1, D)
        z = draw(Normal(zero, zero), lambda evidence: Dirac(zero))
        return Normal(z + sum(draw.given), torch.zeros_like(z))


@pytest.mark.parametrize("samples", [1, 2])
def test_realism_is_by_hand_of_both_images_under_the_condition_of_the_data(samples: int) -> None:
    generator, x, c = Shifted(), torch.randn(6, D), 3 * torch.randn(6, D)
    c = c.repeat(samples, 1)
    critic = Critic(perceptron([D, 16, 8]), 8)
    objective = CriticFeatures(critic, generator, 2.0)
    posterior = Normal(torch.randn(6 * samples, D), torch.zeros(6 * samples, D))
    z = posterior.sample()
    site = Site(z, posterior, posterior)
    trace = Trace((site,), Normal(z + c, torch.zeros_like(z)), samples, (c,))
    torch.manual_seed(5)
    realism = objective(trace, x).parts["realism"]
    torch.manual_seed(5)
    drawn = torch.randn_like(z)
    against = sum(F.softplus(-critic(image + c).flatten()) for image in (z, drawn))
    torch.testing.assert_close(realism, 0.5 * against.unflatten(0, (samples, 6)).mean(0))
    objective.critic_loss(trace, x)
    assert len(generator.given) == 3
    assert all(torch.equal(given, c) for (given,) in generator.given)


def test_the_scale_of_features_is_not_the_critics_to_change() -> None:
    vae, x = model(), torch.randn(500, D)
    objective = objectives(vae)["features"]
    assert isinstance(objective, CriticFeatures)
    found = []
    for scale in (1.0, 30.0):
        with torch.no_grad():
            for p in objective.critic.features[-1].parameters():
                p.mul_(scale)
            for _ in range(150):
                objective.update_buffers(vae(x), x)
            found.append(objective(vae(x, temperature=0.0), x).parts["features"])
            deviation = objective.critic.features(x).std(0, correction=0)
        torch.testing.assert_close(objective.spread, deviation, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-2)


def test_critic_features_spread_moves_a_tenth_of_the_way_in_one_step() -> None:
    vae, x = model(), torch.randn(500, D)
    objective = objectives(vae)["features"]
    assert isinstance(objective, CriticFeatures)
    torch.testing.assert_close(objective.spread, torch.ones_like(objective.spread))
    deviation = objective.critic.features(x).std(0, correction=0).detach()
    assert float((deviation - 1).abs().max()) > 0.1
    objective.update_buffers(vae(x), x)
    torch.testing.assert_close(objective.spread, 0.9 + 0.1 * deviation)


def test_the_critic_of_data_sees_reconstructions_and_imaginings() -> None:
    vae, x = model(), torch.randn(4000, D)
    objective = objectives(vae)["features"]
    trace = vae(x)
    against = objective.critic_loss(trace, x)
    assert isinstance(objective, CriticFeatures)
    assert against is not None
    with torch.no_grad():
        true = F.softplus(-objective.critic(x)).mean()
        again = F.softplus(objective.critic(trace.likelihood.mean)).mean()
        imagined = F.softplus(objective.critic(vae.sample(4000).likelihood.mean)).mean()
    expected = float(true / 2 + again / 4 + imagined / 4)
    assert float(against.mean.detach()) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", ["prior", "features"])
def test_a_critic_with_noise_learns_on_both_sides_blurred(name: str) -> None:
    """As on data and draws that have the noise in them, and the model is judged without it."""
    vae, x, noise = model(), 3 + torch.randn(20_000, D), 2.0
    objective = objectives(vae)[name]
    trace = vae(x)
    plain = objective.critic_loss(trace, x)
    torch.manual_seed(0)
    clear = objective(trace, x).total
    objective.noise = noise  # type: ignore[assignment]
    blurred = objective.critic_loss(trace, x)
    torch.manual_seed(0)
    assert torch.equal(objective(trace, x).total, clear)
    assert plain is not None
    assert blurred is not None
    if isinstance(objective, CriticFeatures):
        true = x
        false = torch.cat([trace.likelihood.mean, vae.sample(20_000).likelihood.mean])
    else:
        true, false = torch.randn(20_000, L), trace.latents[0]
    critic = objective.critic
    assert isinstance(critic, nn.Module)
    with torch.no_grad():
        sides = [critic(t + noise * torch.randn_like(t)) for t in (true, false)]
    expected = float((F.softplus(-sides[0]).mean() + F.softplus(sides[1]).mean()) / 2)
    assert float(blurred.mean.detach()) == pytest.approx(expected, abs=3e-3)
    assert abs(float(plain.mean.detach()) - expected) > 1e-2


def test_a_smaller_sigma_charges_more_for_a_difference_in_features() -> None:
    vae, x = model(), torch.randn(6, D)
    objective = objectives(vae)["features"]
    assert isinstance(objective, CriticFeatures)
    objective.sigma = 0.5
    trace = vae(x)
    a, b = objective.critic.features(x), objective.critic.features(trace.likelihood.mean)
    expected = 0.5 * (4 * (a - b) ** 2 + math.log(2 * math.pi / 4)).sum(1)
    torch.testing.assert_close(objective(trace, x).parts["features"], expected)


def test_the_model_is_no_part_of_its_objective() -> None:
    vae = model()
    objective = objectives(vae)["features"]
    assert all(k == "spread" or k.startswith("critic.") for k in objective.state_dict())
    copied = copy.deepcopy(objective)
    before = copied(vae(torch.zeros(2, D), temperature=0.0), torch.zeros(2, D)).parts["realism"]
    with torch.no_grad():
        for p in vae.generator.parameters():
            p.add_(1.0)
    after = copied(vae(torch.zeros(2, D), temperature=0.0), torch.zeros(2, D)).parts["realism"]
    assert not torch.allclose(before, after)  # the copy still looks at the one model there is


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_weights_are_refused(weight: float, digits: Data) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        CriticFeatures(Critic(nn.Identity(), D), lambda draw: model().generator(draw), weight)
    if weight != math.inf:
        for name, argument in zip(NAMES, ("gamma", "weight", "beta"), strict=True):
            with pytest.raises(ValueError, match=f"{argument} is"):
                find(name)(digits.spec, **{argument: weight})


def build(name: str, digits: Data, net: str = "mlp") -> Recipe:
    return find(name)(digits.spec, latent=4, design=Design(net=net, width=16))  # type: ignore[arg-type]


@pytest.mark.parametrize("net", ["mlp", "conv"])
@pytest.mark.parametrize("name", NAMES)
def test_recipes_have_a_critic_that_is_kept_and_comes_back(
    name: str, net: str, digits: Data
) -> None:
    recipe, again = build(name, digits, net), build(name, digits, net)
    x = next(Batches(digits.train.x, recipe.data).fixed(8, 0))
    trace = recipe.model(x)
    loss, against = recipe.objective(trace, x), recipe.objective.critic_loss(trace, x)
    assert against is not None
    assert loss.total.shape == against.total.shape == (8,)
    every = {k for k, _ in recipe.model.named_parameters()}
    assert reached(loss.total, recipe.model) == every
    assert reached(against.total, recipe.model) == set()
    with torch.no_grad():
        for p in recipe.objective.parameters():
            p.mul_(1.5)
    again.objective.load_state_dict(load(save(recipe.objective.state_dict())))
    torch.manual_seed(1)
    one = recipe.objective(trace, x).total
    torch.manual_seed(1)
    # Both look at their own model, equal in its weights.
    torch.testing.assert_close(again.objective(trace, x).total, one)


def test_of_pixels_vae_gan_uses_the_mean_alone(digits: Data) -> None:
    recipe = build("vae_gan", digits)
    assert recipe.reason.startswith("gaussian-fixed")
    assert recipe.data.binarize == "no"
    named = find("vae_gan")(digits.spec, design=Design(width=16, likelihood="laplace"))
    assert named.reason.startswith("laplace")
