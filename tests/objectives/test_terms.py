"""Terms, their algebra, and the importance-weighted bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from vaelab.core import VAE, Conditional, Shallow, Site, Trace
from vaelab.distributions import Dirac, Distribution, Normal
from vaelab.objectives import Distortion, ImportanceWeighted, Loss, Objective, Rate, log_mean_exp
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import Standard

D, L = 4, 3


@dataclass(frozen=True, eq=False)
class Shifted(Distribution):
    """A normal under another type, so that no closed form is registered for it."""

    mu: Tensor

    @property
    def mean(self) -> Tensor:
        return self.mu

    def log_prob(self, x: Tensor) -> Tensor:
        return Normal(self.mu, torch.zeros_like(self.mu)).log_prob(x)

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.mu + temperature * torch.randn_like(self.mu)


class Unregistered(Conditional):
    def forward(self, *given: Tensor) -> Shifted:
        return Shifted(given[0][:, :L])


def model(posterior: Conditional | None = None) -> VAE:
    torch.manual_seed(1)
    posterior = posterior or DiagonalNormal()
    outputs = L if isinstance(posterior, Point) else 2 * L
    shallow = Shallow(Standard(L), posterior, nn.Linear(L, D), FixedGaussian(0.7))
    return VAE(nn.Linear(D, outputs), shallow).double()


def data(n: int = 64) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def walked() -> tuple[Trace, Tensor]:
    return model()(data(), 3), data()


def test_terms_add_and_scale(walked: tuple[Trace, Tensor]) -> None:
    d, r = Distortion()(*walked).total, Rate()(*walked).total
    assert d.shape == r.shape == (64,)
    torch.testing.assert_close((Distortion() + Rate())(*walked).total, d + r)
    torch.testing.assert_close((Distortion() + 4.0 * Rate())(*walked).total, d + 4 * r)
    torch.testing.assert_close((2 * (Distortion() + 3 * Rate()))(*walked).total, 2 * d + 6 * r)
    torch.testing.assert_close((0 * Rate() + Distortion())(*walked).total, d)


def test_parts_keep_their_own_unweighted_nats(walked: tuple[Trace, Tensor]) -> None:
    loss = (Distortion() + 4.0 * Rate())(*walked)
    assert list(loss.parts) == ["distortion", "rate"]
    torch.testing.assert_close(loss.parts["rate"], Rate()(*walked).total)
    torch.testing.assert_close(loss.mean, loss.total.mean())
    assert loss.estimated == frozenset()


def test_twins_have_names_of_their_own(walked: tuple[Trace, Tensor]) -> None:
    flat = Distortion() + Distortion() + Distortion()
    assert list(flat(*walked).parts) == ["distortion", "distortion#2", "distortion#3"]
    nested = Distortion() + 2 * (Distortion() + 3 * Distortion())
    assert list(nested(*walked).parts) == ["distortion", "distortion#2", "distortion#3"]
    other_way = 2 * (Distortion() + Distortion()) + (Distortion() + Rate())
    assert list(other_way(*walked).parts) == [
        "distortion",
        "distortion#2",
        "distortion#3",
        "rate",
    ]


def test_distortion_and_rate_are_what_they_say(walked: tuple[Trace, Tensor]) -> None:
    trace, x = walked
    d = torch.zeros(64, dtype=torch.float64)
    for k in range(3):
        error = ((x - trace.unfold(trace.likelihood.mean)[k]) ** 2).sum(1) / (2 * 0.49)
        d += (error + D * math.log(0.7 * math.sqrt(2 * math.pi))) / 3
    torch.testing.assert_close(Distortion()(trace, x).total, d, rtol=1e-6, atol=1e-6)
    q = trace.sites[0].posterior
    assert isinstance(q, Normal)
    r = 0.5 * (q.sigma**2 + q.mu**2 - 1 - 2 * q.log_sigma).sum(1)[:64]
    torch.testing.assert_close(Rate()(trace, x).total, r)


@pytest.mark.parametrize(
    "objective",
    [Distortion(), Rate(), Distortion() + 4.0 * Rate(), ImportanceWeighted(2)],
    ids=["distortion", "rate", "beta", "iwae"],
)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_no_figure_depends_on_the_batch_it_came_in(objective: Objective, size: int) -> None:
    vae, x = model(), data()
    whole = vae(x, objective.samples)
    z = whole.unfold(whole.latents[0])
    together = objective(whole, x).total
    start, apart = 0, []
    for rows in x.split(size):
        # The same noise for the same example, whatever its company.
        part = z[:, start : start + len(rows)].flatten(0, 1)
        start += len(rows)
        q = vae.generator.posterior(vae.encoder(rows.repeat(objective.samples, 1)))
        p = Standard(L)().expand(len(part))
        site = Site(part, p, q)
        likelihood = vae.generator.likelihood(vae.generator.decoder(part))
        apart.append(objective(Trace((site,), likelihood, objective.samples), rows).total)
    torch.testing.assert_close(torch.cat(apart), together, rtol=1e-10, atol=1e-10)


def test_a_sum_needs_one_number_of_samples() -> None:
    with pytest.raises(ValueError, match=r"different numbers of samples, \[3, 5\]"):
        ImportanceWeighted(3) + ImportanceWeighted(5)
    assert (Distortion() + ImportanceWeighted(5) * 0.5).samples == 5
    assert (ImportanceWeighted(5) + 2 * ImportanceWeighted(5)).samples == 5


def test_an_objective_takes_only_terms() -> None:
    with pytest.raises((TypeError, AttributeError)):
        Distortion() + 1.0  # type: ignore[operator]


def test_rate_of_a_point_says_what_to_do() -> None:
    x = data()
    trace = model(Point())(x)
    assert Distortion()(trace, x).total.shape == (64,)
    with pytest.raises(TypeError, match=r"no density, so no rate.*DiagonalNormal"):
        (Distortion() + Rate())(trace, x)


def test_a_rate_without_a_closed_form_is_estimated_and_the_loss_says_so() -> None:
    x = data()
    trace = model(Unregistered())(x)
    loss = (Distortion() + 2.0 * Rate())(trace, x)
    assert loss.estimated == {"rate"}
    site = trace.sites[0]
    expected = site.posterior.log_prob(site.z) - site.prior.log_prob(site.z)
    torch.testing.assert_close(loss.parts["rate"], expected)
    twice = (Distortion() + Rate() + Rate())(trace, x)
    assert twice.estimated == {"rate", "rate#2"}


def test_one_sample_of_the_bound_is_the_elbos_estimate() -> None:
    x = data()
    trace = model(Unregistered())(x)
    bound, elbo = ImportanceWeighted(1)(trace, x), (Distortion() + Rate())(trace, x)
    torch.testing.assert_close(bound.total, elbo.total)


def test_the_bound_is_the_mean_of_the_weights_not_of_their_logarithms() -> None:
    x = data()
    trace = model()(x, 6)
    log_w = trace.log_weights(x)
    loss = ImportanceWeighted(6)(trace, x)
    torch.testing.assert_close(loss.total, -torch.log(log_w.exp().mean(0)))
    assert (loss.total <= -log_w.mean(0)).all()  # Jensen


def test_log_mean_exp_survives_weights_that_overflow() -> None:
    log_w = torch.tensor([[-2000.0, 900.0], [-2000.0, 900.0]])
    torch.testing.assert_close(log_mean_exp(log_w), torch.tensor([-2000.0, 900.0]))


def test_the_bounds_gradient_descends_and_weighs_as_burda_says() -> None:
    """∇ −L_K = −Σ_k w̃_k ∇ log w_k: normalised weights, constant in the gradient, this sign.

    A known error elsewhere is the other sign, or weights that are differentiated too.
    """
    vae, x = model(), data(8)
    trace = vae(x, 5)
    log_w = trace.log_weights(x)
    parameters = list(vae.parameters())
    ours = torch.autograd.grad(
        ImportanceWeighted(5)(trace, x).total.sum(), parameters, retain_graph=True
    )
    weights = torch.softmax(log_w, 0)
    right = torch.autograd.grad(-(weights.detach() * log_w).sum(), parameters, retain_graph=True)
    for a, b in zip(ours, right, strict=True):
        torch.testing.assert_close(a, b)
    wrong_sign = torch.autograd.grad(
        (weights.detach() * log_w).sum(), parameters, retain_graph=True
    )
    not_detached = torch.autograd.grad(-(weights * log_w).sum(), parameters)
    for wrong in (wrong_sign, not_detached):
        assert any(not torch.allclose(a, b) for a, b in zip(ours, wrong, strict=True))


@pytest.mark.parametrize("samples", [0, -1])
def test_a_bound_needs_a_sample(samples: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ImportanceWeighted(samples)


def test_a_loss_is_reduced_once() -> None:
    loss = Loss(torch.tensor([1.0, 3.0]), {})
    assert float(loss.mean) == 2.0


def test_the_rate_of_a_site_that_was_given_is_refused() -> None:
    z = torch.zeros(2, L)
    site = Site(z, Standard(L)().expand(2), Dirac(z))
    assert not site.has_rate
    with pytest.raises(TypeError, match="no density"):
        site.rate()
