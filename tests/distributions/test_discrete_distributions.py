"""One-hot and concrete distributions against torch.distributions, enumeration and frequencies."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.distributions as td
from torch import Tensor

from vaelab.distributions import (
    Categorical,
    CategoricalIndex,
    Concrete,
    OneHotCategorical,
    kl,
    kl_by_dimension,
)
from vaelab.distributions.discrete import straight_through

B, N, K = 4, 3, 5


def logits(seed: int = 0, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*(shape or (B, N, K)), generator=generator, dtype=torch.float64)


def at(tau: float) -> Tensor:
    return torch.full((1, 1, 1), tau, dtype=torch.float64)


def test_a_draw_is_one_hot_and_as_frequent_as_its_probability() -> None:
    n = 40_000
    one = logits(1, 1, N, K)
    z = OneHotCategorical(one, at(0.5)).expand(n).sample()
    assert torch.equal(z.sum(-1), torch.ones(n, N, dtype=z.dtype))
    assert set(z.unique().tolist()) == {0.0, 1.0}
    p = torch.softmax(one[0], -1)
    spread = torch.sqrt(p * (1 - p) / n)
    assert ((z.mean(0) - p).abs() < 4 * spread).all()
    torch.testing.assert_close(OneHotCategorical(one, at(0.5)).mean[0], p)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_sharpens_or_flattens_the_draws(temperature: float) -> None:
    one = logits(1, 1, 1, K)
    z = OneHotCategorical(one, at(0.5)).expand(40_000).sample(temperature)
    p = torch.softmax(one[0] / temperature, -1)
    assert ((z.mean(0) - p).abs() < 4 * torch.sqrt(p / 40_000)).all()


def test_at_temperature_0_a_draw_is_the_likeliest_class() -> None:
    q = OneHotCategorical(logits(), at(0.5))
    assert torch.equal(q.sample(0.0), q.sample(0.0))
    assert torch.equal(q.sample(0.0).argmax(-1), q.logits.argmax(-1))
    assert torch.equal(q.sample(0.0).sum(-1), torch.ones(B, N, dtype=torch.float64))


def test_log_probabilities_of_classes() -> None:
    q = OneHotCategorical(logits(), at(0.5))
    z = q.sample()
    theirs = td.OneHotCategorical(logits=q.logits).log_prob(z).sum(-1)
    torch.testing.assert_close(q.log_prob(z), theirs)


def test_the_gradient_of_a_draw_is_that_of_its_relaxation() -> None:
    tau, received = 0.7, logits(3)
    given = logits().requires_grad_()
    torch.manual_seed(1)
    hard = OneHotCategorical(given, at(tau)).sample()
    torch.manual_seed(1)
    relaxed = Concrete(given, at(tau)).sample().exp()
    assert not torch.allclose(hard, relaxed)
    ours, theirs = (torch.autograd.grad(z, given, received)[0] for z in (hard, relaxed))
    torch.testing.assert_close(ours, theirs)
    assert ours.abs().sum() > 0


def test_straight_through_is_exactly_the_value_with_the_identity_for_a_gradient() -> None:
    value, carrier = torch.randn(1000), (1e3 * torch.randn(1000)).requires_grad_()
    z = straight_through(value, carrier)
    assert torch.equal(z, value)
    # The usual way is off by rounding.
    assert not torch.equal(carrier + (value - carrier), value)
    received = torch.randn(1000)
    assert torch.equal(torch.autograd.grad(z, carrier, received)[0], received)


def test_the_kl_of_classes_by_enumeration() -> None:
    q, p = OneHotCategorical(logits(1), at(0.5)), OneHotCategorical(logits(2), at(0.5))
    corners = torch.eye(K, dtype=torch.float64)
    by_hand = torch.zeros(B, dtype=torch.float64)
    for n in range(N):
        for corner in corners:
            alone = [OneHotCategorical(d.logits[:, n : n + 1], d.tau) for d in (q, p)]
            log_q, log_p = (d.log_prob(corner.expand(B, 1, K)) for d in alone)
            by_hand += log_q.exp() * (log_q - log_p)
    nats = kl(q, p)
    assert nats is not None
    torch.testing.assert_close(nats, by_hand)
    theirs = td.kl_divergence(td.Categorical(logits=q.logits), td.Categorical(logits=p.logits))
    shares = kl_by_dimension(q, p)
    assert shares is not None
    # A variable's rate, shared by the numbers that stand for it.
    torch.testing.assert_close(shares, (theirs / K)[..., None].expand(B, N, K))
    assert (shares >= 0).all()


def test_the_kl_to_the_uniform_is_at_most_the_logarithm_of_the_classes() -> None:
    p = OneHotCategorical(torch.zeros(1, N, K), torch.ones(1, 1, 1)).expand(B)
    sure = kl(OneHotCategorical(1e4 * torch.eye(K)[:N].expand(B, N, K), torch.ones(1, 1, 1)), p)
    assert sure is not None
    torch.testing.assert_close(sure, torch.full((B,), N * math.log(K)))
    assert kl(p, p).tolist() == pytest.approx([0.0] * B, abs=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.5])
def test_the_density_of_relaxed_classes(tau: float) -> None:
    q = Concrete(logits(), at(tau))
    z = q.sample()
    torch.testing.assert_close(z.exp().sum(-1), torch.ones(B, N, dtype=z.dtype))
    theirs = td.RelaxedOneHotCategorical(at(tau)[0, 0, 0], logits=q.logits)
    # Of the point itself, whose density is that of its logarithm over the product of its numbers.
    torch.testing.assert_close(q.log_prob(z) - z.sum((1, 2)), theirs.log_prob(z.exp()).sum(-1))


@pytest.mark.parametrize("tau", [0.5, 1.5])
def test_the_density_of_two_relaxed_classes_integrates_to_one(tau: float) -> None:
    q = Concrete(logits(4, 1, 1, 2), at(tau)).expand(20_001)
    # In the logit l of z, so that the corners are reached: dz = z (1 − z) dl, which is e^Σy.
    logit = torch.linspace(-60, 60, 20_001, dtype=torch.float64)
    sides = torch.stack([logit, -logit], -1)
    density = q.log_prob(torch.nn.functional.logsigmoid(sides)[:, None]).exp()
    assert float(torch.trapezoid(density, logit)) == pytest.approx(1, abs=1e-6)


def test_relaxed_draws_agree_with_their_density() -> None:
    """E_p[q / p] = 1, and the nearest corner is as frequent as its class."""
    n = 100_000
    q, p = (Concrete(0.5 * logits(s, 1, 1, 3), at(t)).expand(n) for s, t in ((1, 0.9), (2, 0.8)))
    w = torch.exp(q.log_prob(z := p.sample()) - p.log_prob(z))
    assert float(w.mean()) == pytest.approx(1, abs=float(4 * w.std() / math.sqrt(n)))
    corner = torch.nn.functional.one_hot(z[:, 0].argmax(-1), 3).double()
    classes = torch.softmax(p.logits[0, 0], -1)
    assert ((corner.mean(0) - classes).abs() < 4 * math.sqrt(0.25 / n)).all()


def exact_rate(logit: float, tau: float, classes: int, n: int) -> tuple[float, float]:
    """KL of a concrete variable to the uniform one, one logit above the rest; and its error."""
    # The mean of log q/p = Σ_k l_k − K log Σ_k e^(l_k − τ y_k) / Σ_k e^(−τ y_k), in which the one
    # thing that is random is the share of class 1 among the sums: with exponential variables E_k,
    # e^(−τ y_k) is proportional to E_k e^(−l_k).
    generator = torch.Generator().manual_seed(0)
    E = -torch.rand(n, classes, dtype=torch.float64, generator=generator).log()
    sure = torch.full((), logit, dtype=torch.float64)
    rest = E[:, 1:].sum(1)
    nats = sure - classes * (torch.log(E.sum(1)) - torch.log(E[:, 0] * torch.exp(-sure) + rest))
    return float(nats.mean()), float(nats.std() / math.sqrt(n))


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("tau", [0.5, 0.05])
@pytest.mark.parametrize("logit", [0.0, 5.0, 30.0])
def test_the_rate_is_right_where_the_choice_is_sure(logit: float, tau: float, classes: int) -> None:
    """In float32; of a point of the simplex, rounded to a corner, it falls without end."""
    n, cold = 50_000, torch.full((1, 1, 1), tau)
    sure = torch.zeros(1, 1, classes)
    sure[..., 0] = logit
    q, p = (Concrete(one, cold).expand(n) for one in (sure, torch.zeros_like(sure)))
    torch.manual_seed(0)
    nats = q.log_prob(z := q.sample()) - p.log_prob(z)
    exact, error = exact_rate(logit, tau, classes, n)
    assert float(nats.mean()) == pytest.approx(exact, abs=6 * error + 1e-3)


@pytest.mark.parametrize("size", [1.0, 1e2, 1e4])
def test_however_sure_of_a_class_nothing_overflows(size: float) -> None:
    given = (size * logits().float()).requires_grad_()
    tau = torch.full((1, 1, 1), 0.1)
    for q in (OneHotCategorical(given, tau), Concrete(given, tau)):
        z = q.sample()
        nats = q.log_prob(z)
        gradient = torch.autograd.grad((nats + z.flatten(1).sum(1)).sum(), given)[0]
        assert torch.isfinite(nats).all()
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", [OneHotCategorical, Concrete])
def test_under_vmap_each_draws_its_own_as_alone(
    kind: type[OneHotCategorical] | type[Concrete],
) -> None:
    given = logits(0, 6, B, N, K)

    def nats(one: Tensor) -> Tensor:
        q = kind(one, at(0.5))
        return q.log_prob(q.sample(0.0) * 0.9 + 0.02)

    mapped = torch.func.vmap(nats, randomness="different")(given)
    torch.testing.assert_close(mapped, torch.stack([nats(one) for one in given]))
    same = given[:1].expand(6, -1, -1, -1)
    drawn = torch.func.vmap(lambda one: kind(one, at(0.5)).sample(), randomness="different")(same)
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("kind", [Categorical, CategoricalIndex, OneHotCategorical])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_at_the_end_of_the_noise_the_likeliest_class_is_still_a_draw_without_noise(
    kind: Any, end: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "rand_like", lambda t: torch.full_like(t, end))
    monkeypatch.setattr(Tensor, "exponential_", lambda t: t.fill_(1 - end))
    q = kind(logits(), at(0.5)) if kind is OneHotCategorical else kind(logits())
    index = q.sample(0.0).argmax(-1) if kind is OneHotCategorical else q.sample(0.0)
    classes = index * (K - 1) if kind is Categorical else index
    assert torch.equal((1.0 * classes).round().long(), logits().argmax(-1))
