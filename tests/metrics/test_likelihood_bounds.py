"""The bounds over a whole set: pieces and chunks that change nothing, and honest errors."""

from __future__ import annotations

import math

import linear_gaussian
import pytest
import torch
from torch import Tensor, nn

from vaelab.core import VAE, Shallow
from vaelab.metrics import likelihood
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.layer import layers
from vaelab.metrics.likelihood import elbo, importance_weighted, weigh
from vaelab.objectives import Distortion, ImportanceWeighted, Rate
from vaelab.parts.likelihoods import BernoulliLikelihood
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import Standard

D, L = 7, 2


def model(point: bool = False) -> VAE:
    torch.manual_seed(1)
    q = Point() if point else DiagonalNormal()
    program = Shallow(Standard(L), q, nn.Linear(L, D), BernoulliLikelihood())
    return VAE(nn.Linear(D, q.params * L), program).eval()


def data(n: int = 40) -> Tensor:
    return (torch.rand(n, D, generator=torch.Generator().manual_seed(2)) > 0.4).float()


def integrated(vae: VAE, x: Tensor) -> Tensor:
    """log p(x) by the trapezoid over both latents: no sampling at all."""
    side = torch.linspace(-8, 8, 401, dtype=torch.float64)
    z = torch.cartesian_prod(side, side)
    with torch.no_grad():
        logits = vae.generator.decoder.double()(z)
        vae.generator.decoder.float()
        log_x = x.double() @ logits.T - torch.nn.functional.softplus(logits).sum(1)
    log_z = -0.5 * (z**2).sum(1) - math.log(2 * math.pi)
    return torch.logsumexp(log_x + log_z, 1) + 2 * math.log(float(side[1] - side[0]))


def test_it_converges_to_the_evidence() -> None:
    vae, x = model(), data()
    exact = -float(integrated(vae, x).mean())
    found = importance_weighted(vae, [x], 3000)
    assert found.value == pytest.approx(exact, abs=0.01)
    one = importance_weighted(vae, [x], 1)
    assert one.value > exact + 0.01
    assert found.n == 40


def test_chunks_of_samples_are_joined_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A running log-sum-exp over chunks is the bound over all samples at once."""
    vae, x = model(), data(3)
    drawn: list[Tensor] = []
    real = vae.infer

    def keep(evidence: Tensor, samples: int, **known: object) -> object:
        trace = real(evidence, samples, **known)
        drawn.append(trace.log_weights(x[len(drawn) // 3 :][:1]))
        return trace

    monkeypatch.setattr(likelihood, "rows_at_once", lambda x: 100)
    monkeypatch.setattr(vae, "infer", keep)
    found = importance_weighted(vae, [x], 250)
    assert [w.shape for w in drawn] == [(100, 1), (100, 1), (50, 1)] * 3
    by_example = [torch.cat(drawn[i : i + 3]) for i in (0, 3, 6)]
    nats = torch.stack([math.log(250) - torch.logsumexp(w, 0)[0] for w in by_example])
    assert found.value == pytest.approx(float(nats.detach().mean()), rel=1e-6)
    assert found.se == pytest.approx(float(nats.detach().std()) / math.sqrt(3), rel=1e-5)


@pytest.mark.parametrize("rows", [1, 7, 4096])
def test_memory_bounds_change_no_figure(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vae, x = model(), data()
    exact = -float(integrated(vae, x).mean())
    monkeypatch.setattr(likelihood, "rows_at_once", lambda x: rows)
    assert importance_weighted(vae, x.split(13), 60).value == pytest.approx(exact, abs=0.05)


def test_the_elbo_is_distortion_and_rate_as_trained() -> None:
    vae, x = model(), data()
    found = elbo(vae, x.split(9), samples=4)
    torch.manual_seed(3)
    found = elbo(vae, [x], samples=4)
    torch.manual_seed(3)
    trace = vae(x, 4)
    assert found["distortion"].value == pytest.approx(
        float(Distortion()(trace, x).mean.detach()), rel=1e-5
    )
    assert found["rate"].value == pytest.approx(float(Rate()(trace, x).mean.detach()), rel=1e-5)
    assert found["neg_elbo"].value == pytest.approx(
        found["distortion"].value + found["rate"].value, rel=1e-6
    )
    # The last batch is short and weighs no more for it.
    uneven = elbo(vae, [x[:39], x[39:]], samples=1)
    assert uneven["rate"].value == pytest.approx(found["rate"].value, rel=1e-5)
    assert uneven["rate"].n == 40


def test_the_elbo_of_the_same_draws_is_an_upper_bound_of_every_nll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vae, x = model(), data()
    found = weigh(vae, [x], 3)
    assert (found.neg_elbo >= found.nll).all()
    assert float((found.neg_elbo - found.nll).mean()) > 1e-3
    one = weigh(vae, [x], 1)
    assert torch.equal(one.neg_elbo, one.nll)
    # It estimates what distortion and rate add up to, in however many parts it is decoded.
    known = elbo(vae, [x], samples=4000)["neg_elbo"].value
    monkeypatch.setattr(likelihood, "rows_at_once", lambda x: 700)
    many = weigh(vae, [x], 4000)
    assert float(many.neg_elbo.mean()) == pytest.approx(known, abs=0.02)


def test_the_figure_is_the_negative_of_the_trained_bound() -> None:
    vae, x = model(), data(5)
    torch.manual_seed(4)
    figure = importance_weighted(vae, [x], 8).value
    torch.manual_seed(4)
    loss = ImportanceWeighted(8)(vae(x, 8), x)
    assert figure == pytest.approx(float(loss.mean.detach()), rel=1e-6)


def test_a_deterministic_encoder_has_a_distortion_alone() -> None:
    vae, x = model(point=True), data()
    assert set(elbo(vae, [x])) == {"distortion"}
    with pytest.raises(TypeError, match="no density"):
        importance_weighted(vae, [x], 10)


@pytest.mark.parametrize("samples", [0, -5])
def test_a_bound_needs_a_sample(samples: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        importance_weighted(model(), [data()], samples)


def test_progress_counts_examples() -> None:
    told: list[int] = []
    importance_weighted(model(), data().split(15), 2, told.append)
    assert told == [15, 30, 40]


def test_bounds_sample_whatever_the_mode_and_track_no_gradient() -> None:
    vae, x = model(), data()
    assert not vae.training
    first, second = elbo(vae, [x])["distortion"].value, elbo(vae, [x])["distortion"].value
    assert first != second


# --- how tight ---------------------------------------------------------------------------------


def test_effective_draws_are_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    vae, x = model(), data(6)
    torch.manual_seed(5)
    w = vae(x, 40).log_weights(x).detach().double().exp()
    torch.manual_seed(5)
    found = weigh(vae, [x], 40)
    torch.testing.assert_close(
        found.ess.double(), w.sum(0) ** 2 / (w**2).sum(0), rtol=1e-4, atol=1e-4
    )
    monkeypatch.setattr(likelihood, "rows_at_once", lambda x: 7)
    again = weigh(vae, x.split(4), 40)
    assert again.ess.shape == again.nll.shape == (6,)
    assert float((again.ess - found.ess).abs().max()) < 15


def test_one_draw_is_one_effective_draw() -> None:
    assert (weigh(model(), [data()], 1).ess == 1).all()


def test_the_slack_is_what_more_draws_take_off() -> None:
    wide = linear_gaussian.Posterior(shift=0.4, factor=1.6)
    vae, x = linear_gaussian.model(wide), linear_gaussian.data(10_000)
    few = weigh(vae, [x], 20)
    bias = Estimate.mean(few.nll + linear_gaussian.EVIDENCE.log_prob(x))
    assert bias.value > 5 * bias.se
    assert few.slack.value == pytest.approx(bias.value, abs=4 * bias.se + 0.1 * bias.value)
    assert few.slack.value < bias.value + 2 * bias.se  # "at least": it leaves out higher orders
    assert weigh(vae, [x[:200]], 2000).slack.value < 0.05 * few.slack.value


def test_a_bound_is_loose_where_few_draws_carry_weight() -> None:
    vae, x = model(), data()
    assert not weigh(vae, [x], 2000).is_loose
    few = weigh(vae, [x], 9)  # fewer than ten there are, whatever they weigh
    assert few.loose.value == 1.0
    assert few.is_loose
    with torch.no_grad():  # posteriors like needles: one draw outweighs all the rest
        vae.encoder.bias[L:] = -4.0
    needles = weigh(vae, [x], 500)
    assert needles.loose.value > 0.2
    assert needles.is_loose


@pytest.mark.parametrize("size", [40, 13, 1])
def test_rates_by_layer_do_not_depend_on_batches(size: int) -> None:
    vae, x = model(), data()
    (layer,) = layers(vae, x.split(size))
    with torch.no_grad():
        q = vae(x).sites[0].posterior
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mu, q.sigma), torch.distributions.Normal(0.0, 1.0)
    )
    assert layer.rate.value == pytest.approx(float(kl.sum(1).mean()), rel=1e-5)
    for j, rate in enumerate(layer.by_dimension or ()):
        assert rate.value == pytest.approx(float(kl[:, j].mean()), rel=1e-5)
        assert rate.se == pytest.approx(float(kl[:, j].std()) / math.sqrt(40), rel=1e-4)
    assert layer.active.tolist() == (q.mu.var(0, correction=0) > 0.01).tolist()
