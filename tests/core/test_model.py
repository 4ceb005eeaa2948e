"""The draw, the trace and the two generators."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vaelab.core import (
    VAE,
    Evidence,
    FromPosterior,
    FromPrior,
    Given,
    Ladder,
    Shallow,
    Site,
    Trace,
    full_precision,
)
from vaelab.distributions import Dirac, Distribution, Mixture, Normal, Quantized
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import Standard

B, D, L = 5, 3, 2


class Level(nn.Module):
    """A level whose latents tell their place in the walk, and prior from posterior."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def prior(self, h: Tensor) -> Distribution:
        return Normal(h, torch.full_like(h, -9.0))

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        return Normal(h + evidence[self.index], torch.full_like(h, -9.0))

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return z + 10


class Zeros(nn.Module):
    def forward(self, n: int) -> Tensor:
        return torch.zeros(n, L)


class Two(nn.Module):
    def forward(self, x: Tensor) -> Evidence:
        return torch.full((len(x), L), 1.0), torch.full((len(x), L), 2.0)


def shallow(point: bool = False) -> VAE:
    posterior = Point() if point else DiagonalNormal()
    encoder = nn.Linear(D, posterior.params * L)
    return VAE(encoder, Shallow(Standard(L), posterior, nn.Linear(L, D), FixedGaussian()))


def ladder() -> VAE:
    return VAE(Two(), Ladder(Zeros(), [Level(0), Level(1)], nn.Linear(L, D), FixedGaussian()))


@pytest.mark.parametrize("model", [shallow(), ladder()], ids=["shallow", "ladder"])
@pytest.mark.parametrize("samples", [1, 3])
def test_shapes_of_a_trace(model: VAE, samples: int) -> None:
    x = torch.randn(B, D)
    trace = model(x, samples)
    assert trace.samples == samples
    assert all(z.shape == (samples * B, L) for z in trace.latents)
    assert trace.log_likelihood(x).shape == (samples * B,)
    assert trace.log_weights(x).shape == (samples, B)
    rate, exact = trace.rate()
    assert rate.shape == (samples * B,)
    assert exact
    assert trace.has_rate


def test_samples_are_unfolded_to_the_example_they_belong_to() -> None:
    x = torch.randn(B, D)
    trace = shallow()(x, 4)
    log_w = trace.log_weights(x)
    (site,) = trace.sites
    for k in range(4):
        for b in range(B):
            i = k * B + b
            alone = Normal(trace.likelihood.mean[i : i + 1], torch.zeros(1, D)).log_prob(
                x[b : b + 1]
            )
            q = Normal(*(t[i : i + 1] for t in site.posterior.tensors().values()))
            p = Normal(torch.zeros(1, L), torch.zeros(1, L))
            z = site.z[i : i + 1]
            expected = alone + p.log_prob(z) - q.log_prob(z)
            torch.testing.assert_close(log_w[k, b], expected[0])


def test_a_walk_goes_from_the_top_down_and_each_posterior_sees_the_state() -> None:
    z1, z2 = ladder()(torch.zeros(B, D), temperature=0.0).latents
    torch.testing.assert_close(z1, torch.full((B, L), 1.0))
    torch.testing.assert_close(z2, torch.full((B, L), 13.0))  # z1 + 10, and evidence 2


def test_a_walk_from_the_prior_ignores_posteriors() -> None:
    trace = ladder().sample(B, temperature=0.0)
    z1, z2 = trace.latents
    torch.testing.assert_close(z1, torch.zeros(B, L))
    torch.testing.assert_close(z2, torch.full((B, L), 10.0))
    x = torch.zeros(B, D)
    torch.testing.assert_close(trace.log_weights(x)[0], trace.log_likelihood(x))


def test_given_latents_are_used_and_the_rest_drawn_below_them() -> None:
    given = torch.full((B, L), 5.0)
    trace = ladder().decode([given], temperature=0.0)
    assert torch.equal(trace.latents[0], given)
    torch.testing.assert_close(trace.latents[1], torch.full((B, L), 15.0))
    both = ladder().decode([given, -given])
    assert torch.equal(both.latents[1], -given)
    assert not trace.has_rate
    assert isinstance(trace.sites[0].posterior, Dirac)


def test_trace_rate_is_estimated_if_any_site_has_no_closed_form() -> None:
    q, p = Normal(torch.randn(B, L), torch.randn(B, L)), Normal(torch.zeros(B, L), torch.ones(B, L))
    weights = torch.log_softmax(torch.randn(1, 3), 1).expand(B, 3)
    mixture = Mixture(weights, Normal(torch.randn(3, L), torch.randn(3, L)))
    closed, estimated = Site(q.sample(), p, q), Site(q.sample(), mixture, q)
    assert Trace((closed, closed), p).rate()[1] is True
    for sites in ((closed, estimated), (estimated, closed)):
        nats, exact = Trace(sites, p).rate()
        assert exact is False
        torch.testing.assert_close(nats, closed.rate()[0] + estimated.rate()[0])


class Columns(nn.Module):
    """Evidence that differs between examples and between levels."""

    def forward(self, x: Tensor) -> Evidence:
        return x[:, :2], x[:, 1:]


def test_ladder_unfolds_evidence_in_tuples_to_the_example_it_belongs_to() -> None:
    x = torch.randn(B, D)
    program = Ladder(Zeros(), [Level(0), Level(1)], nn.Linear(L, D), FixedGaussian())
    model = VAE(Columns(), program)
    once, thrice = model(x, 1, 0.0), model(x, 3, 0.0)
    for one, three in zip(once.sites, thrice.sites, strict=True):
        for name in ("prior", "posterior"):
            mean = thrice.unfold(getattr(three, name).mean)
            torch.testing.assert_close(mean, getattr(one, name).mean.expand_as(mean))
    log_w = thrice.log_weights(x)
    torch.testing.assert_close(log_w, once.log_weights(x).expand_as(log_w))


class ConditionalRoot(nn.Module):
    """A state that is the condition itself, as far as the state is wide."""

    def forward(self, n: int, condition: Tensor) -> Tensor:
        return condition[:, :L]


def test_a_condition_reaches_the_root_of_a_ladder_in_every_walk() -> None:
    program = Ladder(ConditionalRoot(), [Level(0), Level(1)], nn.Linear(L, D), FixedGaussian())
    model = VAE(Two(), program)
    c = torch.randn(B, L + 1)
    root = c[:, :L]
    z1, z2 = model.sample(B, temperature=0.0, condition=(c,)).latents
    torch.testing.assert_close(z1, root)
    torch.testing.assert_close(z2, root + 10)
    trace = model.decode([torch.full((B, L), 5.0)], temperature=0.0, condition=(c,))
    torch.testing.assert_close(trace.sites[0].prior.mean, root)
    torch.testing.assert_close(trace.latents[1], torch.full((B, L), 15.0))
    evidence = torch.full((B, L), 1.0), torch.full((B, L), 2.0)
    inferred = model.infer(evidence, 3, 0.0, (c,))
    torch.testing.assert_close(inferred.latents[0], (root + 1).repeat(3, 1))


class Counting(DiagonalNormal):
    """A posterior, or a level, that keeps the sites of which it was notified."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[Site] = []

    def update_buffers(self, site: Site) -> None:
        self.met.append(site)


class CountingLevel(Level):
    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.met: list[Site] = []

    def update_buffers(self, site: Site) -> None:
        self.met.append(site)


def test_update_buffers_hands_every_site_to_the_part_that_inferred_it() -> None:
    posterior = Counting()
    program = Shallow(Standard(L), posterior, nn.Linear(L, D), FixedGaussian())
    model = VAE(nn.Linear(D, 2 * L), program)
    trace = model(torch.randn(B, D))
    model.update_buffers(trace)
    assert posterior.met == [trace.sites[0]]
    levels = [CountingLevel(0), CountingLevel(1)]
    model = VAE(Two(), Ladder(Zeros(), levels, nn.Linear(L, D), FixedGaussian()))
    trace = model(torch.randn(B, D))
    model.update_buffers(trace)
    assert [level.met for level in levels] == [[site] for site in trace.sites]


def test_trace_units_are_the_posterior_means_of_sites_that_have_any() -> None:
    one, two = (
        Normal(torch.randn(B, L), torch.randn(B, L)),
        Normal(torch.randn(B, 3), torch.ones(B, 3)),
    )
    prior = Normal(torch.zeros(B, L), torch.zeros(B, L))
    wide = Normal(torch.zeros(B, 3), torch.zeros(B, 3))
    sites = Site(one.sample(), prior, one), Site(two.sample(), wide, two)
    assert torch.equal(Trace(sites, prior).units, torch.cat([one.mu, two.mu], 1))
    code = torch.randn(B, 1, 3)
    discrete = Site(code, prior, Quantized(code, code, torch.zeros(B, 1, dtype=torch.long)))
    assert torch.equal(Trace((discrete, sites[0]), prior).units, one.mu)
    assert Trace((discrete,), prior).units.shape == (B, 0)


def test_a_ladder_of_one_level_takes_a_tuple_of_one() -> None:
    evidence = torch.randn(B, L)
    program = Ladder(Zeros(), [Level(0)], nn.Linear(L, D), FixedGaussian())
    (site,) = VAE(Two(), program).infer((evidence,), 2, 0.0).sites
    torch.testing.assert_close(site.z, evidence.repeat(2, 1))


def test_draws_are_at_temperature_one_by_default_and_scale_with_it() -> None:
    n = 20_000
    q = Normal(torch.full((n, 1), 3.0), torch.full((n, 1), 0.5).log())
    p = Normal(torch.full((1, 1), -1.0), torch.full((1, 1), 2.0).log())
    deep = Level(0).prior(torch.zeros(n, 1))
    for scale in (1.0, 0.5):
        how = {} if scale == 1.0 else {"temperature": scale}
        inferred = FromPosterior(torch.zeros(n, 1), **how).meet(p.expand(n), lambda _: q, 0).z
        assert float(inferred.mean()) == pytest.approx(3, abs=0.02)
        assert float(inferred.std()) == pytest.approx(0.5 * scale, rel=0.03)
        imagined = FromPrior(n, **how).meet(p.expand(n), lambda _: q, 0).z
        below = Given([deep.mu], **how).meet(p.expand(n), lambda _: q, 1).z
        for z in (imagined, below):
            assert float(z.mean()) == pytest.approx(-1, abs=0.06)
            assert float(z.std()) == pytest.approx(2 * scale, rel=0.03)
    model = shallow()
    with torch.no_grad():
        x = torch.randn(B, D)
        q = model(x).sites[0].posterior
        default = torch.stack([model.infer(model.encoder(x)).latents[0] for _ in range(2000)])
        prior = model.sample(n).latents[0]
    assert isinstance(q, Normal)
    torch.testing.assert_close(default.std(0), q.log_sigma.exp(), rtol=0.1, atol=0)
    assert float(prior.std()) == pytest.approx(1, rel=0.03)


def test_nothing_given_is_refused() -> None:
    with pytest.raises(ValueError, match="at least the first site"):
        Given([])


def test_temperature_zero_is_deterministic_and_one_is_not() -> None:
    model, x = shallow(), torch.randn(B, D)
    assert torch.equal(model(x, temperature=0.0).latents[0], model(x, temperature=0.0).latents[0])
    assert not torch.equal(model(x).latents[0], model(x).latents[0])
    model.eval()
    assert not torch.equal(
        model(x).latents[0], model(x).latents[0]
    )  # bounds sample, whatever .eval()


def test_the_encoder_runs_once_whatever_the_samples() -> None:
    model = shallow()
    calls: list[int] = []
    model.encoder.register_forward_hook(lambda *args: calls.append(len(args[1][0])))
    model(torch.randn(B, D), 7)
    assert calls == [B]


def test_a_point_has_no_log_weight_and_says_what_to_do() -> None:
    x = torch.randn(B, D)
    trace = shallow(point=True)(x)
    assert not trace.has_rate
    assert trace.log_likelihood(x).shape == (B,)
    with pytest.raises(TypeError, match="stochastic posterior"):
        trace.log_weights(x)
    with pytest.raises(TypeError, match="stochastic posterior"):
        trace.rate()


def test_full_precision_lifts_half_and_leaves_the_rest() -> None:
    lifted = {
        d: full_precision(torch.zeros(1, dtype=d)).dtype for d in (torch.bfloat16, torch.half)
    }
    assert set(lifted.values()) == {torch.float32}
    kept = torch.zeros(1, dtype=torch.float64)
    assert full_precision(kept) is kept
