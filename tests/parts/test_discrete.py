"""Classes as latents, relaxed and not; latents side by side; recipes that are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaelab.core import VAE, Ladder, Shallow
from vaelab.distributions import Concrete, OneHotCategorical
from vaelab.objectives import Constant, Distortion, ImportanceWeighted, Objective, Rate, Rise
from vaelab.parts.discrete import (
    Blank,
    Classes,
    ConcreteClasses,
    Independent,
    UniformClasses,
    UniformConcrete,
)
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard

N, K, D = 2, 3, 4


def classes() -> VAE:
    torch.manual_seed(0)
    prior, posterior = UniformClasses(N, K), Classes(N, K, Constant(0.5))
    decoder = nn.Sequential(nn.Flatten(), nn.Linear(N * K, D))
    return VAE(nn.Linear(D, N * K), Shallow(prior, posterior, decoder, FixedGaussian())).double()


def exact(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x), and the ELBO with every expectation a sum over all N-tuples of classes."""
    every = torch.cartesian_prod(*[torch.arange(K)] * N)
    zs = torch.eye(K, dtype=torch.float64)[every]
    log_likelihood = torch.stack([model.decode([z[None]]).likelihood.log_prob(x) for z in zs], 1)
    q = model(x).sites[0].posterior
    log_q = torch.stack([q.log_prob(z.expand(len(x), N, K)) for z in zs], 1)
    log_p = -N * math.log(K)
    evidence = torch.logsumexp(log_likelihood + log_p, 1)
    return evidence, (log_q.exp() * (log_likelihood + log_p - log_q)).sum(1)


@torch.no_grad()
def test_with_one_hot_draws_the_loss_is_the_negative_elbo_of_the_discrete_model() -> None:
    model, x = classes(), torch.randn(3, D, dtype=torch.float64)
    evidence, elbo = exact(model, x)
    trace = model(x, 20_000)
    log_w = trace.log_weights(x)
    error = log_w.std(0) / math.sqrt(20_000)
    assert ((log_w.mean(0) - elbo).abs() < 4 * error).all()
    assert (((Distortion() + Rate())(trace, x).total + elbo).abs() < 4 * error).all()
    # And the importance-weighted bound rises from it to log p(x).
    bound = -ImportanceWeighted(20_000)(trace, x).total
    relative = torch.exp(log_w - evidence).std(0) / math.sqrt(20_000)
    assert (elbo < evidence - 10 * error).all()
    assert ((bound - evidence).abs() < 4 * relative).all()


def test_the_relaxation_cools_with_the_progress_of_training() -> None:
    schedule = Rise(1.0, 0.25, warmup_fraction=0.5)
    posterior, h = Classes(N, K, schedule), torch.randn(5, N * K)
    seen = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        schedule.progress.fill_(progress)
        q = posterior(h)
        assert isinstance(q, OneHotCategorical)
        seen.append(float(q.tau))
    assert seen == [1.0, 0.625, 0.25, 0.25]
    assert [name for name, _ in posterior.named_buffers()][:1] == ["tau.progress"]
    assert "tau.progress" not in posterior.state_dict()


def test_relaxed_classes_have_a_relaxed_prior_of_their_own_temperature() -> None:
    prior, posterior = UniformConcrete(N, K, Constant(0.4)), ConcreteClasses(N, K, Constant(0.7))
    p, q = prior(), posterior(torch.randn(5, N * K).bfloat16())
    assert isinstance(p, Concrete)
    assert isinstance(q, Concrete)
    assert float(p.tau) == pytest.approx(0.4)
    assert float(q.tau) == pytest.approx(0.7)
    assert q.logits.dtype == torch.float32
    assert p.expand(7).sample().shape == (7, N, K)


def side_by_side() -> VAE:
    torch.manual_seed(0)
    blocks = [
        Independent(Standard(2), DiagonalNormal(), 0, 4),
        Independent(UniformClasses(N, K), Classes(N, K, Constant(0.5)), 4, 4 + N * K),
    ]
    decoder = nn.Linear(2 + N * K, D)
    return VAE(nn.Linear(D, 4 + N * K), Ladder(Blank(0), blocks, decoder, FixedGaussian())).double()


def test_latents_side_by_side_read_their_own_evidence_and_know_nothing_of_each_other() -> None:
    model, x = side_by_side(), torch.randn(5, D, dtype=torch.float64)
    evidence = model.encoder(x)
    trace = model.infer(evidence)
    assert [tuple(z.shape) for z in trace.latents] == [(5, 2), (5, N, K)]
    for cut, changed in ((slice(0, 4), 0), (slice(4, None), 1)):
        other = evidence.clone()
        other[:, cut] += torch.randn_like(other[:, cut])
        means = [s.posterior.mean for s in model.infer(other).sites]
        same = [torch.equal(m, s.posterior.mean) for m, s in zip(means, trace.sites, strict=True)]
        assert same == [changed == 1, changed == 0]
    rates = [site.rate()[0] for site in trace.sites]
    torch.testing.assert_close(trace.rate()[0], rates[0] + rates[1])
    assert trace.rate()[1]
    decoder = model.generator.decoder
    by_hand = decoder(torch.cat([z.flatten(1) for z in trace.latents], 1))  # type: ignore[operator]
    torch.testing.assert_close(trace.likelihood.mean, by_hand)


def test_a_style_is_kept_while_classes_change() -> None:
    """The continuous latent is given, the classes below it are drawn from their prior."""
    model = side_by_side()
    style = torch.randn(1, 2, dtype=torch.float64).expand(300, 2)
    trace = model.decode([style])
    assert torch.equal(trace.latents[0], style)
    assert len(trace.latents[1].flatten(1).unique(dim=0)) == K**N


@pytest.mark.parametrize("build", [classes, side_by_side], ids=["classes", "joint"])
def test_loss_and_gradient_compile_as_one_graph(build: Callable[[], VAE]) -> None:
    model, x = build(), torch.randn(6, D, dtype=torch.float64)
    objective: Objective = Distortion() + Rate()

    def nats(x: Tensor) -> Tensor:
        return objective(model(x), x).total

    torch.manual_seed(1)
    expected = nats(x)
    torch.manual_seed(1)
    compiled = torch.compile(nats, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, expected)
    compiled.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (UniformClasses, (0, 3), "variables is 0"),
        (UniformClasses, (2, 1), "classes 1"),
        (Classes, (2, 1, Constant(1.0)), "classes 1"),
    ],
)
def test_no_classes_are_refused(
    make: Callable[..., Any], arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(*arguments)
