r"""Bounds and the estimators of their gradients, against quadrature and explicit formulas.

One latent and K = 2 draws: E over the two noises is a sum over a grid of Gauss–Hermite nodes, exact
for our purposes; so L_K and its gradient are known, and with them the mean of every estimator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vaelab.core import VAE, Conditional, Shallow, Site, Trace
from vaelab.distributions import Dirac, Distribution, Normal
from vaelab.objectives import (
    CombinedBound,
    Distortion,
    DoublyReparameterised,
    ImportanceWeighted,
    MultiplyImportanceWeighted,
    Objective,
    PartiallyImportanceWeighted,
    Rate,
    ReweightedPosterior,
)
from vaelab.objectives.steered import ReweightedDistribution, detached
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal, FullCovariance
from vaelab.parts.priors import Standard

D, L = 3, 2


def model(posterior: Conditional, latent: int = L) -> VAE:
    torch.manual_seed(1)
    program = Shallow(Standard(latent), posterior, nn.Linear(latent, D), FixedGaussian(0.6))
    return VAE(nn.Linear(D, 2 * latent), program).double()


def data(n: int = 6) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def walked(vae: VAE, x: Tensor, samples: int, seed: int = 0) -> Trace:
    torch.manual_seed(seed)
    return vae(x, samples)


def gradients(vae: VAE, total: Tensor) -> dict[str, Tensor]:
    named = dict(vae.named_parameters())
    found = torch.autograd.grad(total.sum(), list(named.values()), retain_graph=True)
    return dict(zip(named, found, strict=True))


def split(found: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    encoder = {k: g for k, g in found.items() if k.startswith("encoder")}
    return encoder, {k: g for k, g in found.items() if k not in encoder}


def close(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.allclose(a[k], b[k], rtol=1e-7, atol=1e-9) for k in a)


@dataclass(frozen=True, eq=False)
class Opaque(Distribution):
    """One that asks a network for its density, as a flow does."""

    mu: Tensor
    network: nn.Module

    @property
    def mean(self) -> Tensor:
        return self.mu

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def sample(self, temperature: float = 1.0) -> Tensor:
        raise NotImplementedError


BOUNDS: dict[str, Objective] = {
    "miwae": MultiplyImportanceWeighted(3, 2),
    "piwae": PartiallyImportanceWeighted(3, 2),
    "ciwae": CombinedBound(6, 0.3),
    "dreg": DoublyReparameterised(6),
}


def by_loops(name: str, log_w: np.ndarray) -> np.ndarray:
    """(6, B) → (B,), from the formulas."""
    w, out = np.exp(log_w), []
    for b in range(log_w.shape[1]):
        whole = -math.log(w[:, b].mean())
        if name == "miwae":
            out.append(-np.mean([math.log(w[i : i + 2, b].mean()) for i in (0, 2, 4)]))
        elif name == "ciwae":
            out.append(0.3 * -log_w[:, b].mean() + 0.7 * whole)
        else:
            out.append(whole)
    return np.array(out)


@pytest.mark.parametrize("name", BOUNDS)
def test_the_loss_that_is_reported_is_the_bound(name: str) -> None:
    x, vae = data(), model(ReweightedPosterior(DiagonalNormal()))
    trace = walked(vae, x, 6)
    loss = BOUNDS[name](trace, x)
    log_w = trace.log_weights(x).detach()
    expected = torch.from_numpy(by_loops(name, log_w.numpy()))
    torch.testing.assert_close(loss.total.detach(), expected)
    torch.testing.assert_close(next(iter(loss.parts.values())), loss.total)
    # Known errors elsewhere: the surrogate that has the gradient is reported in the bound's place,
    # or the weights have the wrong sign.
    for sign in (1, -1):
        wrong = -(torch.softmax(sign * log_w, 0) * log_w).sum(0)
        assert (wrong - expected).abs().min() > 1e-4


def test_the_bounds_lie_in_their_order() -> None:
    x, vae = data(200), model(ReweightedPosterior(DiagonalNormal()))
    trace = walked(vae, x, 6)
    values = {name: bound(trace, x).total for name, bound in BOUNDS.items()}
    elbo = -trace.log_weights(x).mean(0)
    for looser, tighter in (("miwae", "piwae"), ("ciwae", "dreg")):
        assert (values[tighter] <= values[looser] + 1e-12).all()
        assert (values[looser] <= elbo + 1e-12).all()


class Moved(Conditional):
    """A normal around what was encoded, moved by what is known."""

    def forward(self, *given: Tensor) -> Normal:
        h, known = given
        return Normal(h + known, torch.zeros_like(h))


def test_a_steered_posterior_is_told_what_is_known_in_training_too() -> None:
    h, known = torch.randn(2, 4, 3)
    steered = ReweightedPosterior(Moved())
    told = [steered.train(mode)(h, known).mean for mode in (True, False)]
    assert torch.equal(told[0], h + known)
    assert torch.equal(told[1], h + known)


def test_piwae_gives_each_side_the_gradient_of_its_own_bound() -> None:
    x, vae = data(), model(ReweightedPosterior(DiagonalNormal()))
    trace = walked(vae, x, 6)
    encoder, decoder = split(gradients(vae, PartiallyImportanceWeighted(3, 2)(trace, x).total))
    fresh = model(DiagonalNormal())
    plain = walked(fresh, x, 6)
    of_iwae = split(gradients(fresh, ImportanceWeighted(6)(plain, x).total))
    of_miwae = split(gradients(fresh, MultiplyImportanceWeighted(3, 2)(plain, x).total))
    assert close(encoder, of_miwae[0])
    assert not close(encoder, of_iwae[0])
    assert close(decoder, of_iwae[1])
    assert not close(decoder, of_miwae[1])


def test_dreg_weighs_the_path_through_z_by_squares_and_leaves_the_decoder_alone() -> None:
    x, vae = data(), model(ReweightedPosterior(DiagonalNormal()))
    evidence = vae.encoder(x).detach().requires_grad_()
    torch.manual_seed(0)
    trace = vae.infer(evidence, 5)
    loss = DoublyReparameterised(5)(trace, x)
    (found,) = torch.autograd.grad(loss.total.sum(), [evidence], retain_graph=True)
    q = trace.sites[0].posterior
    assert isinstance(q, ReweightedDistribution)
    assert isinstance(q.q, Normal)
    mu, sigma, z = q.q.mu.detach(), q.q.sigma.detach(), trace.latents[0].detach()
    z.requires_grad_()
    decoder, likelihood = vae.generator.decoder, vae.generator.likelihood
    log_w = (
        likelihood(decoder(z)).log_prob(x.repeat(5, 1))
        + torch.distributions.Normal(0, 1).log_prob(z).sum(1)
        - torch.distributions.Normal(mu, sigma).log_prob(z).sum(1)
    )
    (by_z,) = torch.autograd.grad(log_w.sum(), [z])
    share = torch.softmax(log_w.detach().view(5, -1), 0).flatten()[:, None]
    through = torch.autograd.grad(
        vae.generator.posterior.posterior(evidence.repeat(5, 1)).mu,
        [evidence],
        -(share**2) * by_z,
    )[0]
    again = vae.generator.posterior.posterior(evidence.repeat(5, 1)).log_sigma
    through = (
        through + torch.autograd.grad(again, [evidence], -(share**2) * by_z * (z.detach() - mu))[0]
    )
    torch.testing.assert_close(found, through)
    decoders = list(decoder.parameters())
    ours = torch.autograd.grad(loss.total.sum(), decoders, retain_graph=True)
    fresh = model(DiagonalNormal())
    usual = torch.autograd.grad(
        ImportanceWeighted(5)(walked(fresh, x, 5), x).total.sum(),
        list(fresh.generator.decoder.parameters()),
    )
    for a, b in zip(ours, usual, strict=True):
        torch.testing.assert_close(a, b)


def on_a_grid(objective: Objective | None, K: int = 2, nodes: int = 64) -> tuple[Tensor, Tensor]:
    """The loss and the gradient of the evidence, exact means over K noises of one latent.

    Args:
        objective: None for the bound L_K itself, differentiated as it stands.
        K: 1 or 2.
        nodes: of the quadrature, in each direction.
    """
    at, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = torch.from_numpy(np.stack(np.meshgrid(*[at] * K, indexing="ij")).reshape(K, -1, 1))
    mass = np.stack(np.meshgrid(*[weights] * K, indexing="ij")).reshape(K, -1).prod(0)
    probability = torch.from_numpy(mass / mass.sum())
    vae = model(ReweightedPosterior(DiagonalNormal()), latent=1)
    x = data(1).expand(grid.shape[1], D)
    evidence = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)
    q = vae.generator.posterior(evidence.expand(K * grid.shape[1], 2))
    assert isinstance(q, ReweightedDistribution)
    assert isinstance(q.q, Normal)
    z = q.q.mu + q.q.sigma * grid.flatten(0, 1)
    prior = vae.generator.prior().expand(len(z))
    likelihood = vae.generator.likelihood(vae.generator.decoder(z))
    trace = Trace((Site(z, prior, q),), likelihood, K)
    if objective is None:
        total = -(torch.logsumexp(trace.log_weights(x), 0) - math.log(K))
    else:
        total = objective(trace, x).total
    value = (probability * total).sum()
    return value, torch.autograd.grad(value, [evidence])[0]


def test_every_estimator_has_the_mean_it_should_have() -> None:
    value, exact = on_a_grid(None)
    assert exact.abs().min() > 0.01
    for bound in (DoublyReparameterised(2), ImportanceWeighted(2)):
        found, gradient = on_a_grid(bound)
        torch.testing.assert_close(found, value)
        torch.testing.assert_close(gradient, exact, rtol=1e-6, atol=1e-8)
    # PIWAE(2, 1) reports L_2 and moves the encoder by the ELBO.
    found, gradient = on_a_grid(PartiallyImportanceWeighted(2, 1))
    torch.testing.assert_close(found, value)
    elbo = on_a_grid(Distortion() + Rate())[1]
    torch.testing.assert_close(gradient, elbo, rtol=1e-6, atol=1e-8)
    assert not torch.allclose(elbo, exact, rtol=1e-2)
    # CIWAE is linear in both.
    expected = 0.3 * elbo + 0.7 * exact
    torch.testing.assert_close(on_a_grid(CombinedBound(2, 0.3))[1], expected, rtol=1e-6, atol=1e-8)


def test_one_sample_of_dreg_is_sticking_the_landing() -> None:
    value, exact = on_a_grid(None, K=1)
    found, gradient = on_a_grid(DoublyReparameterised(1), K=1)
    torch.testing.assert_close(found, value)
    torch.testing.assert_close(gradient, exact, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("samples", [4, 32])
def test_dreg_is_less_noisy_and_as_right(samples: int) -> None:
    n = 20_000
    vae = model(ReweightedPosterior(DiagonalNormal())).requires_grad_(False)
    x = data(1).expand(n, D)
    noise = {}
    for name, bound in (
        ("dreg", DoublyReparameterised(samples)),
        ("iwae", ImportanceWeighted(samples)),
    ):
        evidence = vae.encoder(x).detach().requires_grad_()
        torch.manual_seed(0)
        found = bound(vae.infer(evidence, samples), x).total.sum()
        noise[name] = torch.autograd.grad(found, [evidence])[0]
    gap = noise["dreg"].mean(0) - noise["iwae"].mean(0)
    se = (noise["dreg"] - noise["iwae"]).std(0) / math.sqrt(n)
    assert (gap.abs() < 4.5 * se).all()
    ratio = noise["iwae"].var(0).sum() / noise["dreg"].var(0).sum()
    assert float(ratio) > (2 if samples == 4 else 10)


def test_dreg_is_silent_at_the_exact_posterior_where_iwae_is_not() -> None:
    # One latent, x = w z + noise: the posterior is N(w x / (w² + σ²), σ² / (w² + σ²)).
    w, sigma = torch.tensor([[0.8]], dtype=torch.float64), 0.6
    decoder = nn.Linear(1, 1, bias=False).double()
    decoder.weight.data.copy_(w)
    vae = VAE(
        nn.Identity(),
        Shallow(
            Standard(1).double(),
            ReweightedPosterior(DiagonalNormal()),
            decoder,
            FixedGaussian(sigma).double(),
        ),
    )
    x = data(50)[:, :1]
    precision = 1 + 0.64 / 0.36
    mu = 0.8 * x / 0.36 / precision
    log_sigma = torch.full_like(x, 10 * math.atanh(-0.5 * math.log(precision) / 10))
    size = {}
    for name, bound in (("dreg", DoublyReparameterised(4)), ("iwae", ImportanceWeighted(4))):
        evidence = torch.cat([mu, log_sigma], 1).requires_grad_()
        total = bound(vae.infer(evidence, 4), x).total
        size[name] = float(torch.autograd.grad(total.sum(), [evidence])[0].abs().max())
    assert size["dreg"] < 1e-6
    assert size["iwae"] > 0.1


def test_weights_may_differ_by_any_number_of_nats() -> None:
    """In float32 a share underflows to 0; the encoder's own share of it must still arrive."""
    log_w = torch.tensor([[0.0], [-300.0]])
    encoder = nn.Linear(1, 2)
    posterior = ReweightedPosterior(DiagonalNormal())
    q = posterior(encoder(torch.ones(2, 1)))
    assert isinstance(q, ReweightedDistribution)
    z = q.sample()
    trace = Trace((Site(z, Normal(torch.zeros(2, 1), torch.zeros(2, 1)), q),), Dirac(z), 2)

    trace_log_w = log_w + trace.unfold(z[:, 0])
    object.__setattr__(trace, "log_weights", lambda x: trace_log_w)
    (found,) = torch.autograd.grad(
        PartiallyImportanceWeighted(2, 1)(trace, torch.ones(1, 1)).total.sum(), [encoder.bias]
    )
    # Both draws have the same weight for the encoder: −½ Σ_k ∂z_k.
    assert float(found[0]) == pytest.approx(-1.0, rel=1e-5)


@pytest.mark.parametrize("name", ["dreg", "piwae"])
def test_what_scales_the_loss_scales_both_gradients(name: str) -> None:
    x, vae = data(), model(ReweightedPosterior(DiagonalNormal()))
    once = gradients(vae, BOUNDS[name](walked(vae, x, 6), x).total)
    scaled = gradients(vae, (0.25 * BOUNDS[name])(walked(vae, x, 6), x).total)
    assert close({k: 0.25 * g for k, g in once.items()}, scaled)
    mean = gradients(vae, BOUNDS[name](walked(vae, x, 6), x).mean)
    assert close({k: g / len(x) for k, g in once.items()}, mean)


def test_a_steered_posterior_is_the_one_it_holds_for_anything_else() -> None:
    x = data()
    steered, plain = model(ReweightedPosterior(DiagonalNormal())), model(DiagonalNormal())
    objective = Distortion() + ImportanceWeighted(3)
    a = gradients(steered, objective(walked(steered, x, 3), x).total)
    b = gradients(plain, objective(walked(plain, x, 3), x).total)
    assert close(a, b)
    assert isinstance(walked(steered.eval(), x, 3).sites[0].posterior, Normal)


def test_a_posterior_that_is_not_steered_is_refused_where_it_matters() -> None:
    x, vae = data(), model(DiagonalNormal())
    for name in ("dreg", "piwae"):
        with pytest.raises(
            TypeError, match=r"posterior is a Normal.*ReweightedPosterior\(posterior\)"
        ):
            BOUNDS[name](walked(vae, x, 6), x)
        with torch.no_grad():
            trace = walked(vae, x, 6)
            torch.testing.assert_close(
                BOUNDS[name](trace, x).total, ImportanceWeighted(6)(trace, x).total
            )
    trace = walked(model(ReweightedPosterior(DiagonalNormal())), x, 6)
    twice = Trace(trace.sites * 2, trace.likelihood, 6)
    with pytest.raises(ValueError, match="one latent; here there are 2"):
        BOUNDS["piwae"](twice, x)


def test_only_what_is_made_of_tensors_can_be_cut_off() -> None:
    h = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    q = FullCovariance()(h)
    assert not detached(q).log_prob(torch.zeros(4, 2).double()).requires_grad
    torch.testing.assert_close(detached(q).log_prob(q.mean), q.log_prob(q.mean))
    with pytest.raises(TypeError, match="through which a gradient may pass unseen"):
        detached(Opaque(h, nn.Linear(1, 1)))


def test_a_posterior_with_parameters_cannot_be_steered() -> None:
    class Learned(DiagonalNormal):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(1))

    with pytest.raises(ValueError, match="Learned has parameters of its own"):
        ReweightedPosterior(Learned())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DoublyReparameterised(0), "samples is 0"),
        (lambda: MultiplyImportanceWeighted(0, 3), "bounds is 0"),
        (lambda: PartiallyImportanceWeighted(3, 0), "samples_each is 0"),
        (lambda: CombinedBound(3, 1.5), "share is 1.5"),
        (lambda: CombinedBound(0), "samples is 0"),
    ],
)
def test_bounds_refuse_what_makes_no_sense(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
