"""From a network's output to a posterior: full covariance and the sphere."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vaelab.distributions import FullNormal, SphereUniform, VonMisesFisher, kl
from vaelab.parts.posteriors import DiagonalNormal, FullCovariance, Posterior
from vaelab.parts.sphere import Hyperspherical, Stretch, UniformSphere, unit

B = 4


@pytest.mark.parametrize("latent", [1, 2, 3, 7, 64])
def test_a_network_gives_as_many_numbers_as_are_needed(latent: int) -> None:
    assert DiagonalNormal().outputs(latent) == 2 * latent
    q = FullCovariance()(torch.randn(B, FullCovariance().outputs(latent)))
    assert q.mean.shape == q.sample().shape == (B, latent)
    assert FullCovariance().outputs(latent) == latent + latent * (latent + 1) // 2
    if latent > 1:
        q = Hyperspherical()(torch.randn(B, Hyperspherical().outputs(latent)))
        assert q.mean.shape == q.sample().shape == (B, latent)


def test_every_number_has_its_place_in_the_factor() -> None:
    h = torch.zeros(1, 9)
    q = FullCovariance()(h)
    assert isinstance(q, FullNormal)
    torch.testing.assert_close(q.factor, torch.eye(3)[None])
    jacobian = torch.func.jacrev(lambda h: FullCovariance()(h).factor[0])(h)[:, :, 0]  # type: ignore[attr-defined]
    reached = jacobian.abs().flatten(0, 1) > 0
    # Row by row: one number for every entry on and below the diagonal, none above it.
    below = torch.ones(3, 3, dtype=torch.bool).tril().flatten()
    assert reached.any(1).tolist() == below.tolist()
    assert reached.sum(0).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor had that was made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made


def test_the_factor_takes_the_memory_of_a_factor() -> None:
    dims, batch = 24, 2
    h = torch.randn(batch, FullCovariance().outputs(dims), requires_grad=True)
    with Largest() as largest:
        q = FullCovariance()(h)
        assert isinstance(q, FullNormal)
        q.lower.sum().backward()
    assert largest.numbers == batch * dims**2
    row, column = torch.tril_indices(dims, dims, -1)
    by_hand = torch.zeros(batch, dims, dims)
    by_hand[:, row, column] = h.detach()[:, 2 * dims :] / math.sqrt(dims)
    assert torch.equal(q.lower, q.log_scale.exp()[..., None] * by_hand)


@pytest.mark.parametrize("size", [-1e30, -1e4, 0.0, 1e4, 1e30])
@pytest.mark.parametrize("posterior", [FullCovariance(), Hyperspherical()])
def test_no_output_of_a_network_breaks_a_posterior(posterior: Posterior, size: float) -> None:
    h = torch.full((B, posterior.outputs(3)), size, requires_grad=True)
    # A mean of 1e30 is that far from any draw of float32's; a direction has no size.
    q = posterior(h.clamp(-1e4, 1e4) if isinstance(posterior, FullCovariance) else h)
    z = q.sample()
    (gradient,) = torch.autograd.grad(q.log_prob(z).sum() + z.sum(), h)
    assert z.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_every_vector_has_a_direction(size: float) -> None:
    t = size * torch.tensor([[3.0, -4.0], [0.0, -1.0]])
    expected = torch.tensor([[0.6, -0.8], [0.0, -1.0]])
    if size < 1e-12:
        expected = torch.tensor([[1.0, 0.0]]).expand(2, 2)
    torch.testing.assert_close(unit(t), expected)


def test_a_sphere_has_two_dimensions_at_least() -> None:
    with pytest.raises(ValueError, match="latent is 1; a sphere needs at least 2"):
        UniformSphere(1)
    prior = UniformSphere(3)
    assert list(prior.state_dict()) == []
    assert isinstance(prior(), SphereUniform)
    assert prior.double()().sample().dtype == torch.float64


def test_what_says_nothing_is_uniform_and_what_says_little_moves_the_draws_a_little() -> None:
    n, latent = 20_000, 5
    h = torch.zeros(n, latent)
    q, p = Hyperspherical()(h), UniformSphere(latent)().expand(n)
    rate = kl(q, p)
    assert rate is not None
    assert float(rate.abs().max()) < 1e-6
    h = torch.tensor([0.3, -0.1, 0.0, 0.2, 0.0]).double().requires_grad_()
    # E[z] = h · 2 D/D + …: the linear response, and its gradient at any direction.
    small = 1e-3 * h
    mean = Hyperspherical()(small.expand(2, -1)).mean[0]
    torch.testing.assert_close(mean, 2 * small, rtol=1e-4, atol=1e-9)
    (slope,) = torch.autograd.grad(mean[0], h)
    torch.testing.assert_close(slope, torch.tensor([2e-3, 0, 0, 0, 0]).double(), rtol=0, atol=1e-8)


def test_the_network_gives_concentration_times_direction() -> None:
    h = torch.randn(B, 7)
    q = Hyperspherical()(h)
    assert isinstance(q, VonMisesFisher)
    torch.testing.assert_close(q.kappa[:, None] * q.mu, 14 * h)
    assert Stretch()(q.sample()).square().mean(1).tolist() == pytest.approx([1.0] * B)
