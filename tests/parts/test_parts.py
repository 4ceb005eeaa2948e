"""Likelihoods, posteriors, priors and the levels of a ladder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vaelab.distributions import Normal
from vaelab.parts.ladder import DenseBlock, Root
from vaelab.parts.likelihoods import (
    BernoulliLikelihood,
    CategoricalLevels,
    ContinuousBernoulliLikelihood,
    FixedGaussian,
    LaplaceLikelihood,
    LearnedGaussian,
    Likelihood,
    LogisticLevels,
    PixelGaussian,
)
from vaelab.parts.posteriors import DiagonalNormal, Point, bounded
from vaelab.parts.priors import Standard

B = 4
LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": BernoulliLikelihood(),
    "continuous-bernoulli": ContinuousBernoulliLikelihood(),
    "gaussian-fixed": FixedGaussian(0.5),
    "gaussian": LearnedGaussian(),
    "gaussian-heteroscedastic": PixelGaussian(),
    "laplace": LaplaceLikelihood(),
    "discretized-logistic": LogisticLevels(5),
    "categorical": CategoricalLevels(5),
}


def output(likelihood: Likelihood, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(B, likelihood.params * shape[0], *shape[1:])


@pytest.mark.parametrize("shape", [(1, 3, 2), (3, 2, 5), (7,)], ids=str)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_shapes(name: str, shape: tuple[int, ...]) -> None:
    likelihood = LIKELIHOODS[name]
    p = likelihood(output(likelihood, shape))
    x = torch.randint(0, 2, (B, *shape)).float()
    assert p.log_prob(x).shape == (B,)
    assert p.sample().shape == p.mean.shape == (B, *shape)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_parameters_of_a_pixel_come_from_its_own_channels(name: str) -> None:
    """Changing what the decoder says of one pixel changes that pixel alone."""
    likelihood, shape = LIKELIHOODS[name], (3, 2, 2)
    h = output(likelihood, shape)
    changed = h.unflatten(1, (likelihood.params, 3)).clone()
    changed[:, :, 1, 0, 1] += 1.0
    # What a parameter says: shift every level's logit unequally, so that softmax sees it too.
    changed[:, 0, 1, 0, 1] += 1.0
    before, after = likelihood(h), likelihood(changed.flatten(1, 2))
    differs = torch.zeros(3, 2, 2, dtype=torch.bool)
    for a, b in zip(before.tensors().values(), after.tensors().values(), strict=True):
        unequal = (a != b).any(0)
        differs |= unequal.any(-1) if unequal.ndim > 3 else unequal
    assert differs.nonzero().tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_half_precision_outputs_are_lifted(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    p = likelihood(output(likelihood, (1, 2, 2)).bfloat16())
    assert {t.dtype for t in p.tensors().values()} == {torch.float32}


@pytest.mark.parametrize("size", [-1e30, -1e4, 0.0, 1e4, 1e30])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_no_output_of_a_decoder_breaks_a_likelihood(name: str, size: float) -> None:
    if name.startswith("gaussian"):
        size = max(-1e4, min(size, 1e4))  # a squared error of 1e60 is honestly infinite
    likelihood = LIKELIHOODS[name]
    h = torch.full((B, likelihood.params, 2, 2), size, requires_grad=True)
    log_p = likelihood(h).log_prob(torch.ones(B, 1, 2, 2))
    (gradient,) = torch.autograd.grad(log_p.sum(), h)
    assert log_p.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", [n for n, p in LIKELIHOODS.items() if p.discrete])
def test_discrete_likelihoods_sum_to_one(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    levels = 2 if name == "bernoulli" else 5
    p = likelihood(torch.randn(1, likelihood.params, 1, 1)).expand(levels)
    x = torch.arange(float(levels)).reshape(-1, 1, 1, 1) / (levels - 1)
    assert float(p.log_prob(x).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_gaussians_are_in_nats() -> None:
    x, h = torch.tensor([[[[0.3]]]]), torch.tensor([[[[0.1]]]])
    exact = -0.5 * (0.2 / 0.5) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi))
    assert float(FixedGaussian(0.5)(h).log_prob(x)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan])
def test_a_standard_deviation_is_above_zero(sigma: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        FixedGaussian(sigma)


def test_the_bound_is_the_identity_near_zero_and_never_lets_exp_overflow() -> None:
    t = torch.tensor([-1e30, -1e-3, 0.0, 1e-3, 1.0, 1e30], requires_grad=True)
    b = bounded(t)
    assert b.tolist()[1:4] == pytest.approx([-1e-3, 0, 1e-3], abs=1e-8)
    assert float(b.detach()[4]) == pytest.approx(1.0, abs=0.01)
    assert b.tolist()[::5] == [-10, 10]
    assert float(b.detach()[4]) == pytest.approx(10 * math.tanh(0.1), rel=1e-6)
    assert (b.exp() > 0).all()
    assert b.exp().isfinite().all()
    b.sum().backward()
    assert t.grad is not None
    assert t.grad.isfinite().all()


def test_posteriors() -> None:
    h = torch.randn(B, 6)
    q = DiagonalNormal()(h)
    torch.testing.assert_close(q.mean, h[:, :3])
    torch.testing.assert_close(q.log_sigma, bounded(h[:, 3:]))
    z = torch.randn(B, 3)
    assert torch.equal(Point()(z).sample(), z)


def test_the_prior_is_standard_and_moves_with_its_module() -> None:
    p = Standard(2, 3)().expand(B)
    z = torch.zeros(B, 2, 3)
    torch.testing.assert_close(p.log_prob(z), torch.full((B,), -3 * math.log(2 * math.pi)))
    assert Standard(2).double()().mean.dtype == torch.float64
    assert list(Standard(2).state_dict()) == []  # nothing learned, nothing stored


def test_a_level_reads_its_own_evidence() -> None:
    block, h = DenseBlock(latent=2, width=5, level=1), torch.randn(B, 5)
    evidence = (torch.randn(B, 5), torch.randn(B, 5))
    q = block.posterior(h, evidence)
    other = block.posterior(h, (torch.randn(B, 5), evidence[1]))
    assert isinstance(q, Normal)
    assert isinstance(other, Normal)
    assert torch.equal(q.mu, other.mu)
    changed = block.posterior(h, (evidence[0], torch.randn(B, 5)))
    assert not torch.equal(q.mean, changed.mean)
    assert not torch.equal(q.mean, block.posterior(torch.randn(B, 5), evidence).mean)
    assert block.merge(h, torch.randn(B, 2)).shape == (B, 5)
    assert Root(5)(B).shape == (B, 5)
